//! `msx pause`, and calls that are refused because they could only time out.

use super::*;
use crate::core::{Outlook, Reason, Refusal};
use crate::protocol::worker::CallOptions;

const PAUSE: Duration = Duration::from_secs(60);

impl Bench {
    fn root(&mut self, service: ServiceId, token: u64) -> Result<CallKey, Refusal> {
        self.core.ask(self.now, service, Bytes::new(), None, token, &mut self.effects)
    }

    fn hold(&mut self, service: ServiceId) {
        self.event(Event::Hold { service, bound: PAUSE });
    }

    fn ends(&mut self, service: ServiceId, call: CallKey) {
        let value = Bytes::from_static(b"it");
        self.says(service, FromWorker::Return { call, attempt: 1, value, run: Duration::ZERO });
    }

    fn going(&self, service: ServiceId) -> Option<usize> {
        self.core.held(service).map(|(_, going)| going)
    }

    fn took(&mut self, what: fn(&Effect) -> bool) -> bool {
        self.effects.drain(..).any(|effect| what(&effect))
    }
}

#[test]
fn a_paused_service_ends_what_it_has_and_begins_nothing() {
    let mut bench = Bench::new(256);
    let running = bench.root(CALLEE, 1).unwrap();
    assert_eq!(bench.started(), Some(running));
    bench.hold(CALLEE);
    let waiting = bench.root(CALLEE, 2).unwrap();
    assert_eq!((bench.going(CALLEE), bench.going(CALLER)), (Some(1), None));
    bench.ends(CALLEE, running);
    assert_eq!((bench.started(), bench.going(CALLEE)), (None, Some(0)), "the slot is free, and stays so");
    bench.event(Event::Unhold(CALLEE));
    assert_eq!(bench.started(), Some(waiting));
}

#[test]
fn callers_of_a_paused_service_wait_as_for_a_slow_one() {
    let mut bench = Bench::new(256);
    bench.hold(CALLEE);
    let call = bench.ask();
    bench.calls(call);
    assert_eq!(bench.started(), None);
    bench.event(Event::Unhold(CALLEE));
    let child = bench.started().expect("it goes on");
    bench.ends(CALLEE, child);
    assert!(bench.took(|effect| matches!(effect, Effect::Send { message: ToWorker::Resume { .. }, .. })));
}

#[test]
fn what_a_call_of_the_service_waits_for_goes_on_in_it() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.hold(CALLER);
    // It calls its own service, before and while that is paused.
    bench.calls_by(call, "s.caller");
    let inner = bench.started().expect("its caller has begun, and waits for it");
    assert_eq!(bench.going(CALLER), Some(2));
    bench.ends(CALLER, inner);
    bench.effects.clear();
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert!(bench.answer().is_some());
    assert_eq!(bench.going(CALLER), Some(0));
}

#[test]
fn an_inner_call_that_waits_already_is_not_stopped_by_a_pause() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    let other = bench.root(CALLER, 2).unwrap();
    bench.calls_by(call, "s.caller");
    let first = bench.started().unwrap();
    assert!(first != other, "deeper calls go first");
    let outer = bench.root(CALLER, 3).unwrap();
    bench.hold(CALLER);
    bench.ends(CALLER, first);
    bench.effects.clear();
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert_eq!(bench.started(), None, "the other roots wait");
    bench.event(Event::Unhold(CALLER));
    assert_eq!(bench.started(), Some(other));
    bench.ends(CALLER, other);
    assert_eq!(bench.started(), Some(outer));
}

#[test]
fn a_pause_ends_by_itself_and_no_call_has_timed_out_by_it() {
    let mut bench = Bench::new(256);
    bench.hold(CALLEE);
    let calls: Vec<CallKey> = (10..13).map(|token| bench.root(CALLEE, token).unwrap()).collect();
    bench.passes(PAUSE - Duration::from_secs(1));
    assert!(!bench.took(|effect| matches!(effect, Effect::Answer { .. } | Effect::Unheld(_))));
    bench.passes(Duration::from_secs(1));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Unheld(CALLEE))));
    assert_eq!(bench.started(), Some(calls[0]));
    // From here on the queue has its usual time.
    bench.passes(Duration::from_secs(4));
    assert!(!bench.took(|effect| matches!(effect, Effect::Answer { .. })));
    bench.passes(Duration::from_secs(6));
    let refused = bench.effects.iter().filter(|effect| {
        matches!(effect, Effect::Answer { answer: Answer::Refused(refusal), .. } if refusal.reason == Reason::QueueTimeout)
    });
    assert_eq!(refused.count(), 2);
}

