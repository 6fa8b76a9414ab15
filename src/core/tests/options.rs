//! Options of calls: deadlines, retries, idempotency keys and turns.

use std::time::Duration;

use super::*;
use crate::core::{Filter, Reason};
use crate::protocol::calls::CallStatus;
use crate::protocol::worker::CallOptions;

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn ask_within(&mut self, timeout: Duration) -> CallKey {
        let (options, effects) = (CallOptions::of_root(Some(timeout), None), &mut self.effects);
        self.core.ask(self.now, CALLER, Bytes::new(), options, TOKEN, effects).unwrap()
    }

    /// `call` calls the callee with this option, and waits for it.
    fn calls_with(&mut self, call: CallKey, options: CallOptions) {
        let options = Some(Box::new(options));
        let entry = Entry {
            seq: 0,
            service: "s.callee".into(),
            ident: 0,
            arguments: Bytes::new(),
            options,
            line: None,
        };
        let wait = Some(Wait { all: true, seqs: vec![0] });
        self.says(CALLER, FromWorker::Calls { call, attempt: 1, entries: vec![entry], wait });
    }

    /// Time passes until the next timer, which goes off.
    fn timer(&mut self) {
        self.now = self.core.next_timer().expect("something is due");
        self.event(Event::Timer);
    }

    /// How long the callers of the calls that were started still wait.
    fn remaining(&mut self) -> Vec<Option<Duration>> {
        let started = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { remaining, .. }, .. } => Some(remaining),
            _ => None,
        });
        started.collect()
    }

    /// What the caller is told when it goes on.
    fn told(&mut self) -> Option<Outcome> {
        self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Resume { mut results, .. }, .. } => Some(results.remove(0).1),
            _ => None,
        })
    }
}

#[test]
fn a_deadline_travels_and_shrinks() {
    for (own, left) in [(SECOND, SECOND), (10 * SECOND, 2 * SECOND)] {
        let mut bench = Bench::new(256);
        let call = bench.ask_within(3 * SECOND);
        assert_eq!(bench.remaining(), [Some(3 * SECOND)]);
        bench.now += SECOND;
        bench.calls_with(call, CallOptions { timeout: Some(own), ..CallOptions::default() });
        assert_eq!(bench.remaining(), [Some(left)]);
    }
}

#[test]
fn a_call_without_one_has_no_deadline_and_no_timer() {
    let mut bench = Bench::new(256);
    bench.core.ask(bench.now, CALLER, Bytes::new(), None, TOKEN, &mut bench.effects).unwrap();
    assert_eq!(bench.remaining(), [None]);
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn an_expired_call_is_an_error_at_once_and_what_runs_is_interrupted() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.calls_with(call, CallOptions { timeout: Some(SECOND), ..CallOptions::default() });
    let child = bench.started().unwrap();
    bench.timer();
    let interrupted = |effect: &Effect| matches!(effect, Effect::Interrupt { call, .. } if *call == child);
    assert!(bench.effects.iter().any(interrupted));
    let Some(Outcome::Error(payload)) = bench.told() else { panic!("the caller goes on") };
    let error = RemoteError::decode(&payload);
    assert_eq!((error.kind.as_str(), error.service.as_str()), (RemoteError::TIMEOUT, "s.callee"));
    // The slot is held until the worker is done with it; what it says then changes nothing.
    bench.says(CALLEE, FromWorker::Raise { call: child, attempt: 1, error: error.encode() });
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert!(matches!(bench.answer(), Some(Answer::Done(Outcome::Value(_)))));
    assert_eq!((bench.core.unfinished(), bench.core.next_timer()), (0, None));
}

#[test]
fn a_root_that_expires_takes_its_tree_with_it() {
    let mut bench = Bench::new(256);
    let call = bench.ask_within(SECOND);
    bench.effects.clear();
    bench.calls(call);
    bench.timer();
    assert!(matches!(bench.answer(), Some(Answer::Expired)));
    assert_eq!(bench.core.unfinished(), 0);
}

