//! Whether a root call is let in, and its first step if it is.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Core, Effect, Reason, Refusal, Service, ServiceSetup, Stage};
use crate::model::{CallKey, ServiceId};
use crate::protocol::worker::CallOptions;

impl Core {
    /// Starts a root call, whose answer will carry `token`.
    pub fn ask(
        &mut self,
        now: Instant,
        service: ServiceId,
        arguments: Bytes,
        options: Option<Box<CallOptions>>,
        token: u64,
        out: &mut Vec<Effect>,
    ) -> Result<CallKey, Refusal> {
        self.admit(service, options.as_ref().and_then(|options| options.timeout))?;
        let call = self.calls.add_root(service, arguments, token, now);
        self.note_queued(call, now);
        self.open_root_stream(call, token, options.as_deref());
        self.give_options(now, call, options);
        self.begin(now, call, out);
        self.pump(now, out);
        Ok(call)
    }

    pub(super) fn admit(&mut self, id: ServiceId, timeout: Option<Duration>) -> Result<(), Refusal> {
        let refusal = self.stopping().or_else(|| self.hopeless(id)).or_else(|| self.queue_full(id));
        let Some(refusal) = refusal.or_else(|| self.too_late(id, timeout)) else { return Ok(()) };
        let service = &mut self.services[id.0 as usize];
        service.dispatcher.meter.offered += 1;
        service.refused.count(refusal.reason);
        Err(refusal)
    }

    fn stopping(&self) -> Option<Refusal> {
        let message = "the hub is stopping and takes no new calls".to_owned();
        (self.stage != Stage::Open).then_some(Refusal { reason: Reason::Stopping, message, detail: None })
    }

    fn queue_full(&self, id: ServiceId) -> Option<Refusal> {
        let Service { setup: ServiceSetup { name, queue, .. }, dispatcher, .. } = self.service(id);
        if self.roots_waiting(id) < queue.max {
            return None;
        }
        let held = if dispatcher.is_held() { ", and it is paused" } else { "" };
        let message = format!("the queue of {name} is full (its max is {}){held}", queue.max);
        Some(Refusal { reason: Reason::QueueFull, message, detail: None })
    }

    /// In the queue, and beside it for their turn.
    pub(super) fn roots_waiting(&self, id: ServiceId) -> u32 {
        self.service(id).dispatcher.roots_queued() + self.turns.waiting_roots(id)
    }

    /// Why nothing will run the calls of this service.
    pub(super) fn hopeless(&self, id: ServiceId) -> Option<Refusal> {
        let service = self.service(id);
        let name = &service.setup.name;
        if service.is_zero {
            let message = format!("{name} is scaled to 0 instances");
            return Some(Refusal { reason: Reason::ScaledToZero, message, detail: None });
        }
        let detail = service.down.clone().filter(|_| !service.dispatcher.has_ready())?;
        let message = format!("{name} crashes at every start and has no ready instance");
        Some(Refusal { reason: Reason::CrashLoop, message, detail: Some(detail) })
    }
}
