//! Deadlines: how long somebody waits for a call. One travels with the calls that the call makes, and only shrinks;
//! when it has passed, the call has failed wherever it is, and what it started is cancelled.

use std::time::Instant;

use super::timers::Due;
use super::{Answer, Core, Effect};
use crate::calls::{Call, Fault, Place};
use crate::model::{CallKey, Outcome};
use crate::protocol::worker::CallOptions;

impl Core {
    /// Gives a call that was just made its options. It has its caller's deadline already: an earlier one is its own.
    pub(super) fn give_options(&mut self, now: Instant, key: CallKey, options: Option<Box<CallOptions>>) {
        let (Some(options), Some(call)) = (options, self.calls.get_mut(key)) else { return };
        // A time that no clock reaches is no bound.
        let deadline = options.timeout.and_then(|timeout| now.checked_add(timeout));
        if let Some(at) = deadline.filter(|at| call.deadline.is_none_or(|callers| *at < callers)) {
            (call.deadline, call.has_timer) = (Some(at), true);
            self.timers.set(at, key, Due::Deadline);
        }
        call.options = Some(options);
    }

    /// When something is due; the core wants to be asked again then.
    pub fn next_timer(&self) -> Option<Instant> {
        let batch = self.batches_due.first().map(|(due, _)| *due);
        self.timers.next().into_iter().chain(batch).min()
    }

    /// Does what is due, before anything is bound: so nothing starts whose time is over.
    pub(super) fn fire_timers(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some((key, due)) = self.timers.pop(now) {
            match due {
                Due::Deadline => self.expire(now, key, out),
                Due::Retry => self.try_again(now, key),
                Due::EndOfPause => self.end_pause(now, key, out),
            }
        }
        self.cancel_deserted(now, out);
        self.touch_batches(now);
    }

    fn expire(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        let waited = call.deadline.unwrap_or(now).saturating_duration_since(call.accepted);
        let payload = Fault::Deadline(waited).payload(&self.service(call.service).setup.name);
        self.stop_in_place(now, key, out);
        self.conclude(now, key, Outcome::Error(payload), |_| Answer::Expired, out);
    }

    /// The call has left the core: nothing is due for it any more, and nobody follows it.
    pub(super) fn settle(&mut self, now: Instant, key: CallKey, call: &Call, out: &mut Vec<Effect>) {
        if let Some(at) = call.deadline.filter(|_| call.has_timer) {
            self.timers.clear(at, key, Due::Deadline);
        }
        if let Place::Backoff(at) = call.place {
            self.timers.clear(at, key, Due::Retry);
        }
        if let Place::Batched { batch } = call.place {
            self.leave_batch(batch);
        }
        self.forget_pause(key);
        self.streams.forget_those_for(key);
        self.clear_alarm(key, call);
        self.withdraw(now, key, call, out);
        self.end_turn(now, call, out);
    }
}
