//! What holds of a dispatcher between any two events; the simulation of the core looks after each of its steps.

use super::{Dispatcher, Instance, Rank};
use crate::model::CallKey;

impl Dispatcher {
    pub fn audit(&self) {
        self.instances.iter().for_each(Instance::audit);
        self.audit_roots();
        let mut passing = self.held.iter().flatten();
        assert!(passing.all(|rank| self.queue.contains_key(rank)), "what passes a hold is in the queue");
        assert!(!self.instances.iter().any(Instance::can_resume), "no resume waits beside a free slot");
        let is_bound = self.first().is_none() || self.least_running().is_none();
        assert!(is_bound, "no call waits beside a free slot");
        let is_ahead =
            self.queue.is_empty() || self.is_held() || !self.pace.allows() || self.shortest_lane().is_none();
        assert!(is_ahead, "no short call waits beside a lane that would take it");
    }

    fn audit_roots(&self) {
        let waiting = self.queue.keys().filter(|rank| rank.is_new_root()).count();
        assert_eq!(self.roots_waiting as usize, waiting, "waiting roots are counted");
        let listed = self.roots.iter().filter(|(rank, _)| self.queue.contains_key(rank)).count();
        assert_eq!(listed, waiting, "a waiting root is listed once");
        let is_front = self.roots.front().is_none_or(|(rank, _)| self.queue.contains_key(rank));
        assert!(is_front, "the first of the listed roots waits");
        assert!(self.roots.iter().is_sorted_by_key(|(_, since)| *since), "the oldest root is the first");
    }

    /// What waits for a slot, in its order.
    pub fn waiting(&self) -> impl Iterator<Item = (Rank, CallKey)> {
        self.queue.iter().map(|(rank, call)| (*rank, *call))
    }
}
