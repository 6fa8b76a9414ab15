//! A world for the fleet: a clock that jumps, and processes that do what a test says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{InstanceId, ServiceId, WorkerKind};
use crate::protocol::signature::Signature;
use crate::registry::tests::offer;
use crate::registry::{InstanceEntry, Offer, Registry};
use crate::supervisor::Hello;
use crate::supervisor::event::{Effect, Event, Failure, Fall, Ticket};
use crate::supervisor::fleet::Fleet;
use crate::supervisor::order::order;

/// What the processes of a service do. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Hello after this time; `None`: never.
    pub hello: Option<u64>,
    /// Exits by itself after this time.
    pub exits: Option<u64>,
    /// How long its calls take to end once it drains; `None`: for ever.
    pub busy: Option<u64>,
    /// How long its `on_stop` hooks take; `None`: for ever.
    pub hooks: Option<u64>,
    pub ignores_stop_signal: bool,
    pub survives_kill: bool,
}

/// A process that is well.
pub const WELL: Habits = Habits {
    hello: Some(50),
    exits: None,
    busy: Some(0),
    hooks: Some(1),
    ignores_stop_signal: false,
    survives_kill: false,
};

/// A process that fails to import.
pub const BROKEN: Habits = Habits { hello: None, exits: Some(20), ..WELL };

/// What a worker says whose function has this signature.
pub fn hello(kind: WorkerKind, signature: &str) -> Hello {
    let mut parsed = Signature::default();
    signature.clone_into(&mut parsed.text);
    Hello { pid: 0, kind, signature: Arc::new(parsed), python: String::new() }
}

fn fall(status: &str) -> Fall {
    Fall { is_success: status == "exit status 0", ..Fall::new(status, vec!["last line".to_owned()]) }
}

pub struct Sim {
    fleet: Fleet,
    shorts: Vec<String>,
    start: Instant,
    now: Instant,
    /// What will happen, in order of time.
    agenda: BTreeMap<(Instant, u64), Event>,
    planned: u64,
    pub habits: HashMap<ServiceId, Habits>,
    usual: Habits,
    /// Processes that were started, with whether the leader still runs; removed once their group is empty.
    processes: BTreeMap<InstanceId, (Habits, bool)>,
    /// Everything the fleet wanted, with the time in milliseconds.
    pub log: Vec<(u64, String)>,
    /// What would stand in `msx events`.
    pub happenings: Vec<String>,
    pub replies: HashMap<Ticket, Result<(), Failure>>,
    pub ended: Option<Vec<u32>>,
}

impl Sim {
    pub fn new(offers: Vec<Offer>) -> Self {
        Self::of_habits(offers, WELL)
    }

    /// Processes of every service do this, unless `habits` says otherwise later.
    pub fn of_habits(offers: Vec<Offer>, usual: Habits) -> Self {
        let snapshot = Registry::new(offers).snapshot();
        let order = order(&snapshot).expect("an order");
        let now = Instant::now();
        let mut sim = Self {
            fleet: Fleet::new(&snapshot.services, order),
            shorts: snapshot.services.iter().map(|service| service.short().to_owned()).collect(),
            start: now,
            now,
            agenda: BTreeMap::new(),
            planned: 0,
            habits: HashMap::new(),
            usual,
            processes: BTreeMap::new(),
            log: Vec::new(),
            happenings: Vec::new(),
            replies: HashMap::new(),
            ended: None,
        };
        sim.tell(Event::Tick);
        sim
    }

    /// One service `a` with this range of instances.
    pub fn of_one(min: u32, max: u32) -> Self {
        let mut offer = offer("a.a");
        (offer.spec.instances.min, offer.spec.instances.max) = (min, max);
        Self::new(vec![offer])
    }

    // ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────

    pub fn ms(&self) -> u64 {
        (self.now - self.start).as_millis() as u64
    }