#[test]
fn a_queued_call_that_has_expired_is_not_dispatched() {
    let mut bench = Bench::new(256);
    let running = bench.ask();
    bench.ask_within(SECOND);
    bench.now += SECOND;
    // The slot becomes free in the very moment.
    bench.says(
        CALLER,
        FromWorker::Return { call: running, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    let started = |effect: &Effect| matches!(effect, Effect::Send { message: ToWorker::Run { .. }, .. });
    assert!(!bench.effects.iter().any(started));
    assert!(bench.effects.iter().any(|e| matches!(e, Effect::Answer { answer: Answer::Expired, .. })));
}

#[test]
fn the_timer_of_a_call_goes_with_it() {
    let mut bench = Bench::new(256);
    let call = bench.ask_within(SECOND);
    assert_eq!(bench.core.next_timer(), Some(bench.now + SECOND));
    bench.event(Event::Cancel(call));
    assert_eq!(bench.core.next_timer(), None);
}

fn with_retries(retries: u32) -> CallOptions {
    CallOptions { retries: Some(retries), ..CallOptions::default() }
}

impl Bench {
    /// A root call that may be tried again so often, and runs.
    fn ask_with(&mut self, options: CallOptions) -> CallKey {
        let (options, effects) = (Some(Box::new(options)), &mut self.effects);
        let call = self.core.ask(self.now, CALLER, Bytes::new(), options, TOKEN, effects).unwrap();
        assert_eq!(self.started(), Some(call));
        call
    }

    fn raises(&mut self, call: CallKey, attempt: u32, kind: &str) {
        self.says(CALLER, FromWorker::Raise { call, attempt, error: error(kind) });
    }
}

#[test]
fn a_failed_call_is_tried_again_after_growing_pauses() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(with_retries(2));
    for (attempt, pause) in [(1, 0.1), (2, 0.2)] {
        bench.raises(call, attempt, "builtins.OSError");
        assert!(bench.answer().is_none());
        let waits = bench.core.next_timer().unwrap() - bench.now;
        assert!((0.75 * pause..1.25 * pause).contains(&waits.as_secs_f64()), "{waits:?}");
        bench.timer();
        assert_eq!(bench.started(), Some(call));
    }
    bench.raises(call, 3, "builtins.OSError");
    assert_eq!(bench.error().kind, "builtins.OSError");
    assert_eq!((bench.core.unfinished(), bench.core.next_timer()), (0, None));
}

#[test]
fn a_call_without_retries_fails_at_once() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.raises(call, 1, "builtins.OSError");
    assert_eq!(bench.error().kind, "builtins.OSError");
}

#[test]
fn what_cannot_heal_is_not_tried_again() {
    let some = CallOptions { retry_on: vec!["builtins.KeyError".into()], ..with_retries(5) };
    for (options, kind) in [(with_retries(5), "msx.Fatal"), (some, "builtins.OSError")] {
        let mut bench = Bench::new(256);
        let call = bench.ask_with(options);
        bench.raises(call, 1, kind);
        assert_eq!(bench.error().kind, kind);
    }
}

#[test]
fn a_retry_after_the_deadline_is_not_waited_for() {
    let mut bench = Bench::new(256);
    let timeout = Some(Duration::from_millis(50));
    let call = bench.ask_with(CallOptions { timeout, ..with_retries(5) });
    bench.raises(call, 1, "builtins.OSError");
    assert_eq!(bench.error().kind, "builtins.OSError");
}

#[test]
fn a_call_that_waits_for_its_retry_can_be_cancelled() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(with_retries(5));
    bench.raises(call, 1, "builtins.OSError");
    bench.event(Event::Cancel(call));
    assert_eq!((bench.core.unfinished(), bench.core.next_timer()), (0, None));
}

#[test]
fn a_call_that_ran_too_long_is_tried_again_once_its_slot_is_free() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(with_retries(1));
    bench.passes(RUN_TIMEOUT);
    assert_eq!(bench.interrupts(), ["run_timeout"]);
    let text = "the stack".to_owned();
    bench.event(Event::Stack { instance: instance(CALLER), call, attempt: 1, text });
    bench.passes(Duration::from_millis(900));
    assert!(bench.core.next_timer().is_none() && bench.answer().is_none(), "it still runs");
    bench.raises(call, 1, "msx.Cancelled");
    bench.timer();
    assert_eq!(bench.started(), Some(call));
    bench.says(CALLER, FromWorker::Return { call, attempt: 2, value: Bytes::new(), run: Duration::ZERO });
    assert!(matches!(bench.answer(), Some(Answer::Done(Outcome::Value(_)))));
}

#[test]
fn a_retry_drops_the_child_that_failed_and_makes_it_again() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(with_retries(1));
    bench.calls(call);
    let child = bench.started().unwrap();
    bench.says(CALLEE, FromWorker::Raise { call: child, attempt: 1, error: error("builtins.OSError") });
    bench.raises(call, 1, "builtins.OSError");
    bench.timer();
    let results = bench.effects.drain(..).find_map(|effect| match effect {
        Effect::Send { message: ToWorker::Run { results, .. }, .. } => Some(results),
        _ => None,
    });
    assert_eq!(results, Some(vec![]));
    let entry = Entry {
        seq: 0,
        service: "s.callee".into(),
        ident: 9,
        arguments: Bytes::new(),
        options: None,
        line: None,
    };
    let wait = Some(Wait { all: true, seqs: vec![0] });
    bench.says(CALLER, FromWorker::Calls { call, attempt: 2, entries: vec![entry], wait });
    assert!(bench.started().is_some_and(|again| again != child), "with whatever arguments");
}

