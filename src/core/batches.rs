//! Batches: calls of a service that one run of its function takes together. A batch is a call of its own, which runs,
//! waits, and is replayed like any other; its members wait for it, each with its own caller, deadline and retries. It
//! is the root of its own tree, as it belongs to no single caller, and ends when none of them waits any more.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use super::workers::Sender;
use super::{Answer, Core, Effect};
use crate::balancer::Work;
use crate::calls::{Batch, Fault, Place};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId};
use crate::protocol::worker::PAYLOAD_BYTES_MAX;

impl Core {
    /// True: there is a new batch to bind.
    pub(super) fn bind_all(&mut self, now: Instant, service: ServiceId, out: &mut Vec<Effect>) -> bool {
        while let Some(bound) = self.dispatcher(service).next(now) {
            if !matches!(bound.work, Work::RunNext(_)) {
                self.note_started(bound.call, bound.instance, now);
            }
            self.start(now, bound, out);
            self.batch_runs(now, bound.call, bound.instance);
        }
        self.form_batch(now, service)
    }

    /// Makes a batch of what waits, if it is time, and queues it for the slot that is free.
    pub(super) fn form_batch(&mut self, now: Instant, id: ServiceId) -> bool {
        let due = self.dispatcher(id).batch_due();
        if due.is_none_or(|due| due > now) {
            self.expect_batch(id, due);
            return false;
        }
        let members = self.gathered(id);
        let arguments = self.joined(&members);
        let size = members.len() as u32;
        for member in &members {
            if let Some(call) = self.calls.get_mut(*member) {
                call.begin_attempt();
            }
        }
        let batch = self.calls.add_batch(id, arguments, members, now);
        self.note_queued(batch, now);
        self.note_batch(batch, size);
        self.queue_replay(batch);
        true
    }

    /// A batch of what waits in this service is due then, if no others come.
    fn expect_batch(&mut self, id: ServiceId, due: Option<Instant>) {
        let expected = &mut self.services[id.0 as usize].batch_expected;
        if *expected == due {
            return;
        }
        if let Some(before) = std::mem::replace(expected, due) {
            self.batches_due.remove(&(before, id));
        }
        if let Some(due) = due {
            self.batches_due.insert((due, id));
        }
    }

    /// Lets `pump` look at services where a batch is due.
    pub(super) fn touch_batches(&mut self, now: Instant) {
        while let Some((due, id)) = self.batches_due.first().copied().filter(|(due, _)| *due <= now) {
            self.batches_due.remove(&(due, id));
            self.services[id.0 as usize].batch_expected = None;
            self.touch(id);
        }
    }

    /// Takes calls out of the queue, as many as fit into one batch and one message.
    fn gathered(&mut self, id: ServiceId) -> Vec<CallKey> {
        let size = self.service(id).dispatcher.batch_size() as usize;
        let (mut members, mut bytes) = (Vec::with_capacity(size), 0);
        while members.len() < size {
            let Some((rank, key)) = self.service(id).dispatcher.first_gathered() else { break };
            bytes += self.calls.get(key).map_or(0, |call| call.arguments.len());
            if bytes > PAYLOAD_BYTES_MAX && !members.is_empty() {
                break;
            }
            self.dispatcher(id).remove(rank);
            members.push(key);
        }
        members
    }

    /// The arguments of a batch: an array of those of its members.
    fn joined(&self, members: &[CallKey]) -> Bytes {
        let arguments: Vec<&Bytes> =
            members.iter().filter_map(|key| self.calls.get(*key)).map(|call| &call.arguments).collect();
        let bytes: usize = arguments.iter().map(|payload| payload.len()).sum();
        let mut joined = BytesMut::with_capacity(bytes + 5).writer();
        // Writing to memory cannot fail.
        let _ = rmp::encode::write_array_len(&mut joined, arguments.len() as u32);
        let mut joined = joined.into_inner();
        arguments.into_iter().for_each(|payload| joined.extend_from_slice(payload));
        joined.freeze()
    }

    /// The batch has a slot.
    pub(super) fn batch_runs(&mut self, now: Instant, key: CallKey, instance: InstanceId) {
        let Some(batch) = self.calls.get(key).and_then(|call| call.batch.as_ref()) else { return };
        let members = batch.members.clone();
        self.dispatcher(instance.service).weigh(instance, key, members.len());
        for member in members {
            if self.is_member(member, key) {
                self.note_started(member, instance, now);
            }
        }
    }

