//! Single decisions of the core, message by message: what crosses what, and what happens to whom.

mod ahead;
mod batches;
mod holding;
mod late;
mod options;
mod paused;
mod queue;
mod streams;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Core, Effect, Event, ServiceSetup};
use crate::config::spec::{BatchPolicy, OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::model::{CallKey, Generation, InstanceId, Outcome, ServiceId, ServiceName, WorkerKind};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{Alarm, Entry, FromWorker, Recorded, ToWorker, Wait};

const RUN_TIMEOUT: Duration = Duration::from_secs(5);
/// Of the root call that each test makes.
const TOKEN: u64 = 7;

/// Two services, `s.caller` and `s.callee`, with one ready instance of one slot each.
struct Bench {
    core: Core,
    now: Instant,
    effects: Vec<Effect>,
}

const CALLER: ServiceId = ServiceId(0);
const CALLEE: ServiceId = ServiceId(1);

fn instance(service: ServiceId) -> InstanceId {
    InstanceId { service, number: 1, generation: Generation(0) }
}

fn error(kind: &str) -> Bytes {
    RemoteError { kind: kind.to_owned(), ..RemoteError::default() }.encode()
}

impl Bench {
    fn new(max_parked: u32) -> Self {
        Self::with_batches(max_parked, None)
    }

    /// The callee takes several calls at once.
    fn with_batches(max_parked: u32, batch: Option<BatchPolicy>) -> Self {
        let setup = |name: &str, batch| ServiceSetup {
            name: ServiceName::new(name),
            queue: QueuePolicy { max: 10, timeout: Duration::from_secs(10) },
            run_timeout: RUN_TIMEOUT,
            retries: RetryPolicy::NONE,
            per_key: None,
            batch,
            on_nondeterminism: OnNondeterminism::Fail,
            is_hub: false,
        };
        let core = Core::new(vec![setup("s.caller", None), setup("s.callee", batch)], false);
        let mut bench = Self { core, now: Instant::now(), effects: Vec::new() };
        for service in [CALLER, CALLEE] {
            let (instance, kind) = (instance(service), WorkerKind::Def);
            bench.event(Event::Attached { instance, kind, slots: 1, max_parked });
            bench.event(Event::Ready(instance));
        }
        bench
    }

    fn event(&mut self, event: Event) {
        self.core.handle(self.now, event, &mut self.effects);
    }

    fn says(&mut self, service: ServiceId, message: FromWorker) {
        self.event(Event::Worker { instance: instance(service), lane: 0, message });
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.event(Event::Tick);
    }

    /// A root call that now runs.
    fn ask(&mut self) -> CallKey {
        let call = self.core.ask(self.now, CALLER, Bytes::new(), None, TOKEN, &mut self.effects).unwrap();
        assert_eq!(self.started(), Some(call));
        call
    }

    /// The call whose `run` is among the effects, which are taken.
    fn started(&mut self) -> Option<CallKey> {
        self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call, .. }, .. } => Some(call),
            _ => None,
        })
    }

    /// `call` calls the callee, and waits for it.
    fn calls(&mut self, call: CallKey) {
        self.calls_by(call, "s.callee");
    }

    fn calls_by(&mut self, call: CallKey, name: &str) {
        let entry = Entry {
            seq: 0,
            service: name.into(),
            ident: 0,
            arguments: Bytes::new(),
            options: None,
            line: None,
        };
        let wait = Some(Wait { all: true, seqs: vec![0] });
        self.says(CALLER, FromWorker::Calls { call, attempt: 1, entries: vec![entry], wait });
    }

    fn answer(&mut self) -> Option<Answer> {
        self.effects.drain(..).find_map(|effect| match effect {
            Effect::Answer { token: TOKEN, answer } => Some(answer),
            _ => None,
        })
    }

    fn interrupts(&mut self) -> Vec<&'static str> {
        let interrupts = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Interrupt { reason, .. } => Some(reason),
            _ => None,
        });
        interrupts.collect()
    }

    fn is_given_up(&mut self, service: ServiceId) -> bool {
        let given_up =
            |effect| matches!(effect, Effect::Unresponsive { instance: id, .. } if id == instance(service));
        self.effects.drain(..).any(given_up)
    }

    fn error(&mut self) -> RemoteError {
        match self.answer() {
            Some(Answer::Done(Outcome::Error(payload))) => RemoteError::decode(&payload),
            other => panic!("{other:?} is no error"),
        }
    }
}