#[test]
fn a_call_whose_instance_died_is_tried_again_if_it_may() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(with_retries(1));
    bench.event(Event::Gone { instance: instance(CALLER), reason: "killed".into(), begun: vec![] });
    let replacement = InstanceId { generation: Generation(1), ..instance(CALLER) };
    bench.event(Event::Attached { instance: replacement, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
    bench.event(Event::Ready(replacement));
    bench.timer();
    assert_eq!(bench.started(), Some(call));
    bench.event(Event::Gone { instance: replacement, reason: "killed again".into(), begun: vec![] });
    let message = bench.error().message;
    let expected = "(killed again); it had been run again once, and is not any more";
    assert!(message.ends_with(expected), "{message}");
}

fn keyed() -> CallOptions {
    CallOptions { idempotency_key: Some("key".into()), ..CallOptions::default() }
}

impl Bench {
    /// Another root call under the key, with these arguments.
    fn ask_again(&mut self, arguments: &'static [u8], options: CallOptions) -> CallKey {
        let (arguments, options) = (Bytes::from_static(arguments), Some(Box::new(options)));
        self.core.ask(self.now, CALLER, arguments, options, TOKEN + 1, &mut self.effects).unwrap()
    }

    fn answers(&mut self) -> Vec<(u64, Answer)> {
        let answers = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Answer { token, answer } => Some((token, answer)),
            _ => None,
        });
        answers.collect()
    }
}

#[test]
fn a_call_under_the_key_of_another_one_is_that_one() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(keyed());
    bench.ask_again(b"", keyed());
    bench.says(
        CALLER,
        FromWorker::Return { call, attempt: 1, value: Bytes::from_static(b"once"), run: Duration::ZERO },
    );
    // While it ran, and after it.
    bench.ask_again(b"", keyed());
    let answers = bench.answers();
    assert_eq!(answers.len(), 3);
    let is_value =
        |answer: &Answer| matches!(answer, Answer::Done(Outcome::Value(v)) if v == b"once".as_ref());
    assert!(answers.iter().all(|(_, answer)| is_value(answer)), "{answers:?}");
    assert_eq!(bench.core.unfinished(), 0);
}

#[test]
fn a_key_with_other_arguments_is_a_conflict() {
    let mut bench = Bench::new(256);
    bench.ask_with(keyed());
    bench.ask_again(b"other", keyed());
    let answers = bench.answers();
    let [(_, Answer::Done(Outcome::Error(payload)))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(RemoteError::decode(payload).kind, RemoteError::IDEMPOTENCY_CONFLICT);
}

#[test]
fn an_error_is_told_to_all_and_not_kept() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(keyed());
    bench.ask_again(b"", keyed());
    bench.raises(call, 1, "builtins.OSError");
    assert_eq!(bench.answers().len(), 2);
    let again = bench.ask_again(b"", keyed());
    assert_eq!(bench.started(), Some(again));
}

impl Bench {
    fn cancel_by_id(&mut self, call: CallKey) {
        let id = self.core.id_of(call).expect("it is live");
        let cancelled = self.core.cancel_call(self.now, &id, &|_, _| String::new(), &mut self.effects);
        assert!(cancelled.is_ok());
    }

    /// What people are told of the root calls, the oldest first.
    fn statuses(&self) -> Vec<CallStatus> {
        let filter = Filter { status: None, service: None, limit: 10 };
        let listed = self.core.list(self.now, &filter, &|_, _| String::new());
        listed.live.iter().map(|call| call.status).collect()
    }
}

#[test]
fn what_waits_for_a_retry_a_turn_or_another_call_is_listed_as_such() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(CallOptions { retries: Some(1), ..keyed() });
    bench.ask_again(b"", keyed());
    assert_eq!(bench.statuses(), [CallStatus::Running, CallStatus::Following]);
    bench.raises(call, 1, "builtins.OSError");
    assert_eq!(bench.statuses(), [CallStatus::Backoff, CallStatus::Following]);
    bench.cancel_by_id(call);
    assert_eq!(bench.statuses(), [CallStatus::Running]);
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn who_leaves_leaves_the_work_to_a_follower() {
    for leaves in ["expires", "cancel", "msx cancel"] {
        let mut bench = Bench::new(256);
        let timeout = (leaves == "expires").then_some(SECOND);
        let call = bench.ask_with(CallOptions { timeout, ..keyed() });
        let follower = bench.ask_again(b"", keyed());
        match leaves {
            "expires" => bench.timer(),
            "cancel" => bench.event(Event::Cancel(call)),
            _ => bench.cancel_by_id(call),
        }
        assert!(bench.answers().iter().all(|(token, _)| *token == TOKEN));
        bench.says(CALLER, FromWorker::Raise { call, attempt: 1, error: error("msx.Cancelled") });
        assert_eq!(bench.started(), Some(follower));
    }
}

