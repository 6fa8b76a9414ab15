//! The core: the call machine joined with one dispatcher per service. One plain struct, fed with events, that
//! answers with effects; it does no IO and asks no clock.
//!
//! Life of a call: `ask` or a worker's `calls` queues it, `pump` binds it to a slot and emits `Run`, the worker's
//! messages park it or end it, `end` records its outcome in the call that waits, which `wake` queues again.

mod admission;
mod alarms;
mod answer;
mod batches;
mod binding;
mod closing;
mod deadline;
mod ending;
mod holding;
mod idempotency;
mod instances;
mod outlook;
mod paused;
mod permits;
mod report;
mod retry;
#[cfg(test)]
mod simulation;
mod streams;
#[cfg(test)]
mod tests;
mod tick;
mod timers;
mod turns;
mod view;
mod workers;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::balancer::Dispatcher;
use crate::calls::history::History;
use crate::calls::{Calls, Lines, Place};
use crate::config::spec::{BatchPolicy, OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId, ServiceName, WorkerKind};
use crate::protocol::worker::{FromWorker, ToWorker};
use crate::registry::Names;
use closing::Stage;
use idempotency::Keys;
use paused::Paused;
use permits::Permits;
use retry::{Budget, Jitter};
use streams::Streams;
use timers::Timers;
use turns::Turns;

pub use answer::{Answer, Reason, Refusal, Refused};
pub use holding::Hold;
pub use outlook::Outlook;
pub use paused::{CannotRetry, Progress};
pub use permits::{Failure, Requested};
pub use report::ServiceReport;
pub use view::list::Filter;
pub use view::{Labels, NotFound, Whereabouts};

/// What happened.
#[derive(Debug)]
pub enum Event {
    Attached {
        instance: InstanceId,
        kind: WorkerKind,
        slots: u32,
        max_parked: u32,
    },
    /// An instance that takes so many requests at once over HTTP.
    AttachedHttp {
        instance: InstanceId,
        slots: u32,
    },
    Ready(InstanceId),
    /// No new work for it until it is ready again.
    Unready(InstanceId),
    /// No new work; `replay_now`: parked calls are evicted at once instead of at the drain bound.
    Drain {
        instance: InstanceId,
        replay_now: bool,
    },
    /// A channel to it broke: nothing can be sent to it any more. `Gone` follows.
    Severed(InstanceId),
    Gone {
        instance: InstanceId,
        reason: String,
        /// Per lane, how many of its `run` and `resume` messages its process had begun with. Of a lane that is not
        /// listed: all.
        begun: Vec<u64>,
    },
    /// A crash loop began (with what is known of it) or ended.
    Down {
        service: ServiceId,
        reason: Option<String>,
    },
    /// Whether somebody pinned the service to no instances at all.
    ScaledToZero {
        service: ServiceId,
        is_zero: bool,
    },
    Worker {
        instance: InstanceId,
        lane: u32,
        message: FromWorker,
    },
    /// The stack of a call that was interrupted.
    Stack {
        instance: InstanceId,
        call: CallKey,
        attempt: u32,
        text: String,
    },
    /// The hub's own answer to `Effect::Orchestrate`.
    Orchestrated {
        call: CallKey,
        outcome: Outcome,
    },
    /// Whoever asked does not wait any more.
    Cancel(CallKey),
    /// The instance of this request has sent the head of its response.
    Answered(CallKey),
    /// This request holds its slot no more, or does not want one any more.
    Released(CallKey),
    /// Whoever asked for this root has taken one more item of it.
    Took(CallKey),
    /// msx stops: no more root calls. Those that were admitted go on, with the calls that they make.
    Close,
    /// They had their time: what has not ended fails now, and holds no instance back any more.
    Abandon,
    /// Time passed; due every `TICK`.
    Tick,
    /// Nothing new of the service runs, for so long at most.
    Hold {
        service: ServiceId,
        bound: Duration,
    },
    Unhold(ServiceId),
    /// What is known of a service that cannot have more instances now; `None`: it can.
    Outlook {
        service: ServiceId,
        outlook: Option<Outlook>,
    },
    /// What `Core::next_timer` names has come.
    Timer,
    /// Time passed; due every `PATROL` from `Effect::Patrol` on, until `is_on_patrol` ends.
    Patrol,
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Make a lane with this number; messages for it may follow at once.
    OpenLane {
        instance: InstanceId,
        lane: u32,
    },
    Send {
        instance: InstanceId,
        lane: u32,
        message: ToWorker,
    },
    Interrupt {
        instance: InstanceId,
        call: CallKey,
        attempt: u32,
        reason: &'static str,
    },
    Answer {
        token: u64,
        answer: Answer,
    },
    /// The next item of a root that is a stream.
    Item {
        token: u64,
        item: Bytes,
    },
    /// A request that waited for a slot has one, in this instance, or gets none.
    Permit {
        token: u64,
        granted: Result<InstanceId, Refusal>,
    },
    /// The root call of this token was cancelled: it has no answer.
    Forget {
        token: u64,
    },
    Orchestrate {
        call: CallKey,
        service: ServiceId,
        arguments: Bytes,
    },
    /// The worker shall give back what was sent ahead on this lane.
    AskBack {
        instance: InstanceId,
        lane: u32,
    },
    Drained(InstanceId),
    /// A call waits, and the service has no instance.
    Cold(ServiceId),
    /// It failed too many requests, and gets none for so long.
    Ejected {
        instance: InstanceId,
        bound: Duration,
    },
    /// A hold has ended because its time is over.
    Unheld(ServiceId),
    Unresponsive {
        instance: InstanceId,
        why: String,
    },
    /// Something that the person who runs the hub may want to know.
    Log(String),
}