#[test]
fn what_an_interrupted_call_raises_is_its_timeout_even_before_its_stack_is_here() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.passes(RUN_TIMEOUT);
    let reason = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Interrupt { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, Some("run_timeout"));
    bench.says(CALLER, FromWorker::Raise { call, attempt: 1, error: error("msx.Cancelled") });
    assert_eq!(bench.error().kind, RemoteError::TIMEOUT);
    let text = "the stack".to_owned();
    bench.event(Event::Stack { instance: instance(CALLER), call, attempt: 1, text });
    assert!(bench.answer().is_none(), "it is answered once");
}

#[test]
fn what_an_interrupted_call_still_returns_is_its_result() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.passes(RUN_TIMEOUT);
    bench.says(
        CALLER,
        FromWorker::Return { call, attempt: 1, value: Bytes::from_static(b"in time"), run: Duration::ZERO },
    );
    assert!(
        matches!(bench.answer(), Some(Answer::Done(Outcome::Value(value))) if value == b"in time".as_ref())
    );
}

#[test]
fn a_replay_does_not_wait_for_a_service_that_was_scaled_to_zero() {
    let mut bench = Bench::new(0);
    let call = bench.ask();
    bench.calls(call);
    let child = bench.started().unwrap();
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
    bench.event(Event::ScaledToZero { service: CALLER, is_zero: true });
    bench.event(Event::Gone { instance: instance(CALLER), reason: "stopped".into(), begun: vec![] });
    assert!(bench.answer().is_none(), "it waits for its child");
    bench.says(
        CALLEE,
        FromWorker::Return { call: child, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    bench.passes(super::TICK);
    // Not "refused", which says that nothing was run and it may be tried again.
    assert_eq!(bench.error().kind, RemoteError::UNAVAILABLE);
}

#[test]
fn an_answer_that_crosses_an_eviction_counts() {
    let mut bench = Bench::new(0);
    let call = bench.ask();
    bench.calls(call);
    bench.says(
        CALLER,
        FromWorker::Return { call, attempt: 1, value: Bytes::from_static(b"done"), run: Duration::ZERO },
    );
    assert!(matches!(bench.answer(), Some(Answer::Done(Outcome::Value(value))) if value == b"done".as_ref()));
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
    assert!(bench.answer().is_none() && bench.core.unfinished() == 0, "it is not run again");
}

#[test]
fn an_interrupt_for_a_caller_that_left_does_not_stand_for_the_one_at_the_run_timeout() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.event(Event::Cancel(call));
    assert_eq!(bench.interrupts(), ["cancelled"]);
    bench.passes(RUN_TIMEOUT);
    assert_eq!(bench.interrupts(), ["run_timeout"]);
    bench.passes(Duration::from_millis(900));
    assert!(!bench.is_given_up(CALLER), "it has a second to obey");
    bench.passes(Duration::from_millis(100));
    assert!(bench.is_given_up(CALLER));
}

#[test]
fn a_draining_instance_is_given_up_on_like_any_other() {
    let mut bench = Bench::new(256);
    bench.ask();
    bench.event(Event::Drain { instance: instance(CALLER), replay_now: false });
    bench.passes(RUN_TIMEOUT);
    bench.passes(Duration::from_secs(1));
    assert!(bench.is_given_up(CALLER));
    bench.passes(Duration::from_secs(1));
    assert!(!bench.is_given_up(CALLER), "it is said once");
}

#[test]
fn code_that_does_not_unwind_in_time_costs_its_instance() {
    let mut bench = Bench::new(0);
    let call = bench.ask();
    bench.calls(call);
    bench.passes(RUN_TIMEOUT);
    assert!(!bench.is_given_up(CALLER));
    bench.passes(Duration::from_secs(1));
    assert!(bench.is_given_up(CALLER));
}

#[test]
fn children_of_a_service_that_cannot_run_fail_at_once() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.event(Event::Gone { instance: instance(CALLEE), reason: "exit status 1".into(), begun: vec![] });
    bench.event(Event::Down { service: CALLEE, reason: Some("last words".into()) });
    bench.calls(call);
    let told = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Send { message: ToWorker::Resume { results, .. }, .. } => Some(results),
        _ => None,
    });
    let told = told.unwrap();
    let [(0, Outcome::Error(payload))] = told.as_slice() else { panic!("{told:?}") };
    let error = RemoteError::decode(payload);
    assert_eq!(error.kind, RemoteError::UNAVAILABLE);
    assert!(error.message.ends_with("\nlast words"), "{}", error.message);
}