#[test]
fn a_follower_may_leave() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(keyed());
    bench.ask_again(b"", CallOptions { timeout: Some(SECOND), ..keyed() });
    bench.timer();
    let answers = bench.answers();
    assert!(matches!(answers.as_slice(), [(_, Answer::Expired)]), "{answers:?}");
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert_eq!((bench.answers().len(), bench.core.unfinished()), (1, 0));
}

#[test]
fn a_call_does_not_wait_for_itself() {
    let mut bench = Bench::new(256);
    let call = bench.ask_with(keyed());
    let (service, options) = ("s.caller".into(), Some(Box::new(keyed())));
    let entry = Entry { seq: 0, service, ident: 0, arguments: Bytes::new(), options, line: None };
    let wait = Some(Wait { all: true, seqs: vec![0] });
    bench.says(CALLER, FromWorker::Calls { call, attempt: 1, entries: vec![entry], wait });
    let Some(Outcome::Error(payload)) = bench.told() else { panic!("it goes on") };
    assert_eq!(RemoteError::decode(&payload).kind, RemoteError::IDEMPOTENCY_CONFLICT);
}

/// Root calls that wait behind each other under a key do not hold up others.
#[test]
fn a_call_waits_for_its_turn_beside_the_queue() {
    let mut bench = Bench::new(256);
    bench.core.services[CALLER.0 as usize].setup.per_key = Some(1);
    let under = |key: &str| CallOptions { key: Some(key.into()), ..CallOptions::default() };
    let first = bench.ask_with(under("a"));
    let second = bench.ask_again(b"", under("a"));
    let third = bench.ask_again(b"", under("a"));
    let other = bench.ask_again(b"", under("b"));
    bench.event(Event::Cancel(second));
    bench.says(
        CALLER,
        FromWorker::Return { call: first, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    // Of the two that may run now, the older one does.
    assert_eq!(bench.started(), Some(third));
    bench.says(
        CALLER,
        FromWorker::Return { call: third, attempt: 1, value: Bytes::new(), run: Duration::ZERO },
    );
    assert_eq!(bench.started(), Some(other));
}

/// What waits beside the queue fills it, too: it has one bound.
#[test]
fn root_calls_that_wait_for_their_turn_fill_the_queue() {
    let mut bench = Bench::new(256);
    bench.core.services[CALLER.0 as usize].setup.per_key = Some(1);
    let under = |key: &str| CallOptions { key: Some(key.into()), ..CallOptions::default() };
    let first = bench.ask_with(under("a"));
    let waiting: Vec<CallKey> = (0..10).map(|_| bench.ask_again(b"", under("a"))).collect();
    let ask = |bench: &mut Bench| {
        bench
            .core
            .ask(bench.now, CALLER, Bytes::new(), None, TOKEN, &mut bench.effects)
            .map_err(|no| no.reason)
    };
    assert_eq!(ask(&mut bench), Err(Reason::QueueFull));
    // Who leaves, and who has a turn, makes room.
    bench.event(Event::Cancel(waiting[0]));
    assert!(ask(&mut bench).is_ok());
    assert_eq!(ask(&mut bench), Err(Reason::QueueFull));
    for call in [first, waiting[1]] {
        bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    }
    assert!(ask(&mut bench).is_ok());
}

#[test]
fn a_call_under_another_key_goes_on() {
    let mut bench = Bench::new(256);
    bench.core.services[CALLEE.0 as usize].setup.per_key = Some(1);
    let call = bench.ask();
    let entry = |seq: u32, key: &str| {
        let options = Some(Box::new(CallOptions { key: Some(key.into()), ..CallOptions::default() }));
        Entry { seq, service: "s.callee".into(), ident: seq, arguments: Bytes::new(), options, line: None }
    };
    let entries = vec![entry(0, "a"), entry(1, "a"), entry(2, "b")];
    let wait = Some(Wait { all: true, seqs: vec![0, 1, 2] });
    bench.says(CALLER, FromWorker::Calls { call, attempt: 1, entries, wait });
    // The callee has one slot; what waits for its turn is not in its queue.
    let mut running = bench.started();
    let queued = |bench: &mut Bench| bench.core.report(bench.now)[CALLEE.0 as usize].queued;
    assert_eq!(queued(&mut bench), 1);
    for _ in 0..3 {
        let call = running.take().expect("one runs");
        bench.says(CALLEE, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
        let started = bench.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call, .. }, .. } => Some(call),
            _ => None,
        });
        running = started;
    }
    assert!(running.is_none() && bench.core.unfinished() == 1);
}