    /// Whether the call still waits for this batch.
    pub(super) fn is_member(&self, call: CallKey, batch: CallKey) -> bool {
        self.calls.get(call).is_some_and(|call| call.place == Place::Batched { batch })
    }

    pub(super) fn is_batch(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| call.batch.is_some())
    }

    /// The members of a batch that still wait for it.
    pub(super) fn members(&self, key: CallKey) -> Vec<CallKey> {
        let batch = self.calls.get(key).and_then(|call| call.batch.as_ref());
        let members = batch.map_or(&[][..], |batch| &batch.members);
        members.iter().copied().filter(|member| self.is_member(*member, key)).collect()
    }

    /// A member has left the core. When it was the last one, the batch is for nobody.
    pub(super) fn leave_batch(&mut self, batch: CallKey) {
        let Some(Batch { present, .. }) =
            self.calls.get_mut(batch).and_then(|call| call.batch.as_deref_mut())
        else {
            return;
        };
        *present -= 1;
        if *present == 0 {
            // Later, and not from inside of what made the member leave: batches may wait for each other in a row.
            self.deserted.push(batch);
        }
    }

    pub(super) fn cancel_deserted(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(batch) = self.deserted.pop() {
            self.cancel(now, batch, out);
        }
    }

    /// A batch is answered: an outcome for each of its members.
    pub(super) fn on_answers(
        &mut self,
        now: Instant,
        sender: Sender,
        outcomes: Vec<Outcome>,
        out: &mut Vec<Effect>,
    ) {
        let key = sender.call;
        if !self.is_current(sender) && !self.is_unwinding(sender) {
            return self.free(now, sender);
        }
        self.free(now, sender);
        let members = self.calls.get_mut(key).and_then(|call| call.batch.as_ref());
        let members = members.map_or_else(Vec::new, |batch| batch.members.clone());
        if members.len() != outcomes.len() {
            let (expected, got) = (members.len(), outcomes.len());
            return self.fail(now, key, Fault::Answers { expected, got }, out);
        }
        self.end_batch(now, key, Outcome::Value(Bytes::new()), out);
        for (member, outcome) in members.into_iter().zip(outcomes) {
            if self.is_member(member, key) {
                self.answer_member(now, member, outcome, out);
            }
        }
    }

    fn answer_member(&mut self, now: Instant, member: CallKey, outcome: Outcome, out: &mut Vec<Effect>) {
        match outcome {
            Outcome::Error(error) => self.retry_or_end(now, member, error, out),
            value => self.end(now, member, value, out),
        }
    }

    /// A run of a batch has failed, with this error for each member; it is tried again, if it may be.
    pub(super) fn fail_batch(
        &mut self,
        now: Instant,
        key: CallKey,
        error: impl Fn(&Self, CallKey) -> Bytes,
        out: &mut Vec<Effect>,
    ) {
        let members = self.members(key);
        let of_batch = error(self, key);
        self.end_batch(now, key, Outcome::Error(of_batch), out);
        for member in members {
            if self.is_member(member, key) {
                let error = error(self, member);
                self.retry_or_end(now, member, error, out);
            }
        }
    }

    /// The batch itself has ended; its members are still to be answered.
    fn end_batch(&mut self, now: Instant, key: CallKey, outcome: Outcome, out: &mut Vec<Effect>) {
        if let Some(batch) = self.calls.get_mut(key).and_then(|call| call.batch.as_deref_mut()) {
            let members = std::mem::take(&mut batch.members);
            self.count_members(key, members.len());
        }
        self.conclude(now, key, outcome, Answer::Done, out);
    }

    /// An instance has done with one run what else takes as many.
    fn count_members(&mut self, key: CallKey, members: usize) {
        let Some(Place::Running(id) | Place::Parked { instance: id, .. } | Place::Unwinding(id)) =
            self.calls.get(key).map(|call| call.place)
        else {
            return;
        };
        if let Some(instance) = self.dispatcher(id.service).instance(id) {
            instance.completed += members.saturating_sub(1) as u64;
        }
    }

    /// A batch has ended with this outcome, and so have the calls that wait for it.
    pub(super) fn end_members(
        &mut self,
        now: Instant,
        key: CallKey,
        batch: &Batch,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) {
        for member in &batch.members {
            if self.is_member(*member, key) {
                self.end(now, *member, outcome.clone(), out);
            }
        }
    }
}
