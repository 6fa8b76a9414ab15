//! How long root calls wait for a slot.

use super::super::Reason;
use super::*;

impl Bench {
    fn falls(&mut self) {
        self.event(Event::Gone { instance: instance(CALLER), reason: "killed".into(), begun: vec![] });
    }

    fn rises(&mut self) {
        let instance = InstanceId { generation: Generation(1), ..instance(CALLER) };
        self.event(Event::Attached { instance, kind: WorkerKind::Def, slots: 1, max_parked: 1 });
        self.event(Event::Ready(instance));
        self.event(Event::Tick);
    }

    fn comes(&mut self) {
        self.core.ask(self.now, CALLER, Bytes::new(), None, TOKEN, &mut self.effects).unwrap();
    }

    /// Calls that were refused because they waited too long.
    fn refused(&mut self) -> usize {
        let answers = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Answer { answer: Answer::Refused(refusal), .. } => Some(refusal.reason),
            _ => None,
        });
        answers.filter(|reason| *reason == Reason::QueueTimeout).count()
    }
}

/// The queue's timeout is 10 s.
#[test]
fn what_was_waited_without_any_instance_does_not_count_once_there_is_one() {
    let mut bench = Bench::new(256);
    bench.falls();
    (0..3).for_each(|_| bench.comes());
    bench.passes(Duration::from_secs(30));
    bench.rises();
    assert_eq!(bench.refused(), 0, "the first has a slot, and the others shall have theirs");
    bench.comes();
    bench.passes(Duration::from_millis(9_900));
    assert_eq!(bench.refused(), 0);
    bench.passes(Duration::from_millis(100));
    assert_eq!(bench.refused(), 3);
}

#[test]
fn without_any_instance_a_call_waits_for_a_minute() {
    let mut bench = Bench::new(256);
    bench.falls();
    bench.passes(Duration::from_secs(1));
    bench.comes();
    bench.passes(Duration::from_secs(59));
    assert_eq!(bench.refused(), 0);
    bench.passes(Duration::from_secs(1));
    assert_eq!(bench.refused(), 1);
}
