//! Calls that are sent to a lane before it is free.

use super::*;
use crate::protocol::worker::CallOptions;

const SHORT: Duration = Duration::from_micros(5);
const AHEAD_MAX: usize = 16;

impl Bench {
    /// Knows that calls of the caller are short.
    fn with_short_calls() -> Self {
        let mut bench = Self::new(256);
        for _ in 0..100 {
            let call = bench.ask();
            bench.returns(call);
            assert!(bench.answer().is_some());
        }
        bench
    }

    fn returns(&mut self, call: CallKey) {
        self.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: SHORT });
    }

    /// Root calls, as many as this; what was sent to the instance for them.
    fn ask_many(&mut self, count: usize) -> Vec<CallKey> {
        for token in 0..count as u64 {
            let asked = self.core.ask(self.now, CALLER, Bytes::new(), None, 100 + token, &mut self.effects);
            asked.expect("there is room in the queue");
        }
        self.sent()
    }

    /// The calls whose `run` is among the effects, which are taken.
    fn sent(&mut self) -> Vec<CallKey> {
        let runs = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Send { message: ToWorker::Run { call, .. }, .. } => Some(call),
            _ => None,
        });
        runs.collect()
    }

    fn asks_back(&mut self) -> usize {
        self.effects.drain(..).filter(|effect| matches!(effect, Effect::AskBack { lane: 0, .. })).count()
    }

    fn queued(&mut self) -> usize {
        self.core.report(self.now)[0].queued
    }

    fn busy(&mut self) -> usize {
        self.core.report(self.now)[0].busy
    }

    fn patrols(&mut self, after: Duration) {
        self.now += after;
        self.event(Event::Patrol);
    }

    fn attach_another(&mut self) {
        let instance = InstanceId { number: 2, generation: Generation(1), ..instance(CALLER) };
        self.event(Event::Attached { instance, kind: WorkerKind::Def, slots: 1, max_parked: 256 });
        self.event(Event::Ready(instance));
    }
}

#[test]
fn short_calls_do_not_wait_for_a_free_lane_and_count_as_queued() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(20);
    assert_eq!(sent.len(), 1 + AHEAD_MAX);
    assert_eq!((bench.queued(), bench.busy()), (19, 1));
    bench.returns(sent[0]);
    assert_eq!(bench.sent().len(), 1, "a place on the lane became free");
    for call in &sent[1..] {
        assert_eq!(bench.busy(), 1);
        bench.returns(*call);
    }
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn calls_of_unknown_length_wait_for_a_free_lane() {
    let mut bench = Bench::new(256);
    assert_eq!(bench.ask_many(10).len(), 1);
}

#[test]
fn what_waits_behind_a_long_call_is_asked_back_and_runs_elsewhere() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(5);
    assert!(bench.core.is_on_patrol());
    bench.patrols(Duration::from_millis(2));
    assert_eq!(bench.asks_back(), 0);
    bench.patrols(Duration::from_millis(2));
    assert_eq!(bench.asks_back(), 1);
    bench.patrols(Duration::from_millis(2));
    assert_eq!(bench.asks_back(), 0, "once");
    bench.attach_another();
    for call in sent[1..].iter().rev() {
        bench.says(CALLER, FromWorker::GiveBack { call: *call, attempt: 1 });
    }
    assert_eq!(bench.sent(), [sent[4]], "the last one came first, when nothing else was there");
    assert_eq!(bench.queued(), 3);
    bench.patrols(Duration::from_millis(2));
    assert!(!bench.core.is_on_patrol());
    bench.returns(sent[0]);
    assert_eq!(bench.sent(), [sent[1]], "in their old order, and nothing ahead for a while");
}

/// The lane has answered the call before, but is not yet on its way to the next, when it is asked for what waits behind
/// that one.
#[test]
fn a_call_comes_back_from_a_lane_that_was_free_too() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(2);
    bench.patrols(Duration::from_millis(5));
    for call in sent.iter().rev() {
        bench.says(CALLER, FromWorker::GiveBack { call: *call, attempt: 1 });
    }
    assert_eq!(bench.sent(), [sent[0]], "again, in its old place");
    assert_eq!((bench.queued(), bench.busy()), (1, 1));
}

