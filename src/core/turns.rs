//! `concurrency_key`: at most so many calls of a service under one key at once. A call that has to wait for its turn is
//! held outside of the service's queue, so that calls under other keys go on; it has its turn from then until it ends,
//! also while it waits for others.

#[cfg(test)]
mod audit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::{Core, Effect};
use crate::calls::{Call, Fault, Place};
use crate::model::{CallKey, ServiceId};

type Name = (ServiceId, Arc<str>);
/// As in the queue of a service: older trees first, deeper calls first, then by arrival.
type Order = (u64, Reverse<u32>, u64);

/// The keys under which calls are running or wait for their turn.
#[derive(Debug, Default)]
pub struct Turns {
    keys: HashMap<Name, Turn>,
    arrivals: u64,
    /// How many root calls of a service wait: its queue has a bound, and they are outside of it.
    waiting_roots: HashMap<ServiceId, u32>,
}

#[derive(Debug, Default)]
struct Turn {
    taken: u32,
    waiting: BTreeMap<Order, CallKey>,
}

impl Turns {
    /// Takes a turn if there is one; else the call waits for it, under the number that is answered.
    fn take(&mut self, name: Name, limit: u32, key: CallKey, call: &Call) -> Result<(), u64> {
        let turn = self.keys.entry(name).or_default();
        if turn.taken < limit {
            turn.taken += 1;
            return Ok(());
        }
        self.arrivals += 1;
        let order = order(call, self.arrivals);
        turn.waiting.insert(order, key);
        if is_root(&order) {
            *self.waiting_roots.entry(call.service).or_default() += 1;
        }
        Err(self.arrivals)
    }

    /// A turn is over: answers who has it now.
    fn pass_on(&mut self, name: &Name) -> Option<CallKey> {
        let turn = self.keys.get_mut(name)?;
        let next = turn.waiting.pop_first();
        if next.is_none() {
            turn.taken -= 1;
        }
        if turn.taken == 0 {
            self.keys.remove(name);
        }
        let (order, call) = next?;
        self.waits_no_more(name.0, &order);
        Some(call)
    }

    fn give_up(&mut self, name: &Name, order: &Order) {
        if let Some(turn) = self.keys.get_mut(name) {
            turn.waiting.remove(order);
            self.waits_no_more(name.0, order);
        }
    }

    fn waits_no_more(&mut self, service: ServiceId, order: &Order) {
        let Some(count) = self.waiting_roots.get_mut(&service).filter(|_| is_root(order)) else { return };
        *count -= 1;
        if *count == 0 {
            self.waiting_roots.remove(&service);
        }
    }

    /// How many root calls of a service wait for their turn.
    pub fn waiting_roots(&self, service: ServiceId) -> u32 {
        self.waiting_roots.get(&service).copied().unwrap_or(0)
    }
}

fn is_root((_, depth, _): &Order) -> bool {
    *depth == Reverse(0)
}

fn order(call: &Call, arrival: u64) -> Order {
    (call.root_age, Reverse(call.depth), arrival)
}

fn name_of(call: &Call) -> Option<Name> {
    let key = call.options.as_ref()?.key.clone()?;
    Some((call.service, key))
}

impl Core {
    /// Queues a call that was just made, once it is its turn.
    pub(super) fn queue_in_turn(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(key) else { return };
        let limit = self.service(call.service).setup.per_key;
        let (Some(name), Some(limit)) = (name_of(call), limit) else { return self.queue_new(key, now, out) };
        if self.turns_above(key, &name) >= limit {
            let text = format!(
                "all {limit} turns under the key {:?} (its concurrency_key) are taken by calls that wait for this one",
                name.1
            );
            return self.fail(now, key, Fault::LimitExceeded(text), out);
        }
        let taken = self.turns.take(name, limit, key, call);
        let Some(call) = self.calls.get_mut(key) else { return };
        match taken {
            Ok(()) => {
                call.has_turn = true;
                self.queue_new(key, now, out);
            }
            Err(arrival) => call.place = Place::Held(arrival),
        }
    }

    /// How many calls under this key wait, by however many others, for a call.
    fn turns_above(&self, key: CallKey, name: &Name) -> u32 {
        let above = self.calls.callers(key).into_iter().filter_map(|above| self.calls.get(above));
        above.filter(|call| call.has_turn && name_of(call).as_ref() == Some(name)).count() as u32
    }

    /// A call has left the core, and its turn is the next one's.
    pub(super) fn end_turn(&mut self, now: Instant, call: &Call, out: &mut Vec<Effect>) {
        let Some(name) = name_of(call) else { return };
        if let Place::Held(arrival) = call.place {
            self.turns.give_up(&name, &order(call, arrival));
        }
        if !call.has_turn {
            return;
        }
        let Some(next) = self.turns.pass_on(&name) else { return };
        if let Some(call) = self.calls.get_mut(next) {
            call.has_turn = true;
            self.queue_new(next, now, out);
        }
    }
}
