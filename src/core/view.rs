//! What the core tells of single calls: the lists, the chain of waiting, the course of a tree. It only reads, but for
//! `cancel_call`, and nothing here is on the path of a call but the `note_` functions, which write down what was when.

mod find;
pub mod list;
#[cfg(test)]
mod tests;
mod trace;
mod why;

use std::time::{Duration, Instant};

pub use find::NotFound;

use super::{Answer, Core, Effect};
use crate::calls::history::{BatchNote, End, Node};
use crate::calls::{Call, Fault, Place};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId};
use crate::protocol::calls::{BatchInfo, CallInfo, CallStatus};
pub(super) use find::Found;

/// What instances are called; the core knows only their numbers.
pub type Labels<'a> = &'a dyn Fn(ServiceId, u32) -> String;

impl Core {
    /// Ids of calls that no other hub has given are made with a random `salt`.
    pub fn with_id_salt(mut self, salt: u64) -> Self {
        self.calls.salt = salt;
        self
    }

    pub(super) fn note_queued(&mut self, key: CallKey, now: Instant) {
        let Some(call) = self.calls.get(key) else { return };
        let record = match call.parent {
            None => self.history.open(call.tree, call.service, now),
            Some((parent, seq)) => {
                let Some(parent) = self.calls.get(parent) else { return };
                self.history.add(parent.record, seq, call.service, now)
            }
        };
        if let Some(call) = self.calls.get_mut(key) {
            call.record = record;
        }
    }

    /// A batch was made; its members are called by its size, too.
    pub(super) fn note_batch(&mut self, batch: CallKey, size: u32) {
        let Some(note) = self.calls.get(batch).map(|call| BatchNote { size, tree: call.tree }) else {
            return;
        };
        for key in self.members(batch).into_iter().chain([batch]) {
            if let Some(call) = self.calls.get(key) {
                self.history.batched(call.record, note);
            }
        }
    }

    pub(super) fn note_started(&mut self, key: CallKey, instance: InstanceId, now: Instant) {
        if let Some(call) = self.calls.get(key) {
            self.history.started(call.record, instance.number, now);
        }
    }

    pub(super) fn note_ended(&mut self, call: &Call, outcome: &Outcome, now: Instant) {
        let end = match outcome {
            Outcome::Value(_) => End::Returned,
            Outcome::Error(_) => End::Raised,
        };
        self.history.ended(call.record, end, now);
    }

    /// Ends a call that a person names, with all calls below it. Who waits for it gets `Cancelled`.
    pub fn cancel_call(
        &mut self,
        now: Instant,
        id: &str,
        labels: Labels<'_>,
        out: &mut Vec<Effect>,
    ) -> Result<CallInfo, NotFound> {
        let key = match self.find(now, id)? {
            Found::Live(key) => key,
            Found::Ended(ended) => return Err(ended.into_not_found()),
        };
        let call = self.calls.get(key).ok_or_else(|| NotFound::Unknown(id.to_owned()))?;
        let info = self.info(now, call, labels);
        // Of a batch its members: it ends when none waits for it.
        match self.members(key) {
            members if members.is_empty() => self.cancel_one(now, key, out),
            members => members.into_iter().for_each(|member| self.cancel_one(now, member, out)),
        }
        self.pump(now, out);
        Ok(info)
    }

    fn cancel_one(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        let fault = Fault::Cancelled("the call was cancelled by `msx cancel`".into());
        let payload = fault.payload(&self.service(call.service).setup.name);
        // First, for it counts as cancelled, and not as one that raised.
        self.history.ended(call.record, End::Cancelled, now);
        self.stop_in_place(now, key, out);
        // Not shared with calls that follow it by their idempotency key: one of them does the work then.
        self.conclude(now, key, Outcome::Error(payload), Answer::Done, out);
    }

    /// The public id of a call that has not ended.
    pub fn id_of(&self, key: CallKey) -> Option<String> {
        self.calls.get(key).map(|call| self.calls.id_of(call).text())
    }

    /// The instance in which a call is, and its attempt there.
    pub fn whereabouts(&self, now: Instant, id: &str) -> Result<Whereabouts, NotFound> {
        let key = match self.find(now, id)? {
            Found::Live(key) => key,
            Found::Ended(ended) => return Err(ended.into_not_found()),
        };
        let call = self.calls.get(key).ok_or_else(|| NotFound::Unknown(id.to_owned()))?;
        let id = self.calls.id_of(call).text();
        let instance = self.instance_of(call);
        Ok(Whereabouts { id, key, attempt: call.attempt, status: status(call), instance })
    }

