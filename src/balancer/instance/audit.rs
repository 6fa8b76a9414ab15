//! What holds of an instance between any two events; the simulation of the core looks after each of its steps.

use super::{Instance, WorkerKind};

impl Instance {
    pub fn audit(&self) {
        assert!(self.running.len() <= self.slots as usize, "running calls stay within the slots");
        assert!(self.parked.len() <= self.max_parked as usize, "parked calls stay within their bound");
        for (at, (call, _)) in self.resumes.iter().enumerate() {
            assert!(self.parked.iter().any(|parked| parked.call == *call), "what resumes is parked");
            assert!(self.resumes.iter().skip(at + 1).all(|(other, _)| other != call), "it asks for one slot");
        }
        if self.kind == WorkerKind::Def {
            self.audit_lanes();
        }
    }

    fn audit_lanes(&self) {
        let lanes = (self.slots + self.max_parked) as usize;
        assert!(self.told.len() <= lanes, "lanes stay within their bound");
        let mut is_used = vec![false; self.told.len()];
        let parked = self.parked.iter().chain(&self.unwinding).map(|parked| parked.lane);
        let running = self.running.iter().map(|running| running.lane);
        for lane in running.chain(parked).chain(self.idle_lanes.iter().copied()) {
            assert!(!std::mem::replace(&mut is_used[lane as usize], true), "lane {lane} has one user");
        }
        assert!(is_used.iter().all(|used| *used), "no lane is lost");
        for running in &self.running {
            let mut last = running.ordinal;
            for ahead in &running.ahead {
                assert!(
                    ahead.lane == running.lane && ahead.ordinal > last,
                    "what was sent ahead is in order"
                );
                last = ahead.ordinal;
            }
            assert!(last <= self.told[running.lane as usize], "what was sent was counted");
        }
    }
}