    /// Lets this many milliseconds pass.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            match self.agenda.first_key_value() {
                Some(((at, _), _)) if *at <= self.now => {
                    let event = self.agenda.pop_first().expect("it was there").1;
                    self.happen(event);
                }
                _ => {
                    self.tell(Event::Tick);
                    let due = self.fleet.next_deadline().is_some_and(|next| next <= self.now);
                    assert!(!due, "a deadline stays due: the task would never rest");
                }
            }
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<Instant> {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        planned.into_iter().chain(self.fleet.next_deadline()).min()
    }

    fn plan(&mut self, after_ms: u64, event: Event) {
        self.planned += 1;
        self.agenda.insert((self.now + Duration::from_millis(after_ms), self.planned), event);
    }

    // ── events ───────────────────────────────────────────────────────────────────────────────────────────────────

    pub fn tell(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.fleet.handle(self.now, event, &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    /// An event of the agenda: it does not happen to a process that is not there any more.
    fn happen(&mut self, event: Event) {
        match &event {
            Event::Hello { instance, .. } | Event::Drained { instance } if !self.is_running(*instance) => {
                return;
            }
            Event::Exited { instance, .. } => match self.processes.get_mut(instance) {
                Some((_, running)) if *running => *running = false,
                _ => return,
            },
            Event::Emptied { instance } if self.processes.remove(instance).is_none() => return,
            _ => {}
        }
        self.tell(event);
    }

    pub fn is_running(&self, instance: InstanceId) -> bool {
        self.processes.get(&instance).is_some_and(|(_, running)| *running)
    }

    /// The process says hello before (or though) its habits would.
    pub fn says_hello(&mut self, instance: InstanceId, kind: WorkerKind, signature: &str) {
        self.tell(Event::Hello { instance, hello: hello(kind, signature) });
    }

    /// The process of this place ends at once, and with it its group.
    pub fn dies(&mut self, instance: InstanceId, status: &str) {
        self.falls(instance, fall(status));
    }

    pub fn falls(&mut self, instance: InstanceId, fall: Fall) {
        self.happen(Event::Exited { instance, fall, jitter: 0.0 });
        self.happen(Event::Emptied { instance });
    }

    pub fn ask(&mut self, ticket: u64, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        self.tell(event(Ticket(ticket)));
        Ticket(ticket)
    }

    pub fn scale(&mut self, ticket: u64, service: u32, target: u32) -> Ticket {
        let service = ServiceId(service);
        self.ask(ticket, |ticket| Event::Scale { service, target: Some(target), wait: true, ticket })
    }

    pub fn restart(&mut self, ticket: u64, replay_now: bool) -> Ticket {
        self.ask(ticket, |ticket| Event::Restart { service: ServiceId(0), replay_now, ticket })
    }

    // ── effects ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn perform(&mut self, effect: Effect) {
        if let Effect::Tell { service, instance, what } = effect {
            let number = instance.map_or_else(String::new, |number| format!("-{number}"));
            let short = &self.shorts[service.0 as usize];
            let told = format!("{short}{number} {}: {}", what.kind().as_str(), what.text());
            return self.happenings.push(told);
        }
        self.log.push((self.ms(), self.told(&effect)));
        match effect {
            Effect::Spawn { instance, .. } => self.spawn(instance),
            Effect::Drain { instance, .. } => {
                if let Some(busy) = self.running(instance).and_then(|habits| habits.busy) {
                    self.plan(busy, Event::Drained { instance });
                }
            }
            Effect::Finish { instance } => {
                if let Some(hooks) = self.running(instance).and_then(|habits| habits.hooks) {
                    self.plan_end(instance, hooks, "exit status 0");
                }
            }
            Effect::Terminate { instance } => {
                if self.processes.get(&instance).is_some_and(|(habits, _)| !habits.ignores_stop_signal) {
                    self.plan_end(instance, 1, "killed by SIGTERM");
                }
            }
            Effect::Kill { instance } => {
                if self.processes.get(&instance).is_some_and(|(habits, _)| !habits.survives_kill) {
                    self.plan_end(instance, 1, "killed by SIGKILL");
                }
            }
            Effect::Ready { instance } => {
                assert!(self.is_running(instance), "{instance:?} is ready but not there")
            }
            Effect::Serve { instance, .. } | Effect::Unready { instance } => {
                assert!(self.is_running(instance), "{instance:?} is told of but not there")
            }
            Effect::Gone { .. } | Effect::Down { .. } | Effect::Zero { .. } | Effect::Tell { .. } => {}
            Effect::Reply { ticket, outcome } => {
                assert!(self.replies.insert(ticket, outcome).is_none(), "{ticket:?} was answered twice");
            }
            Effect::Ended { survivors } => {
                assert!(self.ended.replace(survivors).is_none(), "the end was told twice");
            }
        }
    }

    fn spawn(&mut self, instance: InstanceId) {
        let place = |other: &InstanceId| (other.service, other.number) == (instance.service, instance.number);
        let runs = |(other, (_, running)): (&InstanceId, &(Habits, bool))| place(other) && *running;
        assert!(!self.processes.iter().any(runs), "{instance:?} was started beside a process in its place");
        assert!(self.ended.is_none(), "{instance:?} was started after the end");
        let habits = self.habits.get(&instance.service).copied().unwrap_or(self.usual);
        self.processes.insert(instance, (habits, true));
        self.plan(0, Event::Spawned { instance, pid: 1_000 + instance.generation.0 });
        if let Some(after) = habits.hello {
            self.plan(after, Event::Hello { instance, hello: hello(WorkerKind::Def, "first") });
        }
        if let Some(after) = habits.exits {
            self.plan_end(instance, after, "exit status 1");
        }
    }

    fn plan_end(&mut self, instance: InstanceId, after_ms: u64, status: &str) {
        let fall = fall(status);
        self.plan(after_ms, Event::Exited { instance, fall, jitter: 0.0 });
        self.plan(after_ms, Event::Emptied { instance });
    }

    fn running(&self, instance: InstanceId) -> Option<Habits> {
        self.processes.get(&instance).filter(|(_, running)| *running).map(|(habits, _)| *habits)
    }

    fn told(&self, effect: &Effect) -> String {
        let label = |instance: &InstanceId| {
            format!("{}-{}", self.shorts[instance.service.0 as usize], instance.number)
        };
        match effect {
            Effect::Spawn { instance, kind: WorkerKind::Def } => format!("spawn {}", label(instance)),
            Effect::Spawn { instance, kind: WorkerKind::Async } => format!("spawn {} async", label(instance)),
            Effect::Serve { instance, upstream } => format!("serve {} {upstream}", label(instance)),
            Effect::Unready { instance } => format!("unready {}", label(instance)),
            Effect::Terminate { instance } => format!("terminate {}", label(instance)),
            Effect::Kill { instance } => format!("kill {}", label(instance)),
            Effect::Ready { instance } => format!("ready {}", label(instance)),
            Effect::Drain { instance, replay_now: false } => format!("drain {}", label(instance)),
            Effect::Drain { instance, replay_now: true } => format!("drain {} now", label(instance)),
            Effect::Finish { instance } => format!("finish {}", label(instance)),
            Effect::Gone { instance, reason } => format!("gone {}: {reason}", label(instance)),
            Effect::Down { reason: Some(reason), .. } => format!("down: {}", reason.replace('\n', " / ")),
            Effect::Down { reason: None, .. } => "up again".to_owned(),
            Effect::Zero { is_zero: true, .. } => "zero".to_owned(),
            Effect::Zero { is_zero: false, .. } => "not zero".to_owned(),
            Effect::Reply { ticket, outcome: Ok(()) } => format!("reply {}: done", ticket.0),
            Effect::Reply { ticket, outcome: Err(failure) } => format!("reply {}: {failure}", ticket.0),
            Effect::Tell { .. } => String::new(),
            Effect::Ended { survivors } => format!("ended, survivors {survivors:?}"),
        }
    }

    // ── what is there ────────────────────────────────────────────────────────────────────────────────────────────

    /// Instances of a service as `ps` shows them: `1 ready, 2 draining`.
    pub fn shown(&self, service: usize) -> String {
        let show = |entry: InstanceEntry| format!("{} {:?}", entry.id.number, entry.state).to_lowercase();
        self.fleet.services()[service].instances().into_iter().map(show).collect::<Vec<_>>().join(", ")
    }

    pub fn entries(&self, service: usize) -> Vec<InstanceEntry> {
        self.fleet.services()[service].instances()
    }

    /// The process that has this place now.
    pub fn instance(&self, service: usize, number: u32) -> InstanceId {
        let entry = self.entries(service).into_iter().find(|entry| entry.id.number == number);
        entry.expect("an instance with this number").id
    }

    pub fn desired(&self, service: usize) -> u32 {
        self.fleet.services()[service].desired()
    }

    /// The signature that is shown.
    pub fn signature(&self, service: usize) -> Option<&str> {
        self.fleet.services()[service].newest().map(|hello| hello.signature.text.as_str())
    }

    /// Instances that run or are going to, beyond those that leave.
    pub fn active(&self, service: usize) -> usize {
        let shown = self.entries(service);
        shown
            .iter()
            .filter(|entry| !matches!(format!("{:?}", entry.state).as_str(), "Draining" | "Stopped"))
            .count()
    }

    /// Processes whose group is not empty.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// The log so far, as text; cleared by being read.
    /// What the registry would show.
    pub fn instances(&self, service: ServiceId) -> Vec<InstanceEntry> {
        self.fleet.services()[service.0 as usize].instances()
    }

    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log).into_iter().map(|(ms, what)| format!("{ms} {what}")).collect()
    }
}