/// How often `Event::Tick` is due while there are calls.
pub const TICK: Duration = Duration::from_millis(100);
/// How often `Event::Patrol` is due while calls are sent ahead. Together with `AHEAD_BOUND` it stays within the 5 ms
/// that such a call may wait for its lane (design 5).
pub const PATROL: Duration = Duration::from_millis(2);
/// How long a call may run while others wait behind it on its lane.
const AHEAD_BOUND: Duration = Duration::from_millis(3);

/// What the core needs to know of a service.
#[derive(Clone, Debug)]
pub struct ServiceSetup {
    pub name: ServiceName,
    pub queue: QueuePolicy,
    pub run_timeout: Duration,
    pub retries: RetryPolicy,
    /// Calls under one key that may run at once.
    pub per_key: Option<u32>,
    /// Its function takes several calls at once.
    pub batch: Option<BatchPolicy>,
    pub on_nondeterminism: OnNondeterminism,
    /// Answered by the hub itself (`msx.orchestrator`).
    pub is_hub: bool,
}

impl ServiceSetup {
    /// A function that the hub answers itself, which needs no bounds.
    pub fn of_hub(name: ServiceName) -> Self {
        let queue = QueuePolicy { max: u32::MAX, timeout: Duration::MAX };
        let (run_timeout, retries) = (Duration::MAX, RetryPolicy::NONE);
        let on_nondeterminism = OnNondeterminism::Fail;
        Self {
            name,
            queue,
            run_timeout,
            retries,
            per_key: None,
            batch: None,
            on_nondeterminism,
            is_hub: true,
        }
    }
}

struct Service {
    setup: ServiceSetup,
    dispatcher: Dispatcher,
    budget: Budget,
    /// When a batch is due, as `Core::batches_due` has it.
    batch_expected: Option<Instant>,
    /// Why calls fail at once: it crash-loops and nothing of it is ready.
    down: Option<String>,
    is_zero: bool,
    hold: Option<Hold>,
    outlook: Option<Outlook>,
    /// It was told that it has no instance for what waits.
    is_cold: bool,
    refused: Refused,
}

/// See the module.
pub struct Core {
    services: Vec<Service>,
    by_name: HashMap<ServiceName, ServiceId>,
    /// For a name that is not canonical; without the functions of the hub.
    names: Names,
    /// What a memo is called on the wire.
    memo_name: ServiceName,
    /// The same of what belongs to streams.
    stream_names: streams::Names,
    streams: Streams,
    calls: Calls,
    timers: Timers,
    jitter: Jitter,
    keys: Keys,
    turns: Turns,
    history: History,
    /// `MSX_REPLAY=always`: evict right after parking.
    replays_always: bool,
    /// Services whose dispatcher may have something to bind.
    dirty: Vec<ServiceId>,
    /// Calls may be on lanes that are not free yet.
    is_on_patrol: bool,
    stage: Stage,
    /// Which calls, all of them in no worker, wait for an alarm, and when it is due.
    alarms: BTreeSet<(Instant, CallKey)>,
    /// When which service makes a batch of what waits, if no more comes.
    batches_due: BTreeSet<(Instant, ServiceId)>,
    /// Batches that nobody waits for any more.
    deserted: Vec<CallKey>,
    lines: Lines,
    paused: Paused,
    /// Services that cannot be called.
    programs: BTreeSet<ServiceId>,
    permits: Permits,
}

impl Core {
    /// The position of a service in `services` is its id.
    pub fn new(services: Vec<ServiceSetup>, replays_always: bool) -> Self {
        let by_name = services.iter().enumerate();
        let by_name = by_name.map(|(at, setup)| (setup.name.clone(), ServiceId(at as u32))).collect();
        // The hub's own come last, so positions are ids here, too.
        let own = services.iter().filter(|setup| !setup.is_hub).map(|setup| setup.name.clone());
        let names = Names::new(own.collect());
        let services = services.into_iter().map(|setup| Service {
            dispatcher: Dispatcher::new(setup.batch),
            setup,
            budget: Budget::default(),
            batch_expected: None,
            down: None,
            is_zero: false,
            hold: None,
            outlook: None,
            is_cold: false,
            refused: Refused::default(),
        });
        Self {
            services: services.collect(),
            by_name,
            names,
            memo_name: ServiceName::new("msx.run"),
            stream_names: streams::Names::default(),
            streams: Streams::default(),
            calls: Calls::default(),
            timers: Timers::default(),
            jitter: Jitter::default(),
            keys: Keys::default(),
            turns: Turns::default(),
            history: History::default(),
            replays_always,
            dirty: Vec::new(),
            is_on_patrol: false,
            stage: Stage::Open,
            alarms: BTreeSet::new(),
            batches_due: BTreeSet::new(),
            deserted: Vec::new(),
            lines: Lines::default(),
            paused: Paused::default(),
            programs: BTreeSet::new(),
            permits: Permits::default(),
        }
    }

