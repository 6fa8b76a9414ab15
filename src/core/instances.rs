//! What the core does when instances come, drain and go.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Core, Effect, Refusal, Stage, permits};
use crate::balancer::Intake;
use crate::calls::history::End;
use crate::calls::{Ended, Fault, Place, Suspension};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId};

impl Core {
    pub(super) fn on_ready(&mut self, id: InstanceId) {
        if let Some(instance) = self.dispatcher(id.service).instance(id)
            && instance.intake == Intake::Starting
        {
            instance.intake = Intake::Ready;
        }
        self.services[id.service.0 as usize].down = None;
        self.touch(id.service);
    }

    /// What runs there goes on; it is ready again when that is said.
    pub(super) fn on_unready(&mut self, id: InstanceId) {
        if let Some(instance) = self.dispatcher(id.service).instance(id)
            && instance.intake == Intake::Ready
        {
            instance.intake = Intake::Starting;
        }
    }

    pub(super) fn on_drain(&mut self, now: Instant, id: InstanceId, replay_now: bool, out: &mut Vec<Effect>) {
        let Some(instance) = self.dispatcher(id.service).instance(id) else { return };
        if instance.intake == Intake::Severed {
            return;
        }
        instance.intake = Intake::Draining;
        instance.draining_since.get_or_insert(now);
        if replay_now {
            self.evict_parked(now, id, out);
        }
        self.touch(id.service);
    }

    /// Evicts every call that is parked in the instance, to be replayed elsewhere.
    pub(super) fn evict_parked(&mut self, now: Instant, id: InstanceId, out: &mut Vec<Effect>) {
        let Some(instance) = self.dispatcher(id.service).instance(id) else { return };
        let parked: Vec<CallKey> = instance.parked.iter().map(|parked| parked.call).collect();
        for call in parked {
            self.evict(now, id, call, out);
        }
    }

    /// Says once that a draining instance holds nothing any more.
    pub(super) fn say_drained(&mut self, service: ServiceId, out: &mut Vec<Effect>) {
        let is_abandoned = self.stage == Stage::Abandoned;
        let dispatcher = self.dispatcher(service);
        let draining: Vec<InstanceId> = dispatcher
            .instances()
            .iter()
            .filter(|i| i.intake == Intake::Draining && !i.drained_said && (i.is_empty() || is_abandoned))
            .map(|i| i.id)
            .collect();
        for id in draining {
            if let Some(instance) = dispatcher.instance(id) {
                instance.drained_said = true;
            }
            out.push(Effect::Drained(id));
        }
    }

    pub(super) fn on_severed(&mut self, id: InstanceId) {
        if let Some(instance) = self.dispatcher(id.service).instance(id) {
            instance.intake = Intake::Severed;
        }
    }

    /// The process is gone: what ran there fails, what was parked there, or had not begun, runs elsewhere.
    pub(super) fn on_gone(
        &mut self,
        now: Instant,
        id: InstanceId,
        reason: &str,
        begun: &[u64],
        out: &mut Vec<Effect>,
    ) {
        let Some(instance) = self.dispatcher(id.service).detach(id) else { return };
        for call in instance.parked.iter().chain(&instance.unwinding).map(|parked| parked.call) {
            if !self.pause_lost(now, id, call, out) {
                self.replay_lost(id, call);
            }
        }
        // These are given back, whatever their lane has begun with since.
        instance.stranded.iter().for_each(|ahead| self.run_again(id, ahead.call));
        let running = instance.running.iter().map(|running| (running.call, running.lane, running.ordinal));
        let ahead = instance.running.iter().flat_map(|running| &running.ahead);
        for (call, lane, ordinal) in running.chain(ahead.map(|ahead| (ahead.call, ahead.lane, ahead.ordinal)))
        {
            if self.pause_lost(now, id, call, out) {
                continue;
            }
            match begun.get(lane as usize).is_some_and(|begun| *begun < ordinal) {
                true => self.run_again(id, call),
                false => self.fail_lost(now, id, call, reason, out),
            }
        }
        self.touch(id.service);
    }

    /// The worker never heard that it should run this, or go on with it.
    fn run_again(&mut self, id: InstanceId, key: CallKey) {
        if self.was_running(id, key) {
            self.queue_replay(key);
        }
    }

    fn was_running(&self, id: InstanceId, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| match call.place {
            Place::Running(instance) | Place::Ahead { instance, .. } => instance == id,
            _ => false,
        })
    }

    fn replay_lost(&mut self, id: InstanceId, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let was_here = match call.place {
            Place::Parked { instance, .. } | Place::Unwinding(instance) => instance == id,
            _ => false,
        };
        if !was_here {
            return;
        }
        call.place = Place::Evicted;
        match call.suspension() {
            Suspension::Over => self.queue_replay(key),
            Suspension::Waiting => self.set_alarm(key),
        }
    }

    fn fail_lost(&mut self, now: Instant, id: InstanceId, key: CallKey, reason: &str, out: &mut Vec<Effect>) {
        if !self.was_running(id, key) {
            return;
        }
        if self.is_batch(key) {
            return self.fail_batch(now, key, |core, member| core.died(id, member, reason), out);
        }
        let payload = self.died(id, key, reason);
        self.retry_or_end(now, key, payload, out);
    }

    fn died(&self, id: InstanceId, key: CallKey, reason: &str) -> Bytes {
        let name = &self.service(id.service).setup.name;
        let again = match self.calls.get(key).map_or(0, |call| call.retried) {
            0 => "it may have done part of its work, so it is not run again".to_owned(),
            1 => "it had been run again once, and is not any more".to_owned(),
            times => format!("it had been run again {times} times, and is not any more"),
        };
        let text =
            format!("the instance that ran {name} ended in the middle of the call ({reason}); {again}");
        Fault::InstanceDied(text).payload(name)
    }

    /// Nothing will run what waits here, if so: roots are refused, children fail.
    pub(super) fn refuse_hopeless(&mut self, now: Instant, id: ServiceId, out: &mut Vec<Effect>) {
        let Some(refusal) = self.hopeless(id) else { return };
        for key in self.dispatcher(id).drain_queue() {
            if permits::is_request(key) {
                self.refuse(now, key, refusal.clone(), out);
                continue;
            }
            let Some(call) = self.calls.get_mut(key) else { continue };
            call.place = Place::Evicted;
            // What has run in part is not to be tried again by who reads "refused".
            match call.parent.is_none() && call.attempt == 0 {
                true => self.refuse(now, key, refusal.clone(), out),
                false => self.fail(now, key, refusal.clone().fault(), out),
            }
        }
    }

    /// Answers a root call or a request, which holds no place any more, without running it.
    pub(super) fn refuse(&mut self, now: Instant, key: CallKey, refusal: Refusal, out: &mut Vec<Effect>) {
        if permits::is_request(key) {
            return self.refuse_request(key, refusal, out);
        }
        let Some((call, ended)) = self.calls.end(key, &Outcome::Error(Bytes::new())) else { return };
        self.settle(now, key, &call, out);
        self.dispatcher(call.service).meter.refused += 1;
        self.cancel_rest(now, &call, out);
        self.history.ended(call.record, End::Refused, now);
        if let Ended::Root { token } = ended {
            out.push(Effect::Answer { token, answer: Answer::Refused(refusal) });
        }
    }

    /// How long parked calls of a draining instance may stay there.
    pub(super) const DRAIN_BOUND: Duration = Duration::from_secs(30);
}
