//! The order in which results were seen: a replay must see the same results in the same order.

use std::collections::HashMap;

use super::program::Log;
use crate::model::{CallKey, Outcome};

/// What the last attempt of each call has seen.
#[derive(Debug, Default)]
pub struct Orders(HashMap<CallKey, Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Number of the last attempt that began.
    attempt: u32,
    retried: u32,
    log: Log,
    /// Its code ran when its process died.
    has_died: bool,
}

impl Orders {
    /// An attempt has left its worker, and had seen this.
    pub fn left(&mut self, call: CallKey, log: Log) {
        self.0.entry(call).or_default().log = log;
    }

    /// The call's code ran when its process died: only a retry may run it again.
    pub fn died(&mut self, call: CallKey) {
        self.0.entry(call).or_default().has_died = true;
    }

    /// The hub may never hear of this memo, and so of nothing behind it.
    pub fn cut(&mut self, call: CallKey, memo: u32) {
        let Some(seen) = self.0.get_mut(&call) else { return };
        if let Some(at) = seen.log.iter().position(|(seq, _)| *seq == memo) {
            seen.log.truncate(at);
        }
    }

    /// An attempt begins, and is told this.
    pub fn begins(&mut self, call: CallKey, attempt: u32, retried: u32, log: &[(u32, &Outcome)]) {
        let seen = self.0.entry(call).or_default();
        assert!(std::mem::replace(&mut seen.attempt, attempt) < attempt, "no two attempts have one number");
        let is_retry = std::mem::replace(&mut seen.retried, retried) != retried;
        let has_died = std::mem::take(&mut seen.has_died);
        assert!(is_retry || !has_died, "what had begun is not run again when its instance dies");
        let first_error = seen.log.iter().position(|(_, outcome)| matches!(outcome, Outcome::Error(_)));
        let dropped_from = first_error.filter(|_| is_retry);
        let kept = dropped_from.unwrap_or(seen.log.len());
        let is_same = log.len() >= kept
            && seen.log.iter().zip(log).take(kept).all(|((a, x), (b, y))| a == b && x == *y);
        assert!(is_same, "a replay sees what was seen before: {:?}, now {log:?}", &seen.log[..kept]);
        assert!(
            dropped_from.is_none_or(|at| log.len() == at),
            "a retry sees nothing from the first error on"
        );
    }
}