    /// These services are programs, which cannot be called.
    pub fn with_programs(mut self, programs: BTreeSet<ServiceId>) -> Self {
        self.programs = programs;
        self
    }

    /// Takes one event and appends what is to be done, in order.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Worker { instance, lane, message } => self.on_worker(now, instance, lane, message, out),
            Event::Attached { instance, kind, slots, max_parked } => {
                self.dispatcher(instance.service).attach(instance, kind, slots, max_parked);
            }
            Event::AttachedHttp { instance, slots } => {
                self.dispatcher(instance.service).attach_http(instance, slots);
            }
            Event::Ready(instance) => self.on_ready(instance),
            Event::Unready(instance) => self.on_unready(instance),
            Event::Drain { instance, replay_now } => self.on_drain(now, instance, replay_now, out),
            Event::Severed(instance) => self.on_severed(instance),
            Event::Gone { instance, reason, begun } => self.on_gone(now, instance, &reason, &begun, out),
            Event::Down { service, reason } => {
                self.services[service.0 as usize].down = reason;
                self.refuse_hopeless(now, service, out);
            }
            Event::ScaledToZero { service, is_zero } => {
                self.services[service.0 as usize].is_zero = is_zero;
                self.refuse_hopeless(now, service, out);
            }
            Event::Stack { instance, call, attempt, text } => {
                self.on_stack(now, instance, call, attempt, text, out)
            }
            Event::Orchestrated { call, outcome } => self.end(now, call, outcome, out),
            Event::Cancel(call) => self.cancel(now, call, out),
            Event::Answered(request) => self.on_answered(request),
            Event::Released(request) => self.on_released(now, request),
            Event::Took(call) => self.on_took(now, call, out),
            Event::Close => self.close(now, out),
            Event::Abandon => self.abandon(now, out),
            Event::Hold { service, bound } => self.hold(now, service, bound),
            Event::Unhold(service) => self.unhold(now, service),
            Event::Outlook { service, outlook } => self.services[service.0 as usize].outlook = outlook,
            Event::Tick => self.on_tick(now, out),
            // Whatever comes, `pump` looks for what is due.
            Event::Timer => (),
            Event::Patrol => self.on_patrol(now, out),
        }
        self.pump(now, out);
    }

    fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.0 as usize]
    }

    fn dispatcher(&mut self, id: ServiceId) -> &mut Dispatcher {
        &mut self.services[id.0 as usize].dispatcher
    }

    fn touch(&mut self, service: ServiceId) {
        if self.dirty.last() != Some(&service) {
            self.dirty.push(service);
        }
    }

    /// Whether `Event::Patrol` is due.
    pub fn is_on_patrol(&self) -> bool {
        self.is_on_patrol
    }

    // ---- transitions ----

    /// Queues a call for its first run.
    fn queue_new(&mut self, key: CallKey, now: Instant, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let (id, root_age, depth) = (call.service, call.root_age, call.depth);
        let service = &mut self.services[id.0 as usize];
        if service.setup.is_hub {
            call.place = Place::Hub;
            self.history.started(call.record, 0, now);
            out.push(Effect::Orchestrate { call: key, service: id, arguments: call.arguments.clone() });
            return;
        }
        service.budget.count_call();
        call.place = Place::Queued(service.dispatcher.push_new(key, root_age, depth, now));
        if service.dispatcher.is_held() {
            self.let_inner_pass(key);
        }
        self.touch(id);
    }

    /// Queues a suspended call for a new run on any instance.
    fn queue_replay(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if let Some((due, _)) = call.alarm.take() {
            self.alarms.remove(&(due, key));
        }
        let dispatcher = &mut self.services[call.service.0 as usize].dispatcher;
        call.place = Place::Queued(dispatcher.push_replay(key, call.root_age, call.depth));
        let service = call.service;
        self.touch(service);
    }

    /// What a suspended call waited for is there.
    fn wake(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        self.history.woken(call.record, now);
        match call.place {
            Place::Parked { instance, resuming: false } => {
                call.place = Place::Parked { instance, resuming: true };
                self.dispatcher(instance.service).request_resume(instance, key, now);
                self.touch(instance.service);
            }
            Place::Evicted => self.queue_replay(key),
            // Running: it will ask. Unwinding: its acknowledgement queues it. Queued: already on its way.
            _ => (),
        }
    }
}
