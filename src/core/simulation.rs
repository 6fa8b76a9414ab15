//! The core against simulated workers: seeded programs of calls, with messages in any order, crashes, drains,
//! evictions and callers that leave. The invariants are checked after every step.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Answer, Core, Effect, Event, ServiceSetup};
use crate::balancer::Pace;
use crate::config::spec::{OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::model::{CallKey, Generation, InstanceId, Outcome, ServiceId, ServiceName, WorkerKind};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{CallOptions, Entry, FromWorker, ToWorker, Wait};

const SERVICES: u32 = 2;

/// What a simulated function does next, given the results it has.
enum Step {
    /// Wait for these calls: seq and argument of each.
    Calls {
        service: u32,
        calls: Vec<(u32, u64)>,
        all: bool,
    },
    Return(u64),
}

/// fib over two services in turn; the number's parity decides between one call after the other and both at once.
fn step(service: u32, n: u64, results: &BTreeMap<u32, u64>) -> Step {
    let service = (service + 1) % SERVICES;
    let wanted = [(0, n.wrapping_sub(1)), (1, n.wrapping_sub(2))];
    let mut missing = wanted.into_iter().filter(|(seq, _)| !results.contains_key(seq));
    match (n, results.len()) {
        (0 | 1, _) => Step::Return(n),
        (_, 2) => Step::Return(results.values().sum()),
        _ if n.is_multiple_of(2) => Step::Calls { service, calls: missing.collect(), all: true },
        _ => Step::Calls { service, calls: missing.next().into_iter().collect(), all: false },
    }
}

fn fib(n: u64) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

fn payload(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_le_bytes())
}

fn number(payload: &Bytes) -> u64 {
    u64::from_le_bytes(payload.as_ref().try_into().expect("a payload of this simulation"))
}

/// One attempt of a call in a simulated worker.
struct Attempt {
    attempt: u32,
    lane: u32,
    argument: u64,
    results: BTreeMap<u32, Outcome>,
    waits: bool,
}

/// What is special about the simulated functions.
#[derive(Clone, Copy, Default)]
struct Habits {
    child_timeout: Option<Duration>,
    /// Some calls raise in their first attempt.
    is_flaky: bool,
    /// Child calls with the same number have the same idempotency key, and so are one call.
    is_keyed: bool,
}

impl Habits {
    fn options_of(self, n: u64) -> Option<Box<CallOptions>> {
        let number: Arc<str> = n.to_string().into();
        let mut options = CallOptions { key: Some(number.clone()), ..CallOptions::default() };
        options.timeout = self.child_timeout;
        options.idempotency_key = self.is_keyed.then_some(number);
        Some(Box::new(options))
    }
}

fn transient() -> Bytes {
    RemoteError { kind: "builtins.OSError".into(), ..RemoteError::default() }.encode()
}

#[derive(Default)]
struct Worker {
    calls: HashMap<CallKey, Attempt>,
    /// Messages on their way to the hub, per lane in order.
    outbox: VecDeque<(u32, FromWorker)>,
    lanes: BTreeMap<u32, Lane>,
}

/// One lane of a worker: what it has read and not begun with.
#[derive(Default)]
struct Lane {
    /// `run` and `resume` messages that were read.
    told: u64,
    /// The number of the last one that was begun with.
    begun: u64,
    pending: VecDeque<(u64, CallKey, Attempt)>,
}

struct Simulation {
    core: Core,
    now: Instant,
    workers: BTreeMap<InstanceId, Worker>,
    slots: u32,
    max_parked: u32,
    habits: Habits,
    generation: u32,
    answers: HashMap<u64, Answer>,
    effects: Vec<Effect>,
}

/// How a simulated hub is set up.
#[derive(Clone, Copy, Debug)]
struct Setup {
    instances: u32,
    slots: u32,
    max_parked: u32,
    replays_always: bool,
    /// Calls are sent ahead, however long they are and whatever they call.
    sends_ahead: bool,
    retries: u32,
    per_key: Option<u32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            instances: 1,
            slots: 1,
            max_parked: 256,
            replays_always: false,
            sends_ahead: false,
            retries: 0,
            per_key: None,
        }
    }
}

