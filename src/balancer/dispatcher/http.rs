//! Instances that are reached over HTTP: what their answers tell of them.

use std::time::Instant;

use super::super::health::{Health, Verdict};
use super::{Dispatcher, Instance, Rank};
use crate::model::{CallKey, InstanceId, WorkerKind};

impl Dispatcher {
    /// An instance that takes `slots` requests at once.
    pub fn attach_http(&mut self, id: InstanceId, slots: u32) {
        // Of the kinds of workers it is most like one that takes all its calls on one lane.
        let mut instance = Instance::new(id, WorkerKind::Async, slots, 0);
        instance.health = Some(Health::default());
        self.instances.push(instance);
    }

    /// It has sent the head of a response.
    pub fn answered(&mut self, id: InstanceId) {
        self.instance(id)
            .and_then(|instance| instance.health.as_mut())
            .into_iter()
            .for_each(Health::answered);
    }

    /// It took a request and broke off, or did not answer in time.
    pub fn failed(&mut self, id: InstanceId, now: Instant) -> Verdict {
        let is_last = !self.has_other(id);
        let health = self.instance(id).and_then(|instance| instance.health.as_mut());
        health.map_or(Verdict::GoesOn, |health| health.failed(now, is_last))
    }

    /// It took no connection.
    pub fn refused(&mut self, id: InstanceId, now: Instant) {
        if let Some(health) = self.instance(id).and_then(|instance| instance.health.as_mut()) {
            health.refused(now);
        }
    }

    /// A request that had a slot is back in its place, and has waited since then.
    pub fn requeue(&mut self, rank: Rank, request: CallKey, since: Instant) {
        // One that waits since another moment may still be listed with the old one.
        self.roots.retain(|(listed, _)| *listed != rank);
        self.put_back(rank, request, since);
    }

    /// Whether another instance takes requests, or will in a moment.
    pub fn has_other(&self, id: InstanceId) -> bool {
        self.instances.iter().any(|instance| instance.id != id && instance.takes_requests())
    }

    /// Lets those in again whose time is over. If there is none, those that were ejected, too: the last one is never out.
    pub(super) fn readmit(&mut self, now: Instant) {
        let is_out = |instance: &Instance| instance.health.as_ref().is_some_and(|health| !health.is_in());
        if !self.instances.iter().any(is_out) {
            return;
        }
        self.healths().for_each(|health| health.look(now));
        if !self.instances.iter().any(Instance::takes_requests) {
            self.healths().for_each(Health::readmit);
        }
    }

    fn healths(&mut self) -> impl Iterator<Item = &mut Health> {
        self.instances.iter_mut().filter_map(|instance| instance.health.as_mut())
    }
}
