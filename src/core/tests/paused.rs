//! Replays that do something else than before, and calls that are paused for it.

use super::*;
use crate::core::{CannotRetry, Progress};
use crate::protocol::calls::{CallStatus, Described, Difference};
use crate::protocol::worker::Memo;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn bench() -> Bench {
    let mut bench = Bench::new(0);
    bench.core.services[CALLER.0 as usize].setup.on_nondeterminism = OnNondeterminism::Pause;
    bench
}

fn entry(seq: u32, ident: u32) -> Entry {
    let line = Some(format!("a.py:{ident} in f").into());
    // [[ident], {}]
    let arguments = Bytes::from(vec![0x92, 0x91, ident as u8, 0x80]);
    Entry { seq, service: "s.callee".into(), ident, arguments, options: None, line }
}

fn difference() -> Box<Difference> {
    let described = |call: &str| Described { call: call.into(), line: None };
    Box::new(Difference { seq: 0, before: described("before"), now: Some(described("now")) })
}

impl Bench {
    fn asks(&mut self, call: CallKey, attempt: u32, entries: Vec<Entry>, seqs: &[u32]) {
        let wait = (!seqs.is_empty()).then(|| Wait { all: true, seqs: seqs.to_vec() });
        self.says(CALLER, FromWorker::Calls { call, attempt, entries, wait });
    }

    /// The root has made calls 0 and 1, has the result of 0, and is replayed: its second attempt runs.
    fn replays(&mut self) -> CallKey {
        let call = self.ask();
        self.asks(call, 1, vec![entry(0, 1), entry(1, 2)], &[0]);
        self.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
        let child = self.started().unwrap();
        let value = Bytes::from_static(b"\x07");
        self.says(CALLEE, FromWorker::Return { call: child, attempt: 1, value, run: Duration::ZERO });
        let run = self.effects.iter().find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call: key, results, .. }, .. } if *key == call => {
                Some(results.clone())
            }
            _ => None,
        });
        let [known] = run.unwrap().try_into().unwrap();
        assert_eq!((known.line.as_deref(), known.arguments), (Some("a.py:1 in f"), entry(0, 1).arguments));
        self.effects.clear();
        call
    }

    fn differs(&mut self, call: CallKey, attempt: u32) {
        let error = error("msx.NonDeterminismError");
        self.says(CALLER, FromWorker::Differs { call, attempt, error, difference: difference() });
    }

    fn id(&self, call: CallKey) -> String {
        self.core.id_of(call).unwrap()
    }

    fn status(&self, call: CallKey) -> CallStatus {
        let why = self.core.why(self.now, &self.id(call), &|_, _| String::new()).unwrap();
        why.chain[0].call.status
    }

    fn retry(&mut self, call: CallKey, force: Option<u32>) -> Result<(), CannotRetry> {
        let id = self.id(call);
        let labels = |_: ServiceId, _: u32| String::new();
        self.core.retry_paused(self.now, &id, force, &labels, &mut self.effects).map(drop)
    }

    /// The seqs of the results with which `call` runs again.
    fn run_again(&mut self, call: CallKey) -> Option<Vec<u32>> {
        self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call: key, results, .. }, .. } if key == call => {
                Some(results.iter().map(|result| result.seq).collect())
            }
            _ => None,
        })
    }

    fn evicts(&mut self) -> usize {
        let is_evict =
            |effect: &Effect| matches!(effect, Effect::Send { message: ToWorker::Evict { .. }, .. });
        self.effects.drain(..).filter(is_evict).count()
    }
}

#[test]
fn a_call_that_differs_is_paused_without_a_slot_and_replayed_with_what_is_recorded() {
    let mut bench = bench();
    let call = bench.replays();
    bench.differs(call, 2);
    assert_eq!(bench.status(call), CallStatus::Paused);
    assert!(bench.answer().is_none());
    assert_eq!(bench.core.service(CALLER).dispatcher.instances()[0].running.len(), 0);
    let id = bench.id(call);
    assert!(matches!(bench.core.progress(bench.now, &id), Progress::Paused(_)));

    bench.retry(call, None).unwrap();
    assert_eq!(bench.run_again(call), Some(vec![0]));
    assert_eq!(bench.core.progress(bench.now, &id), Progress::UnderWay);
    assert!(matches!(bench.retry(call, None), Err(CannotRetry::NotPaused { status: "running", .. })));
    bench.asks(call, 3, vec![entry(1, 2)], &[1]);
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 3 });
    assert_eq!(bench.core.progress(bench.now, &id), Progress::GoesOn);
}

