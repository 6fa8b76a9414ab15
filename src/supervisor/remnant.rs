//! What is left of processes that fell: groups that were killed and are not proven empty yet. Pure.
//!
//! The place of such a process is filled again without waiting for this; a shutdown does wait.

use std::time::Instant;

use super::place::KILL_BOUND;
use crate::model::InstanceId;

#[derive(Debug)]
struct Remnant {
    instance: InstanceId,
    pid: Option<u32>,
    /// `None`: it outlived KILL.
    deadline: Option<Instant>,
}

/// The killed groups of one service.
#[derive(Debug, Default)]
pub struct Remnants(Vec<Remnant>);

impl Remnants {
    /// KILL was sent to this group.
    pub fn add(&mut self, now: Instant, instance: InstanceId, pid: Option<u32>) {
        self.0.push(Remnant { instance, pid, deadline: Some(now + KILL_BOUND) });
    }

    /// The group is proven empty; false if it is none of these.
    pub fn remove(&mut self, instance: InstanceId) -> bool {
        let before = self.0.len();
        self.0.retain(|remnant| remnant.instance != instance);
        self.0.len() < before
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|remnant| remnant.deadline).min()
    }

    pub fn expire(&mut self, now: Instant) {
        for remnant in self.0.iter_mut().filter(|remnant| remnant.deadline.is_some_and(|at| at <= now)) {
            remnant.deadline = None;
        }
    }

    /// Whether there is nothing to wait for: all are empty, or have outlived KILL.
    pub fn is_settled(&self) -> bool {
        self.0.iter().all(|remnant| remnant.deadline.is_none())
    }

    /// Leaders of the groups that are left.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter_map(|remnant| remnant.pid)
    }
}