#[test]
fn the_queue_of_a_paused_service_has_its_bound() {
    let mut bench = Bench::new(256);
    bench.hold(CALLEE);
    for token in 0..10 {
        bench.root(CALLEE, token).unwrap();
    }
    let refusal = bench.root(CALLEE, 10).unwrap_err();
    assert_eq!(refusal.message, "the queue of s.callee is full (its max is 10), and it is paused");
    let refused: Vec<(&str, u64)> = bench.core.report(bench.now)[1].refused.by_word().collect();
    assert_eq!(refused[0], ("queue_full", 1));
}

#[test]
fn the_end_of_msx_ends_a_pause() {
    let mut bench = Bench::new(256);
    bench.hold(CALLEE);
    let call = bench.root(CALLEE, 1).unwrap();
    bench.event(Event::Close);
    assert_eq!(bench.started(), Some(call));
}

#[test]
fn a_call_that_could_only_time_out_is_refused_at_once_if_no_instance_can_come() {
    let mut bench = Bench::new(256);
    let outlook = |seconds| Some(Outlook { call_time: Duration::from_secs(seconds) });
    // One runs, and six wait: 12 s of work for one slot, and the queue's timeout is 10 s.
    for token in 0..7 {
        bench.root(CALLEE, token).unwrap();
    }
    assert!(bench.root(CALLEE, 7).is_ok(), "more instances may come");
    bench.event(Event::Outlook { service: CALLEE, outlook: outlook(2) });
    let refusal = bench.root(CALLEE, 8).unwrap_err();
    assert_eq!(refusal.reason, Reason::Overloaded { retry_after_s: 4 });
    assert_eq!(
        refusal.message,
        "s.callee cannot answer in time: 7 calls wait for its 1 slots, which takes about 14.0 s, and this one may wait for \
         10.0 s; it cannot have more instances now"
    );
    bench.event(Event::Outlook { service: CALLEE, outlook: outlook(1) });
    assert!(bench.root(CALLEE, 9).is_ok(), "8 calls of 1 s each");
    let hasty = Box::new(CallOptions { timeout: Some(Duration::from_secs(5)), ..CallOptions::default() });
    let asked = bench.core.ask(bench.now, CALLEE, Bytes::new(), Some(hasty), 10, &mut bench.effects);
    assert_eq!(asked.unwrap_err().reason, Reason::Overloaded { retry_after_s: 3 });
    bench.event(Event::Outlook { service: CALLEE, outlook: None });
    assert!(bench.root(CALLEE, 11).is_ok());
}

#[test]
fn the_first_call_of_a_service_without_an_instance_is_told_once() {
    let mut bench = Bench::new(256);
    let told = |bench: &mut Bench| {
        bench.effects.drain(..).filter(|effect| matches!(effect, Effect::Cold(CALLEE))).count()
    };
    bench.event(Event::Gone { instance: instance(CALLEE), reason: "scaled away".into(), begun: Vec::new() });
    assert_eq!(told(&mut bench), 0, "nothing waits");
    bench.root(CALLEE, 1).unwrap();
    bench.root(CALLEE, 2).unwrap();
    bench.passes(Duration::from_millis(100));
    assert_eq!(told(&mut bench), 1);
    let id = instance(CALLEE);
    bench.event(Event::Attached { instance: id, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
    bench.event(Event::Ready(id));
    bench.event(Event::Gone { instance: id, reason: "scaled away".into(), begun: Vec::new() });
    assert_eq!(told(&mut bench), 1, "one waits again");
    // A paused one needs none before it goes on.
    let mut bench = Bench::new(256);
    bench.event(Event::Gone { instance: instance(CALLEE), reason: "scaled away".into(), begun: Vec::new() });
    bench.hold(CALLEE);
    bench.root(CALLEE, 1).unwrap();
    assert_eq!(told(&mut bench), 0);
    bench.event(Event::Unhold(CALLEE));
    assert_eq!(told(&mut bench), 1);
}

#[test]
fn a_call_that_was_evicted_has_begun_and_goes_on() {
    let mut bench = Bench::new(0);
    let call = bench.ask();
    bench.calls(call);
    let child = bench.started().unwrap();
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
    bench.hold(CALLER);
    assert_eq!(bench.going(CALLER), Some(1), "it is in no instance, but comes back");
    bench.ends(CALLEE, child);
    assert_eq!(bench.started(), Some(call), "it is replayed");
}
