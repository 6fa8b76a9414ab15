//! The end of the core: first no new root calls, then no calls at all.

use std::time::Instant;

use super::{Core, Effect};
use crate::calls::Fault;
use crate::model::ServiceId;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Open,
    /// Root calls are refused; what was admitted before goes on.
    Closed,
    /// What was not done was failed; no instance is held back by what runs in it.
    Abandoned,
}

impl Core {
    pub(super) fn close(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.stage == Stage::Open {
            self.stage = Stage::Closed;
            self.end_pauses(now, out);
        }
    }

    pub(super) fn abandon(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.stage = Stage::Abandoned;
        let mut roots = self.calls.root_keys();
        // The core does the same when it is given the same events.
        roots.sort_unstable();
        for root in roots {
            let text = "msx stopped before the call had ended".to_owned();
            self.fail(now, root, Fault::ServiceUnavailable(text), out);
        }
        self.refuse_requests(out);
        (0..self.services.len()).for_each(|at| self.touch(ServiceId(at as u32)));
    }
}
