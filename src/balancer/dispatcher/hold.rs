//! A service that is held: new calls wait, those that have begun go on, and so do those that they wait for.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Class, Dispatcher, Rank};
use crate::model::CallKey;

impl Dispatcher {
    /// From now on only what has begun is bound, and of what waits the calls that `may_pass`.
    pub fn hold(&mut self, may_pass: impl Fn(CallKey) -> bool) {
        let passes = |(rank, call): &(&Rank, &CallKey)| rank.class == Class::Replay || may_pass(**call);
        self.held = Some(self.queue.iter().filter(passes).map(|(rank, _)| *rank).collect());
    }

    /// What had to wait for it has the time of the queue before it.
    pub fn release(&mut self, now: Instant) {
        self.held = None;
        self.warm_since = self.warm_since.map(|_| now);
    }

    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// This call in the queue goes on all the same.
    pub fn let_pass(&mut self, rank: Rank) {
        self.held.iter_mut().for_each(|passing| _ = passing.insert(rank));
    }

    /// Calls that hold an instance, or may still get a slot, while it is held.
    pub fn going(&self) -> usize {
        let held = |i: &super::Instance| i.running.len() + i.parked.len() + i.unwinding.len() + i.ahead();
        let inside: usize = self.instances.iter().map(held).sum();
        inside + self.held.as_ref().map_or(0, BTreeSet::len)
    }

    /// Whether a call could run and there is no instance at all, not even one that starts.
    pub fn is_cold(&self) -> bool {
        self.instances.is_empty() && self.first().is_some()
    }

    /// The next in the queue that may run.
    pub(super) fn first(&self) -> Option<Rank> {
        match &self.held {
            None => self.queue.first_key_value().map(|(rank, _)| *rank),
            Some(passing) => passing.first().copied(),
        }
    }
}
