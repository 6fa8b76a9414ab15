//! What is due when: the moments at which the core does something to a call without having heard of it.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::model::CallKey;

/// What happens to the call then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Its deadline has passed.
    Deadline,
    /// The pause before its next attempt is over.
    Retry,
    /// Nobody has seen to a call that is paused.
    EndOfPause,
}

/// All timers. One belongs to a call and is taken out with it, so that there are never more than calls.
#[derive(Debug, Default)]
pub struct Timers(BTreeSet<(Instant, CallKey, Due)>);

impl Timers {
    pub fn set(&mut self, at: Instant, call: CallKey, due: Due) {
        self.0.insert((at, call, due));
    }

    pub fn clear(&mut self, at: Instant, call: CallKey, due: Due) {
        self.0.remove(&(at, call, due));
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, ..)| *at)
    }

    #[cfg(test)]
    pub fn audit(&self, expected: &BTreeSet<(Instant, CallKey, Due)>) {
        assert_eq!(self.0, *expected, "each timer belongs to a call, and each call that needs one has it");
    }

    /// Takes out a timer whose moment has come.
    pub fn pop(&mut self, now: Instant) -> Option<(CallKey, Due)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, call, due)| (call, due))
    }
}