impl Simulation {
    fn new(setup: Setup) -> Self {
        let Setup { instances, slots, max_parked, replays_always, sends_ahead, retries, per_key } = setup;
        let setup = |name: &str| ServiceSetup {
            name: ServiceName::new(name),
            queue: QueuePolicy { max: 1024, timeout: Duration::from_secs(1000) },
            run_timeout: Duration::from_secs(1000),
            retries: RetryPolicy { max: retries, backoff: Duration::from_millis(10) },
            per_key,
            batch: None,
            on_nondeterminism: OnNondeterminism::Fail,
            is_hub: false,
        };
        let mut core = Core::new(vec![setup("s.0"), setup("s.1")], replays_always);
        if sends_ahead {
            core.services.iter_mut().for_each(|service| service.dispatcher.pace = Pace::blind());
        }
        let mut simulation = Self {
            core,
            now: Instant::now(),
            workers: BTreeMap::new(),
            slots,
            max_parked,
            habits: Habits::default(),
            generation: 0,
            answers: HashMap::new(),
            effects: Vec::new(),
        };
        for service in 0..SERVICES {
            for number in 1..=instances {
                simulation.start(ServiceId(service), number);
            }
        }
        simulation
    }

    fn start(&mut self, service: ServiceId, number: u32) {
        self.generation += 1;
        let instance = InstanceId { service, number, generation: Generation(self.generation) };
        self.workers.insert(instance, Worker::default());
        let (slots, max_parked) = (self.slots, self.max_parked);
        self.event(Event::Attached { instance, kind: WorkerKind::Def, slots, max_parked });
        self.event(Event::Ready(instance));
    }

    fn event(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        self.core.handle(self.now, event, &mut self.effects);
        self.settle();
    }

    fn ask(&mut self, service: u32, n: u64, token: u64) -> Option<CallKey> {
        self.ask_within(service, n, None, token)
    }

    fn ask_within(&mut self, service: u32, n: u64, timeout: Option<u64>, token: u64) -> Option<CallKey> {
        let options = CallOptions::of_root(timeout.map(Duration::from_millis), None);
        let (service, effects) = (ServiceId(service), &mut self.effects);
        let asked = self.core.ask(self.now, service, payload(n), options, token, effects);
        self.settle();
        asked.ok()
    }

