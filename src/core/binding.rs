//! Binding: what can run now gets a slot, and its worker the message that says so.

use std::time::Instant;

use super::{Core, Effect};
use crate::balancer::{Bound, Work};
use crate::calls::{Asked, Place};
use crate::model::{CallKey, ServiceName};
use crate::protocol::worker::{Recorded, ToWorker};

impl Core {
    /// Binds whatever can run now in the services that changed.
    pub(super) fn pump(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.fire_timers(now, out);
        while let Some(service) = self.dirty.pop() {
            while self.bind_all(now, service, out) {}
            self.say_drained(service, out);
            self.say_cold(service, out);
        }
    }

    pub(super) fn start(&mut self, now: Instant, bound: Bound, out: &mut Vec<Effect>) {
        let Bound { call: key, instance, lane, work } = bound;
        let place = match work {
            Work::RunNext(rank) => Place::Ahead { instance, rank },
            Work::Run { .. } | Work::Resume => Place::Running(instance),
        };
        self.is_on_patrol |= matches!(work, Work::RunNext(_));
        let message = match work {
            Work::Run { opens_lane, .. } => {
                if opens_lane {
                    out.push(Effect::OpenLane { instance, lane });
                }
                self.run_message(now, key)
            }
            Work::RunNext(_) => self.run_message(now, key),
            Work::Resume => self.resume_message(key),
        };
        debug_assert!(message.is_some(), "a queued call exists");
        let Some(message) = message else { return };
        if let Some(call) = self.calls.get_mut(key) {
            call.place = place;
        }
        out.push(Effect::Send { instance, lane, message });
    }

    pub(super) fn run_message(&mut self, now: Instant, key: CallKey) -> Option<ToWorker> {
        let call = self.calls.get_mut(key)?;
        call.begin_attempt();
        let (attempt, arguments, parent) = (call.attempt, call.arguments.clone(), call.parent);
        let remaining = call.deadline.map(|at| at.saturating_duration_since(now));
        let via = parent.and_then(|(parent, _)| self.calls.get(parent)).map(|parent| parent.service);
        let via = via.map(|service| self.service(service).setup.name.clone());
        let call = self.calls.get(key)?;
        let (id, batch) = (self.calls.id_of(call).text(), call.batch.as_ref());
        let batch = batch.map(|batch| batch.members.len() as u32);
        let (results, yielded) = (self.recorded(key), self.yielded(key));
        Some(ToWorker::Run { call: key, attempt, arguments, via, results, id, remaining, yielded, batch })
    }

    pub(super) fn recorded(&self, key: CallKey) -> Vec<Recorded> {
        let Some(call) = self.calls.get(key) else { return Vec::new() };
        let recorded = call.recorded().map(|(seq, asked, ident, outcome, request)| {
            let (service, outcome) = (self.name_of(asked), outcome.clone());
            let (line, arguments) = (request.line.clone(), request.arguments.clone());
            Recorded { seq, service, ident, outcome, line, arguments }
        });
        recorded.collect()
    }

    pub(super) fn name_of(&self, asked: &Asked) -> ServiceName {
        match asked {
            Asked::Service(service) => self.service(*service).setup.name.clone(),
            Asked::Unknown(name) => name.clone(),
            Asked::Memo => self.memo_name.clone(),
            Asked::Next(_) => self.stream_names.next.clone(),
            Asked::Room => self.stream_names.room.clone(),
        }
    }

    pub(super) fn resume_message(&mut self, key: CallKey) -> Option<ToWorker> {
        let call = self.calls.get_mut(key)?;
        Some(ToWorker::Resume { call: key, attempt: call.attempt, results: call.take_undelivered() })
    }
}
