//! The supervisor's task: it feeds the fleet with events and does what the fleet wants done.
//!
//! Every turn: events → the fleet decides → the registry shows it → the effects run, replies among them. So who got a
//! reply finds the registry up to date.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::event::{Effect, Event, Failure, Ticket};
use super::fleet::Fleet;
use super::inbox::{Inbox, Notice};
use super::keeper::Keeper;
use super::launch::{Launch, Output, prepare};
use super::ports::Ports;
use super::probe::{Inquiry, Surroundings};
use super::program::{self, Home};
use super::publish::Publisher;
use super::{Outward, Wiring};
use crate::config::command::{CommandSpec, Serving};
use crate::config::spec::Program;
use crate::guard::SpawnSpec;
use crate::model::{InstanceId, Language, ServiceId, Upstream, WorkerKind};
use crate::protocol::worker::Channels;
use crate::registry::ServiceEntry;

/// Reports of keepers on their way; a keeper waits when they are more.
const REPORTS_MAX: usize = 256;

/// Who waits for the outcome of a command.
pub type Reply = oneshot::Sender<Result<(), Failure>>;

/// What is asked of the supervisor and answered after its effect.
pub enum Command {
    Scale {
        service: ServiceId,
        target: Option<u32>,
        wait: bool,
        reply: Reply,
    },
    Restart {
        service: ServiceId,
        replay_now: bool,
        reply: Reply,
    },
    AwaitReady {
        reply: Reply,
    },
    /// Answered with the survivors.
    Shutdown {
        reply: oneshot::Sender<Vec<u32>>,
    },
    Kill,
}

/// Everything the task owns.
pub struct Actor {
    wiring: Wiring,
    fleet: Fleet,
    publisher: Publisher,
    commands: mpsc::Receiver<Command>,
    inbox: Arc<Inbox>,
    report: mpsc::Sender<Event>,
    reports: mpsc::Receiver<Event>,
    /// Processes whose group is not proven empty, and what takes signals to them.
    kept: HashMap<InstanceId, watch::Sender<Option<Signal>>>,
    /// Of programs that serve on one.
    ports: Ports,
    replies: HashMap<Ticket, Reply>,
    tickets: u64,
    /// Who waits for the end; a shutdown may be asked for more than once.
    ended: Vec<oneshot::Sender<Vec<u32>>>,
}

impl Actor {
    pub fn new(wiring: Wiring, fleet: Fleet, commands: mpsc::Receiver<Command>, inbox: Arc<Inbox>) -> Self {
        let (report, reports) = mpsc::channel(REPORTS_MAX);
        Self {
            wiring,
            fleet,
            publisher: Publisher::default(),
            commands,
            inbox,
            report,
            reports,
            kept: HashMap::new(),
            ports: Ports::default(),
            replies: HashMap::new(),
            tickets: 0,
            ended: Vec::new(),
        }
    }

    /// Runs until a shutdown is complete.
    pub async fn run(mut self) {
        let mut events = vec![Event::Tick];
        loop {
            self.turn(events);
            if self.fleet.has_ended() {
                return;
            }
            events = self.next_events().await;
        }
    }

    fn turn(&mut self, events: Vec<Event>) {
        let mut effects = Vec::new();
        for event in events {
            if let Event::Emptied { instance } = event {
                self.ports.release(instance);
            }
            self.fleet.handle(Instant::now(), event, &mut effects);
        }
        self.publisher.publish(&self.fleet, &self.wiring);
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    async fn next_events(&mut self) -> Vec<Event> {
        let deadline = self.fleet.next_deadline();
        let due = sleep_until(deadline.unwrap_or_else(Instant::now).into());
        tokio::select! {
            // That a process runs comes before what it says.
            biased;
            Some(event) = self.reports.recv() => vec![event],
            Some(command) = self.commands.recv() => vec![self.admit(command)],
            () = self.inbox.filled() => self.inbox.take().into_iter().map(Self::heard).collect(),
            () = due, if deadline.is_some() => vec![Event::Tick],
        }
    }

    // ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────

    fn admit(&mut self, command: Command) -> Event {
        match command {
            Command::Scale { service, target, wait, reply } => {
                Event::Scale { service, target, wait, ticket: self.ticket(reply) }
            }
            Command::Restart { service, replay_now, reply } => {
                Event::Restart { service, replay_now, ticket: self.ticket(reply) }
            }
            Command::AwaitReady { reply } => Event::AwaitReady { ticket: self.ticket(reply) },
            Command::Shutdown { reply } => {
                self.ended.push(reply);
                Event::Shutdown
            }
            Command::Kill => Event::Kill,
        }
    }

    fn ticket(&mut self, reply: Reply) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.replies.insert(ticket, reply);
        ticket
    }

    fn heard(notice: Notice) -> Event {
        match notice {
            Notice::Hello(instance, hello) => {
                tracing::debug!(?instance, hello.pid, hello.python, "hello");
                Event::Hello { instance, hello }
            }
            Notice::Severed(instance, why) => Event::Severed { instance, why },
            Notice::Drained(instance) => Event::Drained { instance },
            Notice::Unresponsive(instance, why) => Event::Unresponsive { instance, why },
            Notice::Steer(service, instances) => Event::Steer { service, instances },
        }
    }

    // ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { instance, kind } => self.spawn(instance, kind),
            Effect::Terminate { instance } => {
                let signal = self.stop_signal(instance.service);
                self.signal(instance, signal);
            }
            Effect::Kill { instance } => self.signal(instance, Signal::SIGKILL),
            Effect::Serve { instance, upstream } => self.serve(instance, upstream),
            Effect::Unready { instance } => self.tell(Outward::Unready { instance }),
            Effect::Ready { instance } => self.tell(Outward::Ready { instance }),
            Effect::Drain { instance, replay_now } => self.tell(Outward::Drain { instance, replay_now }),
            Effect::Finish { instance } => self.tell(Outward::Finish { instance }),
            Effect::Gone { instance, reason } => self.tell(Outward::Gone { instance, reason }),
            Effect::Down { service, reason } => self.tell(Outward::Down { service, reason }),
            Effect::Zero { service, is_zero } => self.tell(Outward::Zero { service, is_zero }),
            Effect::Reply { ticket, outcome } => {
                // Who asked may have stopped waiting.
                let _ = self.replies.remove(&ticket).map(|reply| reply.send(outcome));
            }
            Effect::Ended { survivors } => {
                for reply in self.ended.drain(..) {
                    let _ = reply.send(survivors.clone());
                }
            }
        }
    }

    fn serve(&self, instance: InstanceId, upstream: Upstream) {
        let slots = self.wiring.registry.peek().get(instance.service).map(|service| service.spec.slots);
        if let Some(slots) = slots {
            self.tell(Outward::Serve { instance, upstream, slots });
        }
    }

    fn tell(&self, what: Outward) {
        (self.wiring.outward)(what);
    }

    fn spawn(&mut self, instance: InstanceId, kind: WorkerKind) {
        let snapshot = self.wiring.registry.snapshot();
        let Some(service) = snapshot.get(instance.service) else { return };
        let label = service.label(instance.number);
        let (launch, inquiry) = match &service.spec.program {
            Program::Function { language, module } => {
                (self.launch_worker(instance, kind, service, (*language, module), &label), None)
            }
            Program::Command(command) => self
                .launch_program(instance, service, command, &label)
                .map_or_else(|error| (Err(error), None), |(launch, inquiry)| (Ok(launch), Some(inquiry))),
        };
        let (signals, orders) = watch::channel(None);
        let keeper = Keeper {
            instance,
            service: service.spec.name.clone(),
            label,
            guard: self.wiring.guard.clone(),
            logs: self.wiring.logs.clone(),
            signals: orders,
            report: self.report.clone(),
            inquiry,
        };
        // Those whose group is proven empty need no signals any more.
        self.kept.retain(|_, signals| !signals.is_closed());
        self.kept.insert(instance, signals);
        tokio::spawn(keeper.run(launch));
    }

    fn launch_worker(
        &self,
        instance: InstanceId,
        kind: WorkerKind,
        service: &ServiceEntry,
        function: (Language, &str),
        label: &str,
    ) -> io::Result<(SpawnSpec, Output)> {
        let Launch { spec, channels, output } = prepare(&self.wiring.settings, service, function, label)?;
        self.tell(attach(instance, kind, service, channels));
        Ok((spec, output))
    }

    fn launch_program(
        &mut self,
        instance: InstanceId,
        service: &ServiceEntry,
        command: &CommandSpec,
        label: &str,
    ) -> io::Result<((SpawnSpec, Output), Inquiry)> {
        let settings = &self.wiring.settings;
        let (home, listener) = match command.serving {
            Serving::Nothing => (None, None),
            Serving::Port | Serving::Handed => {
                let listener = self.ports.reserve(instance)?;
                (Some(Home::Port(listener.local_addr()?.port())), Some(listener))
            }
            Serving::Path => (Some(Home::Path(self.ports.path(&settings.sockets, label, instance)?)), None),
        };
        // Unless it is handed the socket, the program binds the port itself, and must find it free.
        let handed = listener.filter(|_| command.serving == Serving::Handed);
        let launch = program::prepare(&settings.project, service, command, label, home.as_ref(), handed)?;
        let program::Launch { spec, output } = launch;
        let surroundings = Surroundings { env: spec.env.clone(), cwd: spec.cwd.clone() };
        Ok(((spec, output), Inquiry { spec: service.spec.clone(), home, surroundings }))
    }

    fn signal(&self, instance: InstanceId, signal: Signal) {
        if let Some(signals) = self.kept.get(&instance) {
            signals.send_replace(Some(signal));
        }
    }

    fn stop_signal(&self, service: ServiceId) -> Signal {
        let number = self.wiring.registry.peek().get(service).map(|service| service.spec.stop.signal);
        number.and_then(|number| Signal::try_from(number).ok()).unwrap_or(Signal::SIGTERM)
    }
}

fn attach(instance: InstanceId, kind: WorkerKind, service: &ServiceEntry, channels: Channels) -> Outward {
    let (slots, max_parked) = (service.spec.slots, service.spec.max_parked);
    Outward::Attach { instance, channels, slots, max_parked, kind }
}
