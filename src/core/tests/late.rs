//! Messages that come late or that no worker sends, and what is kept of calls that are over. The simulation has found
//! each of these.

use super::*;

impl Bench {
    /// A root call whose first attempt was evicted while it waited for the child that is answered, too.
    fn evicted(&mut self) -> (CallKey, CallKey) {
        let call = self.ask();
        self.calls(call);
        self.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
        let child = self.started().expect("the callee has a free slot");
        (call, child)
    }

    fn child_returns(&mut self, call: CallKey) {
        let value = Bytes::new();
        self.says(CALLEE, FromWorker::Return { call, attempt: 1, value, run: Duration::ZERO });
    }

    fn busy_callers(&self) -> usize {
        self.core.service(CALLER).dispatcher.busy()
    }
}

#[test]
fn a_late_word_of_an_older_attempt_does_not_free_the_slot_of_the_newer_one() {
    let mut bench = Bench::new(0);
    let (call, child) = bench.evicted();
    bench.child_returns(child);
    assert_eq!(bench.started(), Some(call));
    let (value, error, wait) = (Bytes::new(), Bytes::new(), Some(Wait { all: true, seqs: vec![0] }));
    for late in [
        FromWorker::Evicted { call, attempt: 1 },
        FromWorker::Return { call, attempt: 1, value, run: Duration::ZERO },
        FromWorker::Raise { call, attempt: 1, error },
        FromWorker::Calls { call, attempt: 1, entries: vec![], wait },
    ] {
        bench.says(CALLER, late);
        assert!(bench.effects.is_empty() && bench.busy_callers() == 1, "{:?}", bench.effects);
    }
}

#[test]
fn a_worker_that_says_evicted_without_having_been_told_to_does_not_lose_the_call() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
    assert_eq!(bench.busy_callers(), 1);
    bench.says(CALLER, FromWorker::Return { call, attempt: 1, value: Bytes::new(), run: Duration::ZERO });
    assert!(matches!(bench.answer(), Some(Answer::Done(Outcome::Value(_)))));
}

/// It has been cancelled, and its main thread may be stuck: what its threads wait for will not come.
#[test]
fn threads_that_wait_behind_the_end_of_their_call_are_told_so() {
    let mut bench = Bench::new(256);
    let call = bench.ask();
    bench.event(Event::Cancel(call));
    bench.effects.clear();
    bench.says(CALLER, FromWorker::Listen { call, attempt: 1, seqs: vec![0] });
    let is_evict = |effect: &Effect| matches!(effect, Effect::Send { message: ToWorker::Evict { .. }, .. });
    assert!(bench.effects.iter().any(is_evict), "{:?}", bench.effects);
}

#[test]
fn an_alarm_ends_with_the_wait_of_its_call() {
    for is_cancelled in [false, true] {
        let mut bench = Bench::new(0);
        let call = bench.ask();
        bench.calls(call);
        let child = bench.started().expect("the callee has a free slot");
        let after = Duration::from_secs(3_600);
        let alarm = Alarm { seq: 1, ident: 0, value: Bytes::new(), after, line: None };
        bench.says(CALLER, FromWorker::Alarm { call, attempt: 1, alarm });
        bench.says(CALLER, FromWorker::Evicted { call, attempt: 1 });
        assert_eq!(bench.core.alarms.len(), 1);
        match is_cancelled {
            true => bench.event(Event::Cancel(call)),
            false => bench.child_returns(child),
        }
        assert!(bench.core.alarms.is_empty(), "nothing is kept for an hour");
    }
}