    fn settle(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send { instance, lane, message } => self.deliver(instance, lane, message),
                Effect::Answer { token, answer } => {
                    assert!(self.answers.insert(token, answer).is_none(), "a root is answered once");
                }
                Effect::AskBack { instance, lane } => {
                    self.workers
                        .get_mut(&instance)
                        .expect("a severed instance is asked nothing")
                        .give_back(lane);
                }
                Effect::Drained(instance) => {
                    let worker = self.workers.remove(&instance).expect("a drained instance is alive");
                    assert!(worker.calls.is_empty(), "a drained instance holds nothing");
                    self.core.handle(
                        self.now,
                        Event::Gone { instance, reason: "stopped".into(), begun: vec![] },
                        &mut self.effects,
                    );
                }
                _ => (),
            }
        }
        if !self.effects.is_empty() {
            self.settle();
        }
        self.check();
    }

    fn check(&mut self) {
        let (slots, lanes) = (self.slots as usize, (self.slots + self.max_parked) as usize);
        for report in self.core.report(self.now) {
            for instance in report.instances {
                assert!(instance.busy <= slots, "running calls stay within the slots");
                assert!(instance.busy + instance.parked <= lanes + 1, "lanes stay within their bound");
            }
        }
    }

    fn deliver(&mut self, instance: InstanceId, lane: u32, message: ToWorker) {
        let Some(worker) = self.workers.get_mut(&instance) else {
            assert!(matches!(message, ToWorker::Evict { .. }), "a severed instance gets no work");
            return;
        };
        match message {
            ToWorker::Run { call, attempt, arguments, results, .. } => {
                let results: BTreeMap<_, _> = results.into_iter().map(|r| (r.seq, r.outcome)).collect();
                let argument = number(&arguments);
                let fresh = Attempt { attempt, lane, argument, results, waits: false };
                worker.hear(lane, call, fresh);
                // A lane that still has something to say goes on when it likes.
                if worker.outbox.iter().all(|(other, _)| *other != lane) {
                    worker.begin(instance.service.0, lane, self.habits);
                }
            }
            ToWorker::Resume { call, results, .. } => {
                let heard = worker.lanes.get_mut(&lane).expect("a resumed call has a lane");
                assert!(heard.pending.is_empty(), "nothing stays behind a parked call");
                heard.told += 1;
                heard.begun = heard.told;
                let attempt = worker.calls.get_mut(&call).expect("a resumed call is parked here");
                assert!(std::mem::take(&mut attempt.waits), "a resumed call waits");
                for (seq, outcome) in results {
                    assert!(attempt.results.insert(seq, outcome).is_none(), "a result is delivered once");
                }
                worker.go_on(instance.service.0, call, self.habits);
            }
            ToWorker::Evict { call, attempt } => {
                if let Some(attempt) = worker.calls.remove(&call) {
                    worker
                        .outbox
                        .push_back((attempt.lane, FromWorker::Evicted { call, attempt: attempt.attempt }));
                } else {
                    worker.outbox.push_back((lane, FromWorker::Evicted { call, attempt }));
                }
            }
        }
    }

    /// One message of some worker arrives, or it begins with a call that it has read. False: there was none.
    fn arrive(&mut self, choice: usize) -> bool {
        if choice.is_multiple_of(3) && self.begin(choice) {
            return true;
        }
        self.deliver_one(choice) || self.begin(choice)
    }

    fn begin(&mut self, choice: usize) -> bool {
        let lanes = self.workers.iter().flat_map(|(id, worker)| {
            let full = worker.lanes.iter().filter(|(_, lane)| !lane.pending.is_empty());
            full.map(|(lane, _)| (*id, *lane))
        });
        let lanes: Vec<(InstanceId, u32)> = lanes.collect();
        if lanes.is_empty() {
            return false;
        }
        let (instance, lane) = lanes[choice % lanes.len()];
        let worker = self.workers.get_mut(&instance).expect("just found");
        worker.begin(instance.service.0, lane, self.habits);
        true
    }

    fn deliver_one(&mut self, choice: usize) -> bool {
        let busy = self.workers.iter().filter(|(_, worker)| !worker.outbox.is_empty());
        let busy: Vec<InstanceId> = busy.map(|(id, _)| *id).collect();
        if busy.is_empty() {
            return false;
        }
        let instance = busy[choice % busy.len()];
        let worker = self.workers.get_mut(&instance).expect("just found");
        let (lane, message) = worker.outbox.pop_front().expect("not empty");
        self.event(Event::Worker { instance, lane, message });
        true
    }

    /// Time passes until something is due. False: nothing is.
    fn wait(&mut self) -> bool {
        let Some(next) = self.core.next_timer() else { return false };
        self.now = self.now.max(next);
        self.event(Event::Timer);
        true
    }

    fn crash(&mut self, choice: usize) {
        let ids: Vec<InstanceId> = self.workers.keys().copied().collect();
        let instance = ids[choice % ids.len()];
        let worker = self.workers.remove(&instance).expect("just found");
        let begun = (0..).map_while(|lane| worker.lanes.get(&lane)).map(|lane| lane.begun).collect();
        self.event(Event::Severed(instance));
        // Others go on between the end of its channel and the news of its exit.
        (0..choice % 8).for_each(|turn| {
            self.arrive(choice.wrapping_add(turn));
        });
        self.event(Event::Gone { instance, reason: "killed".into(), begun });
        self.start(instance.service, instance.number);
    }

    fn roll(&mut self, choice: usize, replay_now: bool) {
        let ids: Vec<InstanceId> = self.workers.keys().copied().collect();
        let instance = ids[choice % ids.len()];
        self.start(instance.service, instance.number + 100);
        self.event(Event::Drain { instance, replay_now });
    }

    fn is_at_rest(&mut self) -> bool {
        let reports = self.core.report(self.now);
        let is_idle = self.core.unfinished() == 0;
        assert!(!is_idle || self.core.history.is_idle(), "no tree outlives its calls");
        is_idle
            && self.core.next_timer().is_none()
            && reports.iter().all(|r| {
                r.queued == 0 && r.busy == 0 && r.instances.iter().all(|i| i.busy == 0 && i.parked == 0)
            })
    }
}

impl Worker {
    fn hear(&mut self, lane: u32, call: CallKey, attempt: Attempt) {
        let is_parked = self.calls.values().any(|other| other.lane == lane && other.waits);
        let heard = self.lanes.entry(lane).or_default();
        heard.told += 1;
        match is_parked {
            true => self.outbox.push_back((lane, FromWorker::GiveBack { call, attempt: attempt.attempt })),
            false => heard.pending.push_back((heard.told, call, attempt)),
        }
    }

