//! Alarms: timers of asyncio that strike while their call is in no worker. As long as a worker holds the call it
//! keeps the time itself; from its eviction on the hub does, and records the strike as the worker would have.

use std::time::Instant;

use super::Core;
use super::workers::Sender;
use crate::calls::{Call, Child};
use crate::model::{CallKey, Outcome};
use crate::protocol::worker::Alarm;

impl Core {
    /// Also of a call that is already told to unwind: the two crossed.
    pub(super) fn on_alarm(&mut self, now: Instant, sender: Sender, mut alarm: Alarm) {
        if !self.is_current(sender) && !self.is_unwinding(sender) {
            return;
        }
        let line = self.lines.share(alarm.line.take());
        if let Some(call) = self.calls.get_mut(sender.call) {
            alarm.line = line;
            call.alarm = now.checked_add(alarm.after).map(|due| (due, alarm));
        }
    }

    /// The call has left its worker, and still waits.
    pub(super) fn set_alarm(&mut self, key: CallKey) {
        if let Some((due, _)) = self.calls.get(key).and_then(|call| call.alarm.as_ref()) {
            self.alarms.insert((*due, key));
        }
    }

    /// The call has left the core.
    pub(super) fn clear_alarm(&mut self, key: CallKey, call: &Call) {
        if let Some((due, _)) = &call.alarm {
            self.alarms.remove(&(*due, key));
        }
    }

    pub(super) fn ring_alarms(&mut self, now: Instant) {
        while let Some((due, key)) = self.alarms.first().copied().filter(|(due, _)| *due <= now) {
            self.alarms.remove(&(due, key));
            self.ring(key);
        }
    }

    fn ring(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some((_, alarm)) = call.alarm.take() else { return };
        // Its worker may have told the strike on its way out.
        if matches!(call.child(alarm.seq), None | Some(Child::Untold)) {
            let root = call.root;
            self.calls.count_recorded(root, &Outcome::Value(alarm.value.clone()));
            if let Some(call) = self.calls.get_mut(key) {
                call.add_strike(alarm);
            }
        }
        self.queue_replay(key);
    }
}