#[test]
fn with_force_it_forgets_what_it_asked_for_from_the_difference_on() {
    let mut bench = bench();
    let call = bench.replays();
    bench.differs(call, 2);
    assert!(matches!(bench.retry(call, Some(1)), Err(CannotRetry::Changed(_))));
    bench.retry(call, Some(0)).unwrap();
    assert_eq!(bench.run_again(call), Some(vec![]));
    assert_eq!(bench.core.calls.len(), 1, "the child that had no result is cancelled");
}

/// The child has no result yet, so the core finds it: the attempt runs on until it waits.
#[test]
fn an_attempt_that_differs_leaves_its_worker_first() {
    let mut bench = bench();
    let call = bench.replays();
    bench.asks(call, 2, vec![entry(1, 9)], &[]);
    assert_eq!((bench.status(call), bench.evicts()), (CallStatus::Unwinding, 0));
    let outcome = Outcome::Value(Bytes::from_static(b"\x01"));
    let memo = Memo { seq: 2, ident: 1, outcome, known: 1, line: None };
    bench.says(CALLER, FromWorker::Memo { call, attempt: 2, memo });
    bench.asks(call, 2, vec![], &[1]);
    assert_eq!(bench.evicts(), 1);
    bench.says(CALLER, FromWorker::Listen { call, attempt: 2, seqs: vec![1] });
    assert_eq!(bench.evicts(), 0, "it is told once");
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 2 });
    assert_eq!(bench.status(call), CallStatus::Paused);
    let why = bench.core.why(bench.now, &bench.id(call), &|_, _| String::new()).unwrap();
    let paused = why.chain[0].paused.clone().unwrap();
    assert_eq!(
        paused.difference.lines(),
        ["before: s.callee(2) at a.py:2 in f", "now:    s.callee(9) at a.py:9 in f"]
    );
    bench.retry(call, None).unwrap();
    assert_eq!(bench.run_again(call), Some(vec![0]), "the memo of the attempt that differed is not recorded");
}

#[test]
fn what_it_returns_all_the_same_does_not_count() {
    let mut bench = bench();
    let call = bench.replays();
    bench.asks(call, 2, vec![entry(1, 9)], &[]);
    bench.says(CALLER, FromWorker::Return { call, attempt: 2, value: Bytes::new(), run: Duration::ZERO });
    assert_eq!(bench.status(call), CallStatus::Paused);
    assert!(bench.answer().is_none());
}

#[test]
fn one_whose_instance_dies_before_it_has_left_is_paused() {
    let mut bench = bench();
    let call = bench.replays();
    bench.asks(call, 2, vec![entry(1, 9)], &[]);
    bench.event(Event::Gone { instance: instance(CALLER), reason: "killed".into(), begun: vec![] });
    assert_eq!(bench.status(call), CallStatus::Paused);
}

#[test]
fn a_paused_call_fails_after_a_day() {
    let mut bench = bench();
    let call = bench.replays();
    bench.differs(call, 2);
    bench.passes(DAY - Duration::from_secs(1));
    assert_eq!(bench.status(call), CallStatus::Paused);
    bench.passes(Duration::from_secs(1));
    assert_eq!(bench.error().kind, "msx.NonDeterminismError");
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn the_end_of_the_hub_is_not_held_up_by_it() {
    let mut bench = bench();
    let call = bench.replays();
    bench.differs(call, 2);
    bench.event(Event::Close);
    assert_eq!(bench.error().kind, "msx.NonDeterminismError");
    assert!(bench.core.calls.get(call).is_none());
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn a_cancel_ends_it() {
    let mut bench = bench();
    let call = bench.replays();
    bench.differs(call, 2);
    bench.event(Event::Cancel(call));
    assert!(!bench.core.differs(call));
    assert_eq!(bench.core.next_timer(), None);
}

#[test]
fn without_the_option_it_fails() {
    let mut bench = Bench::new(0);
    let call = bench.replays();
    bench.differs(call, 2);
    assert_eq!(bench.error().kind, "msx.NonDeterminismError");

    let mut bench = Bench::new(0);
    let call = bench.replays();
    bench.asks(call, 2, vec![entry(1, 9)], &[1]);
    let error = bench.error();
    assert!(error.message.contains("  before: s.callee(2) at a.py:2 in f\n"), "{}", error.message);
}