    /// Begins with the next call of a lane.
    fn begin(&mut self, service: u32, lane: u32, habits: Habits) {
        let Some(heard) = self.lanes.get_mut(&lane) else { return };
        let Some((ordinal, call, attempt)) = heard.pending.pop_front() else { return };
        heard.begun = ordinal;
        assert!(self.calls.insert(call, attempt).is_none(), "a call is in one place");
        self.go_on(service, call, habits);
    }

    /// Gives back what a lane has not begun with, the last first.
    fn give_back(&mut self, lane: u32) {
        let Some(heard) = self.lanes.get_mut(&lane) else { return };
        while let Some((_, call, attempt)) = heard.pending.pop_back() {
            self.outbox.push_back((lane, FromWorker::GiveBack { call, attempt: attempt.attempt }));
        }
    }

    /// Runs a call until it waits or returns.
    fn go_on(&mut self, service: u32, call: CallKey, habits: Habits) {
        let Some(state) = self.calls.get_mut(&call) else { return };
        let failed = state.results.values().find(|outcome| matches!(outcome, Outcome::Error(_)));
        if let Some(Outcome::Error(error)) = failed {
            let message = FromWorker::Raise { call, attempt: state.attempt, error: error.clone() };
            return self.finish(call, message);
        }
        if habits.is_flaky && state.attempt == 1 && state.argument % 4 == 3 {
            let message = FromWorker::Raise { call, attempt: 1, error: transient() };
            return self.finish(call, message);
        }
        let values = state.results.iter().filter_map(|(seq, outcome)| match outcome {
            Outcome::Value(value) => Some((*seq, number(value))),
            Outcome::Error(_) => None,
        });
        match step(service, state.argument, &values.collect()) {
            Step::Return(value) => {
                let message = FromWorker::Return {
                    call,
                    attempt: state.attempt,
                    value: payload(value),
                    run: Duration::ZERO,
                };
                self.finish(call, message);
            }
            Step::Calls { service, calls, all } => {
                let entries = calls.iter().map(|(seq, n)| Entry {
                    seq: *seq,
                    service: format!("s.{service}"),
                    ident: *n as u32,
                    arguments: payload(*n),
                    options: habits.options_of(*n),
                    line: None,
                });
                let entries = entries.collect();
                let wait = Some(Wait { all, seqs: calls.iter().map(|(seq, _)| *seq).collect() });
                state.waits = true;
                let lane = state.lane;
                let message = FromWorker::Calls { call, attempt: state.attempt, entries, wait };
                self.give_back(lane);
                self.outbox.push_back((lane, message));
            }
        }
    }

    fn finish(&mut self, call: CallKey, message: FromWorker) {
        if let Some(state) = self.calls.remove(&call) {
            self.outbox.push_back((state.lane, message));
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Arrive(usize),
    Crash(usize),
    Roll(usize, bool),
    Cancel(usize),
    Tick,
    Patrol,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        60 => any::<usize>().prop_map(Action::Arrive),
        1 => any::<usize>().prop_map(Action::Crash),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(choice, now)| Action::Roll(choice, now)),
        1 => any::<usize>().prop_map(Action::Cancel),
        2 => Just(Action::Tick),
        2 => Just(Action::Patrol),
    ]
}

proptest! {
    /// Whatever happens, every root is answered once, with the right value or with an error, or was cancelled;
    /// and nothing is left.
    #[test]
    fn nothing_is_lost(
        instances in 1u32..3,
        slots in 1u32..3,
        max_parked in 1u32..6,
        replays_always: bool,
        sends_ahead: bool,
        roots in prop::collection::vec((0u32..SERVICES, 0u64..9, prop::option::weighted(0.2, 0u64..200)), 1..6),
        retries in 0u32..4,
        is_flaky: bool,
        is_keyed: bool,
        per_key in prop::option::of(1u32..3),
        child_timeout in prop::option::weighted(0.2, 0u64..100),
        actions in prop::collection::vec(action(), 0..400),
    ) {
        let setup = Setup { instances, slots, max_parked, replays_always, sends_ahead, retries, per_key };
        let mut simulation = Simulation::new(setup);
        simulation.habits = Habits { child_timeout: child_timeout.map(Duration::from_millis), is_flaky, is_keyed };
        let mut keys = Vec::new();
        for (token, (service, n, timeout)) in roots.iter().enumerate() {
            keys.extend(simulation.ask_within(*service, *n, *timeout, token as u64));
        }
        let mut cancelled = Vec::new();
        for action in actions {
            match action {
                Action::Arrive(choice) => {
                    simulation.arrive(choice);
                }
                Action::Crash(choice) => simulation.crash(choice),
                Action::Roll(choice, replay_now) => simulation.roll(choice, replay_now),
                Action::Tick => simulation.event(Event::Tick),
                Action::Patrol => simulation.event(Event::Patrol),
                Action::Cancel(choice) => {
                    let at = choice % keys.len();
                    simulation.event(Event::Cancel(keys[at]));
                    cancelled.push(at as u64);
                }
            }
        }
        let mut steps = 0;
        while simulation.arrive(steps) || simulation.wait() {
            steps += 1;
            prop_assert!(steps < 1_000_000, "the calls come to an end");
        }
        for (token, (_, n, timeout)) in roots.iter().enumerate() {
            match simulation.answers.get(&(token as u64)) {
                Some(Answer::Done(Outcome::Value(value))) => prop_assert_eq!(number(value), fib(*n)),
                Some(Answer::Done(Outcome::Error(_))) => (),
                Some(Answer::Expired) => prop_assert!(timeout.is_some(), "root {token} had no deadline"),
                Some(Answer::Refused(refusal)) => prop_assert!(false, "refused: {refusal:?}"),
                None => prop_assert!(cancelled.contains(&(token as u64)), "root {token} has no answer"),
            }
        }
        prop_assert!(simulation.is_at_rest());
    }
}

