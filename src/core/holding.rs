//! `msx pause`: a service is held. New calls of it wait (roots as many as its queue takes, without a timeout); what has
//! begun goes on to its end, with all that it waits for. The hold ends by itself.

use std::time::{Duration, Instant};

use super::{Core, Effect, Stage};
use crate::calls::{Call, Calls, Place};
use crate::model::{CallKey, ServiceId};
use crate::protocol::control::Pause;

/// Since when, and until when at most, a service is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub since: Instant,
    pub until: Instant,
}

impl Hold {
    /// As people see it.
    pub fn shown(&self, now: Instant) -> Pause {
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        Pause { for_s: seconds(self.since, now), left_s: seconds(now, self.until) }
    }
}

impl Core {
    pub(super) fn hold(&mut self, now: Instant, id: ServiceId, bound: Duration) {
        // What is admitted must be able to end.
        if self.stage != Stage::Open {
            return;
        }
        let (calls, service) = (&self.calls, &mut self.services[id.0 as usize]);
        let since = service.hold.map_or(now, |hold| hold.since);
        service.hold = Some(Hold { since, until: now + bound });
        service.dispatcher.hold(|key| is_inner(calls, key));
        self.touch(id);
    }

    /// Calls that waited for the end of the hold have the time of the queue before them.
    pub(super) fn unhold(&mut self, now: Instant, id: ServiceId) {
        let service = &mut self.services[id.0 as usize];
        if service.hold.take().is_some() {
            service.dispatcher.release(now);
            self.touch(id);
        }
    }

    pub(super) fn end_overdue_holds(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for at in 0..self.services.len() {
            let id = ServiceId(at as u32);
            if self.service(id).hold.is_some_and(|hold| hold.until <= now) {
                self.unhold(now, id);
                out.push(Effect::Unheld(id));
            }
        }
    }

    pub(super) fn end_all_holds(&mut self, now: Instant) {
        (0..self.services.len()).for_each(|at| self.unhold(now, ServiceId(at as u32)));
    }

    /// A call that is queued anew goes on if a call of this service waits for it.
    pub(super) fn let_inner_pass(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let Place::Queued(rank) = call.place else { return };
        let id = call.service;
        if self.service(id).dispatcher.is_held() && is_inner(&self.calls, key) {
            self.dispatcher(id).let_pass(rank);
        }
    }

    /// How a service is held, and how many of its calls have begun and go on.
    pub fn held(&self, id: ServiceId) -> Option<(Hold, usize)> {
        let service = self.services.get(id.0 as usize)?;
        let hold = service.hold?;
        let going = match service.dispatcher.going() {
            // None of them is in an instance, but they may come back.
            0 => self.calls.iter().filter(|(_, call)| call.service == id && has_begun(call)).count(),
            going => going,
        };
        Some((hold, going))
    }
}

fn has_begun(call: &Call) -> bool {
    matches!(call.place, Place::Evicted | Place::Backoff(_))
}

/// Whether another call of the same service waits for this one, through however many others.
fn is_inner(calls: &Calls, key: CallKey) -> bool {
    let parent = |call: &Call| call.parent.and_then(|(parent, _)| calls.get(parent));
    let Some(call) = calls.get(key) else { return false };
    std::iter::successors(parent(call), |above| parent(above)).any(|above| above.service == call.service)
}
