//! Idempotency keys: a call under the key of another one is that one. While it runs the later call follows it and gets
//! the same outcome; afterwards it gets the result that was kept. An error is not kept: the next call runs again.
//!
//! Who leaves (its deadline, its caller) leaves the work to a follower, which then begins it anew.

#[cfg(test)]
mod audit;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Core, Effect};
use crate::calls::{Call, Fault, Place};
use crate::model::{CallKey, Outcome, ServiceId};

/// Results that are kept at once, their bytes, and for how long.
const KEPT_MAX: usize = 10_000;
const KEPT_BYTES_MAX: usize = 64 << 20;
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);

type Name = (ServiceId, Arc<str>);

/// What is known under the keys of all services.
#[derive(Debug, Default)]
pub struct Keys {
    known: HashMap<Name, Known>,
    /// Those with a kept result, oldest first.
    kept: VecDeque<(Instant, Name)>,
    kept_bytes: usize,
}

#[derive(Debug)]
struct Known {
    /// Checksum of the arguments: they must be the same.
    arguments: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Running { leader: CallKey, followers: BTreeSet<CallKey> },
    Done(Bytes),
}

/// What a call under a key is to do.
enum Claim {
    Run,
    Follow { leader: CallKey },
    Answer(Bytes),
    Conflict,
}

impl Keys {
    fn claim(&mut self, now: Instant, name: Name, arguments: &Bytes, call: CallKey) -> Claim {
        self.trim(now);
        let arguments = checksum(arguments);
        match self.known.entry(name) {
            Entry::Vacant(free) => {
                let state = State::Running { leader: call, followers: BTreeSet::new() };
                free.insert(Known { arguments, state });
                Claim::Run
            }
            Entry::Occupied(known) if known.get().arguments != arguments => Claim::Conflict,
            Entry::Occupied(mut known) => match &mut known.get_mut().state {
                State::Running { leader, followers } => {
                    followers.insert(call);
                    Claim::Follow { leader: *leader }
                }
                State::Done(value) => Claim::Answer(value.clone()),
            },
        }
    }

    /// The call has ended so: answers who followed it.
    fn conclude(&mut self, now: Instant, name: &Name, call: CallKey, outcome: &Outcome) -> BTreeSet<CallKey> {
        let Some(known) = self.known.get_mut(name) else { return BTreeSet::new() };
        let State::Running { leader, followers } = &mut known.state else { return BTreeSet::new() };
        if *leader != call {
            return BTreeSet::new();
        }
        let followers = std::mem::take(followers);
        match outcome {
            Outcome::Value(value) => {
                known.state = State::Done(value.clone());
                self.kept_bytes += size(name, value);
                self.kept.push_back((now, name.clone()));
                self.trim(now);
            }
            Outcome::Error(_) => drop(self.known.remove(name)),
        }
        followers
    }

    /// The call left without an outcome: answers the follower that takes its place.
    fn withdraw(&mut self, name: &Name, call: CallKey) -> Option<CallKey> {
        let Some(Known { state: State::Running { leader, followers }, .. }) = self.known.get_mut(name) else {
            return None;
        };
        if *leader != call {
            followers.remove(&call);
            return None;
        }
        match followers.pop_first() {
            Some(next) => *leader = next,
            None => drop(self.known.remove(name)),
        }
        self.known.get(name).and_then(|known| match known.state {
            State::Running { leader, .. } => Some(leader),
            State::Done(_) => None,
        })
    }

    fn trim(&mut self, now: Instant) {
        while let Some((since, _)) = self.kept.front() {
            let is_old = now.saturating_duration_since(*since) >= KEPT_FOR;
            if !is_old && self.kept.len() <= KEPT_MAX && self.kept_bytes <= KEPT_BYTES_MAX {
                return;
            }
            if let Some((_, name)) = self.kept.pop_front()
                && let Some(Known { state: State::Done(value), .. }) = self.known.remove(&name)
            {
                self.kept_bytes -= size(&name, &value);
            }
        }
    }
}

fn size((_, key): &Name, value: &Bytes) -> usize {
    key.len() + value.len()
}

fn checksum(arguments: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    hasher.finish()
}

fn name_of(call: &Call) -> Option<Name> {
    let key = call.options.as_ref()?.idempotency_key.clone()?;
    Some((call.service, key))
}

impl Core {
    /// Puts a call that was just made where it belongs: in its queue, unless its key is known.
    pub(super) fn begin(&mut self, now: Instant, key: CallKey, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(name) = name_of(call) else { return self.queue_in_turn(now, key, out) };
        match self.keys.claim(now, name, &call.arguments, key) {
            Claim::Run => self.queue_in_turn(now, key, out),
            Claim::Follow { leader } => {
                call.place = Place::Following;
                if self.calls.waits_for(leader, key) {
                    self.fail(now, key, Fault::IdempotencyConflict("it was called by that very call"), out);
                }
            }
            Claim::Answer(value) => self.end(now, key, Outcome::Value(value), out),
            Claim::Conflict => {
                self.fail(now, key, Fault::IdempotencyConflict("that call has other arguments"), out);
            }
        }
    }

    /// A call ends with this outcome, and so do those that follow it.
    pub(super) fn share(&mut self, now: Instant, key: CallKey, outcome: &Outcome, out: &mut Vec<Effect>) {
        let Some(name) = self.calls.get(key).and_then(name_of) else { return };
        for follower in self.keys.conclude(now, &name, key, outcome) {
            self.end(now, follower, outcome.clone(), out);
        }
    }

    /// A call has left the core: if others wait for what it did, one of them does it now.
    pub(super) fn withdraw(&mut self, now: Instant, key: CallKey, call: &Call, out: &mut Vec<Effect>) {
        let Some(name) = name_of(call) else { return };
        if let Some(next) = self.keys.withdraw(&name, key) {
            self.queue_in_turn(now, next, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        (ServiceId(0), number.to_string().into())
    }

    fn run(keys: &mut Keys, now: Instant, number: usize, value: Bytes) {
        let call = CallKey(number as u64);
        assert!(matches!(keys.claim(now, name(number), &Bytes::new(), call), Claim::Run), "{number}");
        assert!(keys.conclude(now, &name(number), call, &Outcome::Value(value)).is_empty());
    }

    fn knows(keys: &mut Keys, now: Instant, number: usize) -> bool {
        keys.trim(now);
        keys.known.contains_key(&name(number))
    }

    #[test]
    fn results_are_kept_for_a_day() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        run(&mut keys, now, 1, Bytes::from_static(b"one"));
        assert!(knows(&mut keys, now + KEPT_FOR - Duration::from_secs(1), 1));
        assert!(!knows(&mut keys, now + KEPT_FOR, 1));
        assert_eq!((keys.known.len(), keys.kept_bytes), (0, 0));
    }

    #[test]
    fn the_oldest_give_way() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        (0..=KEPT_MAX).for_each(|number| run(&mut keys, now, number, Bytes::new()));
        assert!(!knows(&mut keys, now, 0) && knows(&mut keys, now, 1));
        let large = Bytes::from(vec![0; KEPT_BYTES_MAX / 2]);
        (0..3).for_each(|n| run(&mut keys, now, KEPT_MAX + 1 + n, large.clone()));
        assert!(keys.kept_bytes <= KEPT_BYTES_MAX && keys.known.len() == 1);
    }
}
