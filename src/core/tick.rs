//! What the core does because time passed: bounds of running, waiting and draining.

use std::time::{Duration, Instant};

use super::{AHEAD_BOUND, Core, Effect, Reason, Refusal, Service, ServiceSetup};
use crate::balancer::{Instance, Intake, Running};
use crate::calls::Fault;
use crate::model::{CallKey, InstanceId, ServiceId};

/// How long the worker may take to send the stack of an interrupted call.
const STACK_BOUND: Duration = Duration::from_millis(500);
/// How long an interrupted call may go on before its instance counts as unresponsive.
const INTERRUPT_BOUND: Duration = Duration::from_secs(1);
/// How long a resume waits for its own instance while another has a free slot.
const RESUME_BOUND: Duration = Duration::from_secs(1);

impl Core {
    pub(super) fn on_tick(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.ring_alarms(now);
        self.end_overdue_holds(now, out);
        for at in 0..self.services.len() {
            let service = ServiceId(at as u32);
            self.refuse_overdue(now, service, out);
            // Also what was evicted since: its replay would wait for ever.
            self.refuse_hopeless(now, service, out);
            let instances: Vec<InstanceId> =
                self.service(service).dispatcher.instances().iter().map(|i| i.id).collect();
            for instance in instances {
                self.check_running(now, instance, out);
                self.check_unwinding(now, instance, out);
                self.move_stuck_resumes(now, instance, out);
                self.end_long_drain(now, instance, out);
            }
            self.touch(service);
        }
    }

    /// A call that turns long keeps those behind it on its lane no longer.
    pub(super) fn on_patrol(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let dispatchers = self.services.iter_mut().map(|service| &mut service.dispatcher);
        let late = dispatchers.flat_map(|dispatcher| dispatcher.ask_back(now, AHEAD_BOUND));
        out.extend(late.map(|(instance, lane)| Effect::AskBack { instance, lane }));
        let instances = self.services.iter().flat_map(|service| service.dispatcher.instances());
        self.is_on_patrol = instances.map(Instance::ahead).sum::<usize>() > 0;
    }

    fn refuse_overdue(&mut self, now: Instant, id: ServiceId, out: &mut Vec<Effect>) {
        let timeout = self.service(id).setup.queue.timeout;
        self.dispatcher(id).look_for_ready(now);
        if self.is_excused(now, id, timeout) {
            return;
        }
        while let Some(key) = self.dispatcher(id).pop_overdue_root(now, timeout) {
            let Service { setup: ServiceSetup { name, .. }, dispatcher, .. } = self.service(id);
            let (is_warm, seconds) = (dispatcher.has_ready(), dispatcher.wait_bound(timeout).as_secs_f64());
            let message = match is_warm {
                true => format!(
                    "no slot of {name} became free within {seconds} s; more instances (`msx scale`) or fewer callers would help"
                ),
                false => format!(
                    "no instance of {name} became ready within {seconds} s; `msx logs {name}` shows why"
                ),
            };
            self.refuse(now, key, Refusal { reason: Reason::QueueTimeout, message, detail: None }, out);
        }
    }

    fn instance(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.dispatcher(id.service).instance(id)
    }

    /// Holds running calls to `run_timeout`: ask, answer the caller, give up on the instance.
    fn check_running(&mut self, now: Instant, id: InstanceId, out: &mut Vec<Effect>) {
        let bound = self.service(id.service).setup.run_timeout;
        let Some(instance) = self.instance(id) else { return };
        let late = |r: &&Running| now.saturating_duration_since(r.since) >= bound;
        let late: Vec<Running> = instance.running.iter().filter(late).cloned().collect();
        for running in late {
            // One sent before, because its caller left, may have been lost on its way.
            let asked = running.interrupted.filter(|last| last.at >= running.since + bound);
            let Some(asked) = asked else {
                self.interrupt(now, id, running.call, "run_timeout", out);
                continue;
            };
            let waited = now.saturating_duration_since(asked.at);
            let is_waited_for = self.calls.get(running.call).is_some() && !self.has_retries(running.call);
            if waited >= STACK_BOUND && is_waited_for {
                self.time_out(now, id, running.call, String::new(), out);
            }
            if waited >= INTERRUPT_BOUND {
                self.give_up_on(now, id, "a call went on for 1 s after its run_timeout had ended it", out);
            }
        }
    }

    /// Code that unwinds has the time of a run, too.
    fn check_unwinding(&mut self, now: Instant, id: InstanceId, out: &mut Vec<Effect>) {
        let bound = self.service(id.service).setup.run_timeout.saturating_add(INTERRUPT_BOUND);
        let Some(instance) = self.instance(id) else { return };
        if instance.unwinding.iter().any(|call| now.saturating_duration_since(call.since) >= bound) {
            self.give_up_on(
                now,
                id,
                "a call that was told to unwind did not end within its run_timeout",
                out,
            );
        }
    }

    fn give_up_on(&mut self, now: Instant, id: InstanceId, why: &str, out: &mut Vec<Effect>) {
        let Some(instance) = self.instance(id) else { return };
        if instance.intake == Intake::Severed || instance.given_up {
            return;
        }
        instance.given_up = true;
        instance.intake = Intake::Draining;
        instance.draining_since.get_or_insert(now);
        out.push(Effect::Unresponsive { instance: id, why: why.to_owned() });
    }

    pub(super) fn on_stack(
        &mut self,
        now: Instant,
        id: InstanceId,
        call: CallKey,
        attempt: u32,
        text: String,
        out: &mut Vec<Effect>,
    ) {
        let is_asked =
            self.instance(id).and_then(|i| i.running_mut(call)).is_some_and(|r| r.interrupted.is_some());
        // One that is tried again waits until the worker is done with it, so that it never runs twice at once.
        if is_asked
            && !self.has_retries(call)
            && self.calls.get(call).is_some_and(|call| call.attempt == attempt)
        {
            self.time_out(now, id, call, text, out);
        }
    }

    /// Answers the caller, unless the call is tried again; the slot stays held until the worker is done with it.
    pub(super) fn time_out(
        &mut self,
        now: Instant,
        id: InstanceId,
        call: CallKey,
        stack: String,
        out: &mut Vec<Effect>,
    ) {
        let setup = &self.service(id.service).setup;
        let (name, bound) = (setup.name.clone(), setup.run_timeout);
        let seconds = bound.as_secs_f64();
        out.push(Effect::Log(format!("a call of {name} ran into its run_timeout of {seconds} s\n{stack}")));
        let payload = Fault::RunTimeout { bound, stack }.payload(&name);
        self.retry_or_end(now, call, payload, out);
    }

    fn move_stuck_resumes(&mut self, now: Instant, id: InstanceId, out: &mut Vec<Effect>) {
        let Some(instance) = self.instance(id) else { return };
        let late = |(_, since): &&(CallKey, Instant)| now.saturating_duration_since(*since) >= RESUME_BOUND;
        let late: Vec<CallKey> = instance.resumes.iter().filter(late).map(|(call, _)| *call).collect();
        let free = self.dispatcher(id.service).instances().iter().filter(|i| i.id != id && i.takes_new());
        let free: u32 = free.map(|i| i.slots - i.running.len() as u32).sum();
        for call in late.into_iter().take(free as usize) {
            self.evict(now, id, call, out);
        }
    }

    fn end_long_drain(&mut self, now: Instant, id: InstanceId, out: &mut Vec<Effect>) {
        let Some(since) = self.instance(id).and_then(|i| i.draining_since) else { return };
        if now.saturating_duration_since(since) >= Self::DRAIN_BOUND {
            self.evict_parked(now, id, out);
        }
    }
}