    fn name(&self, service: ServiceId) -> String {
        self.service(service).setup.name.to_string()
    }

    /// What everybody is told of a call.
    pub(super) fn info(&self, now: Instant, call: &Call, labels: Labels<'_>) -> CallInfo {
        let live = self.history.live(call.record);
        let made = live.map_or(call.children_count() as u64, |(_, node)| u64::from(node.children));
        CallInfo {
            id: self.calls.id_of(call).text(),
            service: self.name(call.service),
            status: status(call),
            instance: self.instance_of(call).map(|id| labels(id.service, id.number)),
            age_s: seconds(now, call.accepted),
            since_s: seconds(now, self.since(call)),
            took_s: None,
            children: made,
            unfinished: call.pending_children().count() as u64,
            summary: self.history.summary(call.record).map(str::to_owned),
            batch: live.and_then(|(_, node)| self.batch_info(call.tree, node)),
        }
    }

    /// What is told of the batch that a call of this tree is, or was in.
    fn batch_info(&self, tree: u64, node: &Node) -> Option<BatchInfo> {
        let batch = node.batch?;
        let id = (batch.tree != tree).then(|| self.id_at(batch.tree, &[]));
        Some(BatchInfo { size: batch.size, id })
    }

    /// The batch that a call is in.
    fn batch_of(&self, call: &Call) -> Option<&Call> {
        let Place::Batched { batch } = call.place else { return None };
        self.calls.get(batch)
    }

    /// Where a call is, or the batch that it is in.
    fn instance_of(&self, call: &Call) -> Option<InstanceId> {
        instance_of(self.batch_of(call).unwrap_or(call))
    }

    /// Since when the call has had its status.
    fn since(&self, call: &Call) -> Instant {
        let written = self.history.since(call.record).unwrap_or(call.accepted);
        let Some(instance) = instance_of(call) else { return written };
        let instances = self.service(instance.service).dispatcher.instances();
        let Some(instance) = instances.iter().find(|known| known.id == instance) else { return written };
        let is_it = |record| self.calls.get(record).is_some_and(|known| std::ptr::eq(known, call));
        let running =
            instance.running.iter().find(|running| is_it(running.call)).map(|running| running.since);
        running
            .or_else(|| instance.resumes.iter().find(|(key, _)| is_it(*key)).map(|(_, since)| *since))
            .or_else(|| instance.unwinding.iter().find(|held| is_it(held.call)).map(|held| held.since))
            .unwrap_or(written)
    }
}

/// Where a call is.
pub struct Whereabouts {
    pub id: String,
    pub key: CallKey,
    pub attempt: u32,
    pub status: CallStatus,
    pub instance: Option<InstanceId>,
}

pub(super) fn status(call: &Call) -> CallStatus {
    match call.place {
        Place::Queued(_) | Place::Ahead { .. } => CallStatus::Queued,
        Place::Running(_) | Place::Hub => CallStatus::Running,
        Place::Parked { resuming: false, .. } => CallStatus::Parked,
        Place::Parked { resuming: true, .. } => CallStatus::Resuming,
        Place::Unwinding(_) => CallStatus::Unwinding,
        Place::Evicted => CallStatus::Evicted,
        Place::Backoff(_) => CallStatus::Backoff,
        Place::Held(_) => CallStatus::Held,
        Place::Following => CallStatus::Following,
        Place::Batched { .. } => CallStatus::Batched,
        Place::Paused => CallStatus::Paused,
    }
}

fn instance_of(call: &Call) -> Option<InstanceId> {
    match call.place {
        Place::Running(instance) | Place::Parked { instance, .. } | Place::Unwinding(instance) => {
            Some(instance)
        }
        Place::Queued(_) | Place::Ahead { .. } | Place::Evicted | Place::Hub => None,
        Place::Backoff(_) | Place::Held(_) | Place::Following => None,
        Place::Batched { .. } | Place::Paused => None,
    }
}

fn status_of_end(end: End) -> CallStatus {
    match end {
        End::Returned => CallStatus::Returned,
        End::Raised => CallStatus::Raised,
        End::Refused => CallStatus::Refused,
        End::Cancelled => CallStatus::Cancelled,
    }
}

fn seconds(now: Instant, since: Instant) -> f64 {
    rounded(now.saturating_duration_since(since))
}

/// Microseconds say enough.
fn rounded(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