#[test]
fn only_what_a_process_has_begun_with_is_lost_with_it() {
    for (begun, lost) in [(vec![0], false), (vec![1], true), (vec![], true)] {
        let mut bench = Bench::new(256);
        let call = bench.ask();
        bench.event(Event::Severed(instance(CALLER)));
        bench.event(Event::Gone { instance: instance(CALLER), reason: "killed".into(), begun });
        if lost {
            assert_eq!(bench.error().kind, RemoteError::INSTANCE_DIED);
            continue;
        }
        let replacement = InstanceId { generation: Generation(1), ..instance(CALLER) };
        bench.event(Event::Attached {
            instance: replacement,
            kind: WorkerKind::Def,
            slots: 1,
            max_parked: 1,
        });
        bench.event(Event::Ready(replacement));
        assert_eq!(bench.started(), Some(call));
    }
}

/// A thread beside the call's own listens: the call keeps its slot, and is told once.
#[test]
fn what_a_running_call_listens_for_it_is_told_where_it_runs() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    let seq = (1 << 31) + 5;
    let entry = Entry {
        seq,
        service: "s.callee".into(),
        ident: 0,
        arguments: Bytes::new(),
        options: None,
        line: None,
    };
    bench.says(CALLER, FromWorker::Calls { call, attempt: 1, entries: vec![entry], wait: None });
    let child = bench.started().unwrap();
    bench.says(CALLER, FromWorker::Listen { call, attempt: 1, seqs: vec![seq] });
    bench.says(
        CALLEE,
        FromWorker::Return { call: child, attempt: 1, value: Bytes::from_static(b"it"), run: Duration::ZERO },
    );
    let told = |bench: &mut Bench| {
        let told = bench.effects.drain(..).filter_map(|effect| match effect {
            Effect::Send { message: ToWorker::Resume { results, .. }, .. } => Some(results),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut bench), [[(seq, Outcome::Value(Bytes::from_static(b"it")))]]);
    bench.says(CALLER, FromWorker::Listen { call, attempt: 1, seqs: vec![seq] });
    assert_eq!(told(&mut bench), [[]], "it is there already");
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert!(matches!(bench.answer(), Some(Answer::Done(Outcome::Value(_)))));
}

#[test]
fn a_child_may_be_asked_for_by_the_short_name() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.calls_by(call, "callee");
    let child = bench.started().unwrap();
    bench.says(
        CALLEE,
        FromWorker::Return { call: child, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    bench.effects.clear();
    bench.calls_by(call, "s.callee");
    assert!(bench.answer().is_none(), "both names mean the same call");
}

#[test]
fn a_name_that_is_wrong_is_told_with_what_it_may_have_meant() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.calls_by(call, "calee");
    let told = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Send { message: ToWorker::Resume { results, .. }, .. } => Some(results),
        _ => None,
    });
    let told = told.unwrap();
    let [(0, Outcome::Error(payload))] = told.as_slice() else { panic!("{told:?}") };
    let expected = "there is no service `calee` (did you mean `callee`?); the module of a service must be among `modules` \
                    in services.toml";
    assert_eq!(RemoteError::decode(payload).message, expected);
}

/// The timer of a call that was evicted strikes at the hub, once, and stands behind what was recorded before.
#[test]
fn an_evicted_call_is_run_again_when_its_alarm_is_due() {
    let mut bench = Bench::new(0);
    let call = bench.ask();
    bench.calls(call);
    let alarm = Alarm {
        seq: 1,
        ident: 9,
        value: Bytes::from_static(b"7"),
        after: Duration::from_secs(1),
        line: None,
    };
    bench.says(CALLER, FromWorker::Alarm { call, attempt: 1, alarm: alarm.clone() });
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
    bench.effects.clear();
    bench.passes(Duration::from_millis(900));
    assert_eq!(bench.started(), None, "it is not due");
    bench.passes(Duration::from_millis(100));
    let recorded = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Send { message: ToWorker::Run { call: run, results, .. }, .. } if run == call => {
            Some(results)
        }
        _ => None,
    });
    let service = ServiceName::new("msx.run");
    assert_eq!(
        recorded,
        Some(vec![Recorded {
            seq: 1,
            service,
            ident: 9,
            outcome: Outcome::Value(alarm.value),
            line: None,
            arguments: Bytes::new()
        }])
    );
    bench.passes(Duration::from_secs(10));
    assert_eq!(bench.started(), None, "it strikes once");
}