#[test]
fn what_fails_at_first_heals() {
    for (max_parked, replays_always) in [(256, false), (2, false), (256, true)] {
        let mut simulation = Simulation::new(Setup {
            instances: 2,
            slots: 2,
            max_parked,
            replays_always,
            sends_ahead: false,
            retries: 1,
            per_key: Some(1),
        });
        simulation.habits.is_flaky = true;
        simulation.ask(0, 9, 7);
        let mut steps = 0;
        while simulation.arrive(steps) || simulation.wait() {
            steps += 1;
        }
        let answer = simulation.answers.get(&7);
        assert!(
            matches!(answer, Some(Answer::Done(Outcome::Value(value))) if number(value) == fib(9)),
            "{answer:?}"
        );
        assert!(simulation.is_at_rest());
    }
}

#[test]
fn one_slot_is_enough_for_a_deep_tree() {
    for (max_parked, replays_always) in [(256, false), (2, false), (256, true)] {
        let mut simulation =
            Simulation::new(Setup { slots: 1, max_parked, replays_always, ..Setup::default() });
        simulation.ask(0, 15, 7);
        let mut steps = 0;
        while simulation.arrive(steps) {
            steps += 1;
        }
        let answer = simulation.answers.get(&7);
        assert!(
            matches!(answer, Some(Answer::Done(Outcome::Value(value))) if number(value) == 610),
            "{answer:?}"
        );
        assert!(simulation.is_at_rest());
    }
}

#[test]
fn a_closed_core_finishes_what_it_admitted_and_takes_no_more() {
    let mut simulation = Simulation::new(Setup::default());
    simulation.ask(0, 8, 1);
    simulation.event(Event::Close);
    assert_eq!(simulation.ask(0, 1, 2), None);
    let mut steps = 0;
    while simulation.arrive(steps) {
        steps += 1;
    }
    let answer = simulation.answers.get(&1);
    assert!(
        matches!(answer, Some(Answer::Done(Outcome::Value(value))) if number(value) == fib(8)),
        "{answer:?}"
    );
    assert!(simulation.is_at_rest());
}

#[test]
fn an_abandoned_core_answers_every_root_and_is_held_back_by_nothing() {
    let mut simulation = Simulation::new(Setup { slots: 2, ..Setup::default() });
    (0..4).for_each(|token| {
        simulation.ask(0, 8, token);
    });
    (0..20).for_each(|choice| {
        simulation.arrive(choice);
    });
    simulation.event(Event::Abandon);
    for token in 0..4 {
        let answer = simulation.answers.get(&token);
        assert!(matches!(answer, Some(Answer::Done(Outcome::Error(_)))), "{answer:?}");
    }
    // None of the messages that are on their way has arrived.
    for instance in simulation.workers.keys().copied().collect::<Vec<_>>() {
        simulation.core.handle(
            simulation.now,
            Event::Drain { instance, replay_now: false },
            &mut simulation.effects,
        );
        let drained = |effect: &Effect| matches!(effect, Effect::Drained(id) if *id == instance);
        assert!(simulation.effects.iter().any(drained), "{instance:?}");
    }
}
