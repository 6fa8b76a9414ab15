//! `msx why`: from a call down the chain of waiting, to what runs or stands in a queue.

use std::time::Instant;

use super::find::Found;
use super::{Labels, NotFound, seconds, status};
use crate::balancer::{Instance, Intake, Rank};
use crate::calls::{Call, Place};
use crate::core::Core;
use crate::model::{InstanceId, ServiceId};
use crate::protocol::calls::{CallStatus, Holder, QueueInfo, WaitsFor, Why, WhyStep};

/// Calls that hold a slot and are named.
const HOLDERS_MAX: usize = 5;

impl Core {
    pub fn why(&self, now: Instant, text: &str, labels: Labels<'_>) -> Result<Why, NotFound> {
        let mut next = match self.find(now, text)? {
            Found::Live(key) => self.calls.get(key),
            Found::Ended(ended) => return Err(ended.into_not_found()),
        };
        let mut chain = Vec::new();
        while let Some(call) = next {
            chain.push(WhyStep {
                call: self.info(now, call, labels),
                waits_for: self.waits_for(call),
                queue: self.queue_of(now, call, labels),
                paused: self.paused_info(now, call),
            });
            let oldest = call.awaited_children().filter_map(|key| self.calls.get(key));
            let oldest = oldest.filter(|_| is_suspended(call)).min_by_key(|child| child.accepted);
            next = self.batch_of(call).or(oldest);
        }
        Ok(Why { chain })
    }

    fn waits_for(&self, call: &Call) -> Option<WaitsFor> {
        let awaited: Vec<CallStatus> =
            call.awaited_children().filter_map(|key| self.calls.get(key)).map(status).collect();
        if awaited.is_empty() || !is_suspended(call) {
            return None;
        }
        let counts =
            CallStatus::ALL.map(|status| (status, awaited.iter().filter(|s| **s == status).count() as u64));
        Some(WaitsFor {
            calls: awaited.len() as u64,
            all: call.waits_for_all(),
            by_status: counts.into_iter().filter(|(_, count)| *count > 0).collect(),
        })
    }

    fn queue_of(&self, now: Instant, call: &Call, labels: Labels<'_>) -> Option<QueueInfo> {
        match call.place {
            Place::Queued(rank) | Place::Ahead { rank, .. } => {
                Some(self.in_queue(now, call.service, rank, labels))
            }
            Place::Parked { instance, resuming: true } => self.in_resumes(now, call, instance, labels),
            _ => None,
        }
    }

    fn in_queue(&self, now: Instant, service: ServiceId, rank: Rank, labels: Labels<'_>) -> QueueInfo {
        let dispatcher = &self.service(service).dispatcher;
        let ready: Vec<&Instance> =
            dispatcher.instances().iter().filter(|instance| instance.intake == Intake::Ready).collect();
        QueueInfo {
            position: dispatcher.ahead_of(rank) as u64 + 1,
            queued: dispatcher.queued() as u64,
            busy: ready.iter().map(|instance| instance.running.len() as u32).sum(),
            slots: ready.iter().map(|instance| instance.slots).sum(),
            ready: ready.len() as u32,
            holders: self.holders(now, &ready, labels),
            decision: None,
            paused: self.service(service).hold.map(|hold| hold.shown(now)),
        }
    }

    /// A call that goes on does so where it is parked, ahead of all that is new.
    fn in_resumes(&self, now: Instant, call: &Call, id: InstanceId, labels: Labels<'_>) -> Option<QueueInfo> {
        let instances = self.service(id.service).dispatcher.instances();
        let instance = instances.iter().find(|instance| instance.id == id)?;
        let is_it = |key| self.calls.get(key).is_some_and(|known| std::ptr::eq(known, call));
        Some(QueueInfo {
            position: instance.resumes.iter().position(|(key, _)| is_it(*key))? as u64 + 1,
            queued: instance.resumes.len() as u64,
            busy: instance.running.len() as u32,
            slots: instance.slots,
            ready: 1,
            holders: self.holders(now, &[instance], labels),
            decision: None,
            paused: None,
        })
    }

    fn holders(&self, now: Instant, instances: &[&Instance], labels: Labels<'_>) -> Vec<Holder> {
        let held = instances
            .iter()
            .flat_map(|instance| instance.running.iter().map(|running| (instance.id, running)));
        let mut held: Vec<_> = held.collect();
        held.sort_by_key(|(_, running)| running.since);
        let holders = held.into_iter().take(HOLDERS_MAX).map(|(instance, running)| Holder {
            id: self.id_of(running.call),
            instance: labels(instance.service, instance.number),
            for_s: seconds(now, running.since),
        });
        holders.collect()
    }
}

/// Whether the call waits for others, and not for a slot.
fn is_suspended(call: &Call) -> bool {
    matches!(call.place, Place::Parked { resuming: false, .. } | Place::Unwinding(_) | Place::Evicted)
}