#[test]
fn a_call_that_waits_gives_its_lane_to_nobody_behind_it() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(4);
    bench.calls(sent[0]);
    assert_eq!(bench.busy(), 0);
    assert_eq!(bench.queued(), 3);
    for call in &sent[1..] {
        bench.says(CALLER, FromWorker::GiveBack { call: *call, attempt: 1 });
    }
    let again = bench.sent();
    assert!(again.contains(&sent[1]), "{again:?}");
    assert!(!again.contains(&sent[2]), "the service makes calls: nothing is sent ahead");
}

#[test]
fn of_a_dead_process_only_what_had_begun_is_lost() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(4);
    let begun = vec![100 + 2];
    bench.event(Event::Gone { instance: instance(CALLER), reason: "killed".into(), begun });
    let answers = bench.effects.drain(..).filter(|effect| matches!(effect, Effect::Answer { .. })).count();
    assert_eq!(answers, 2);
    bench.attach_another();
    assert_eq!(bench.sent()[0], sent[2]);
    assert_eq!(bench.queued(), 1);
}

#[test]
fn a_cancelled_call_that_was_sent_ahead_costs_no_slot() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(3);
    bench.event(Event::Cancel(sent[1]));
    assert_eq!(bench.interrupts(), ["cancelled"]);
    bench.returns(sent[0]);
    bench.says(CALLER, FromWorker::Raise { call: sent[1], attempt: 1, error: error("msx.Cancelled") });
    bench.returns(sent[2]);
    let answers = bench.effects.drain(..).filter(|effect| matches!(effect, Effect::Answer { .. })).count();
    assert_eq!(answers, 2);
    assert_eq!((bench.queued(), bench.busy()), (0, 0));
    assert_eq!(bench.ask_many(1).len(), 1);
}

#[test]
fn a_call_that_was_sent_ahead_and_has_expired_runs_nowhere() {
    let mut bench = Bench::with_short_calls();
    let first = bench.ask_many(1)[0];
    let options = CallOptions::of_root(Some(Duration::from_secs(1)), None);
    bench.core.ask(bench.now, CALLER, Bytes::new(), options, TOKEN, &mut bench.effects).unwrap();
    let expired = bench.sent()[0];
    bench.now = bench.core.next_timer().unwrap();
    bench.event(Event::Timer);
    let interrupted = |effect: &Effect| matches!(effect, Effect::Interrupt { call, .. } if *call == expired);
    assert!(bench.effects.iter().any(interrupted));
    assert!(matches!(bench.answer(), Some(Answer::Expired)));
    bench.says(CALLER, FromWorker::GiveBack { call: expired, attempt: 1 });
    bench.returns(first);
    assert!(bench.sent().is_empty());
    assert_eq!((bench.queued(), bench.busy(), bench.core.unfinished()), (0, 0, 0));
}

/// The worker gives it back when the call in front parks. If that is lost with the process, the numbers of the lane say
/// nothing of it: the call in front has gone on since.
#[test]
fn what_stood_behind_a_call_that_parked_had_not_begun_in_a_lost_instance() {
    let mut bench = Bench::with_short_calls();
    let sent = bench.ask_many(3);
    bench.calls(sent[0]);
    let child = bench.sent()[0];
    let value = Bytes::new();
    bench.says(CALLEE, FromWorker::Return { call: child, attempt: 1, value, run: SHORT });
    let resumed = |effect: &Effect| matches!(effect, Effect::Send { message: ToWorker::Resume { .. }, .. });
    assert!(bench.effects.iter().any(resumed));
    bench.attach_another();
    bench.effects.clear();
    let (instance, reason) = (instance(CALLER), "killed".to_owned());
    bench.event(Event::Gone { instance, reason, begun: vec![100 + 3 + 1] });
    assert_eq!((bench.sent(), bench.queued()), (vec![sent[1]], 1), "they run elsewhere, one after the other");
}
