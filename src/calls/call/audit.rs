//! What holds of a call between any two events; the simulation of the core looks after each of its steps.

use super::{Call, Child, bytes_of};

impl Call {
    pub fn audit(&self) {
        let (mut recorded, mut bytes, mut awaited) = (0, 0, 0);
        for child in self.children.values() {
            match child {
                Child::Recorded { outcome, .. } => {
                    recorded += 1;
                    bytes += bytes_of(outcome);
                }
                Child::Pending { wait, .. } | Child::Awaited { wait, .. } => {
                    awaited += u32::from(*wait == self.wait_number && *wait > 0)
                }
                Child::Untold => (),
            }
        }
        assert_eq!(self.completed.len(), recorded, "each result stands in the order once");
        for (at, seq) in self.completed.iter().enumerate() {
            assert!(matches!(self.child(*seq), Some(Child::Recorded { .. })), "what is ordered is recorded");
            assert!(!self.completed[..at].contains(seq), "a result is recorded once");
        }
        assert!(self.delivered <= recorded, "what was delivered was recorded");
        assert_eq!(self.recorded_bytes, bytes, "the bytes of what is recorded are counted");
        assert!(self.missing <= awaited, "what is missing can still come");
    }
}
