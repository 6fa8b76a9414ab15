//! Calls of a service that are run in batches: how many wait, since when, and when they go.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::config::spec::BatchPolicy;

/// The calls that wait to be taken into a batch.
#[derive(Debug)]
pub struct Gather {
    pub policy: BatchPolicy,
    /// By the number of their arrival: the first one has waited longest.
    since: BTreeMap<u64, Instant>,
}

impl Gather {
    pub fn new(policy: BatchPolicy) -> Self {
        Self { policy, since: BTreeMap::new() }
    }

    pub fn join(&mut self, arrival: u64, now: Instant) {
        self.since.insert(arrival, now);
    }

    pub fn leave(&mut self, arrival: u64) {
        self.since.remove(&arrival);
    }

    pub fn clear(&mut self) {
        self.since.clear();
    }

    /// When those that wait go, at the latest: at once if they fill a batch, else when the first has waited long enough.
    pub fn due(&self) -> Option<Instant> {
        let (_, first) = self.since.first_key_value()?;
        if self.since.len() >= self.policy.size as usize {
            return Some(*first);
        }
        Some(*first + self.policy.within)
    }
}
