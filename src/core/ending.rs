//! How calls end: with an outcome, by a fault of the hub, or because nobody waits for them any more.

use std::time::Instant;

use super::{Answer, Core, Effect};
use crate::balancer::Interrupted;
use crate::calls::history::End;
use crate::calls::{Call, Ended, Fault, Place, Suspension};
use crate::model::{CallKey, InstanceId, Outcome};
use crate::protocol::worker::ToWorker;

impl Core {
    /// The call has ended with this outcome.
    pub(super) fn end(&mut self, now: Instant, key: CallKey, outcome: Outcome, out: &mut Vec<Effect>) {
        self.share(now, key, &outcome, out);
        self.conclude(now, key, outcome, Answer::Done, out);
    }

    /// The same; `answer` says what whoever asked for a root call is told.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        key: CallKey,
        outcome: Outcome,
        answer: fn(Outcome) -> Answer,
        out: &mut Vec<Effect>,
    ) {
        let root = self.calls.get(key).map(|call| call.root);
        let Some((call, ended)) = self.calls.end(key, &outcome) else { return };
        self.settle(now, key, &call, out);
        if call.batch.is_none() {
            let dispatcher = self.dispatcher(call.service);
            dispatcher.meter.completed += 1;
            dispatcher.latency.record(now, now.saturating_duration_since(call.accepted));
        }
        self.cancel_rest(now, &call, out);
        self.note_ended(&call, &outcome, now);
        match ended {
            Ended::Root { token } => out.push(Effect::Answer { token, answer: answer(outcome.clone()) }),
            Ended::Child { parent, suspension: Suspension::Over } => {
                self.wake(now, parent);
                self.tell(parent, out);
            }
            Ended::Child { .. } | Ended::Orphan => (),
        }
        if let Some(batch) = &call.batch {
            self.end_members(now, key, batch, &outcome, out);
        }
        self.end_stream(now, key, &call, out);
        if let Some(root) = root
            && let Some(fault) = self.calls.holds_too_much(root)
        {
            self.fail(now, root, fault, out);
        }
    }

    /// Children that a call leaves unfinished when it ends are for nobody.
    pub(super) fn cancel_rest(&mut self, now: Instant, ended: &Call, out: &mut Vec<Effect>) {
        let mut count = 0;
        for child in ended.pending_children() {
            count += 1;
            self.cancel(now, child, out);
        }
        if count > 0 {
            let name = &self.service(ended.service).setup.name;
            out.push(Effect::Log(format!(
                "a call of {name} ended before {count} of the calls it had made: they are cancelled"
            )));
        }
    }

    /// Ends a call with an error of the hub, wherever it is.
    pub(super) fn fail(&mut self, now: Instant, key: CallKey, fault: Fault, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        let payload = fault.payload(&self.service(call.service).setup.name);
        self.stop_in_place(now, key, out);
        self.end(now, key, Outcome::Error(payload), out);
    }

    /// Takes a call and everything below it out; nobody waits for it.
    pub(super) fn cancel(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let mut doomed = vec![key];
        while let Some(key) = doomed.pop() {
            self.stop_in_place(now, key, out);
            if let Some(token) = self.calls.disown(key) {
                out.push(Effect::Forget { token });
            }
            if let Some(call) = self.calls.take(key) {
                self.settle(now, key, &call, out);
                doomed.extend(call.pending_children());
                self.streams.forget(key, &call);
                self.history.ended(call.record, End::Cancelled, now);
            }
        }
    }

    /// Frees the place of a call that ends from outside. A running one keeps its slot until the worker answers.
    pub(super) fn stop_in_place(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        match call.place {
            Place::Queued(rank) => {
                let service = call.service;
                self.dispatcher(service).remove(rank);
            }
            Place::Running(instance) => self.interrupt(now, instance, key, "cancelled", out),
            // The worker keeps it for the time when it begins.
            Place::Ahead { instance, .. } => {
                let (call, attempt, reason) = (key, call.attempt, "cancelled");
                out.push(Effect::Interrupt { instance, call, attempt, reason });
            }
            Place::Parked { instance, .. } => self.evict(now, instance, key, out),
            Place::Unwinding(_) | Place::Evicted | Place::Backoff(_) | Place::Hub => (),
            Place::Held(_) | Place::Following | Place::Batched { .. } | Place::Paused => (),
        }
    }

    pub(super) fn interrupt(
        &mut self,
        now: Instant,
        id: InstanceId,
        key: CallKey,
        reason: &'static str,
        out: &mut Vec<Effect>,
    ) {
        let attempt = self.calls.get(key).map(|call| call.attempt);
        let running = self.dispatcher(id.service).instance(id).and_then(|i| i.running_mut(key));
        let Some(running) = running else { return };
        let Some(attempt) = attempt.or(running.interrupted.map(|last| last.attempt)) else { return };
        running.interrupted = Some(Interrupted { at: now, attempt });
        out.push(Effect::Interrupt { instance: id, call: key, attempt, reason });
    }

    /// Tells a parked call to unwind; it is replayed, or forgotten, once the worker has acknowledged it.
    pub(super) fn evict(&mut self, now: Instant, instance: InstanceId, key: CallKey, out: &mut Vec<Effect>) {
        let Some(lane) = self.dispatcher(instance.service).unwind(instance, key, now) else { return };
        let Some(call) = self.calls.get_mut(key) else { return };
        call.place = Place::Unwinding(instance);
        let message = ToWorker::Evict { call: key, attempt: call.attempt };
        out.push(Effect::Send { instance, lane, message });
    }
}
