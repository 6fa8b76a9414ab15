//! All unfinished calls, by key, and the bounds of the trees they form.

#[cfg(test)]
mod audit;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::call::{Batch, Call, Place, Suspension, bytes_of};
use super::fault::Fault;
use crate::model::{CallKey, Outcome, ServiceId};
use crate::protocol::call_id::{CallId, RootId};

/// Unfinished calls of one root at once (design: a fan-out beyond this is a mistake, not a load).
pub const CHILDREN_MAX: u32 = 100_000;
/// Calls that wait for each other in a row.
pub const DEPTH_MAX: u32 = 1_000;
/// Bytes of recorded results that one root may hold.
pub const RECORDED_BYTES_MAX: u64 = 256 << 20;

/// What belongs to a root call as a whole.
#[derive(Debug)]
struct Root {
    /// Names the one who asked; the core's effects carry it back. A batch has nobody.
    token: Option<u64>,
    unfinished: u32,
    recorded_bytes: u64,
}

/// Where a call that has ended is answered.
#[derive(Debug, PartialEq)]
pub enum Ended {
    /// It was a root: whoever asked with this token.
    Root { token: u64 },
    /// Its result was recorded in this parent, whose suspension is now so.
    Child { parent: CallKey, suspension: Suspension },
    /// Nobody waits any more.
    Orphan,
}

/// Whether a child may be made.
pub enum Admission {
    Admitted(CallKey),
    Refused(Fault),
}

/// The unfinished calls.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Slab<(u32, Call)>,
    roots: HashMap<CallKey, Root>,
    /// Distinguishes the calls that use one place of the slab after another.
    serial: u32,
    root_count: u64,
    /// Makes the ids of this hub differ from those of the one before.
    pub salt: u64,
}

impl Calls {
    pub fn get(&self, key: CallKey) -> Option<&Call> {
        let (serial, call) = self.calls.get(index(key))?;
        (*serial == serial_of(key)).then_some(call)
    }

    pub fn get_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        let (serial, call) = self.calls.get_mut(index(key))?;
        (*serial == serial_of(key)).then_some(call)
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Every call that has not ended.
    pub fn iter(&self) -> impl Iterator<Item = (CallKey, &Call)> {
        self.calls.iter().map(|(index, (serial, call))| (key_of(*serial, index), call))
    }

    pub fn root_id(&self, number: u64) -> RootId {
        RootId::new(number, self.salt)
    }

    /// The public id of a call.
    pub fn id_of(&self, call: &Call) -> CallId {
        let mut path = Vec::with_capacity(call.depth as usize);
        let mut above = call.parent;
        while let Some((parent, seq)) = above {
            path.push(seq);
            above = self.get(parent).and_then(|call| call.parent);
        }
        path.reverse();
        CallId { root: self.root_id(call.tree), path }
    }

    /// The calls from outside that have not ended.
    pub fn root_keys(&self) -> Vec<CallKey> {
        self.roots.keys().copied().collect()
    }

    /// A call from outside. Its place is the caller's to set.
    pub fn add_root(&mut self, service: ServiceId, arguments: Bytes, token: u64, now: Instant) -> CallKey {
        let mut call = Call::new(service, arguments, Place::Evicted, now);
        call.root_age = self.root_count + 1;
        self.open(call, Some(token))
    }

    /// A call that runs for these others, with their arguments. It is as old and as deep as they are.
    pub fn add_batch(
        &mut self,
        service: ServiceId,
        arguments: Bytes,
        members: Vec<CallKey>,
        now: Instant,
    ) -> CallKey {
        let mut call = Call::new(service, arguments, Place::Evicted, now);
        let known = || members.iter().filter_map(|member| self.get(*member));
        call.root_age = known().map(|member| member.root_age).min().unwrap_or(self.root_count);
        call.depth = known().map(|member| member.depth).max().unwrap_or(0);
        // The last one of them; without one if some member has none.
        call.deadline = known()
            .map(|member| member.deadline)
            .collect::<Option<Vec<_>>>()
            .and_then(|at| at.into_iter().max());
        call.batch = Some(Box::new(Batch { present: members.len() as u32, members: members.clone() }));
        let batch = self.open(call, None);
        for member in members {
            if let Some(member) = self.get_mut(member) {
                member.place = Place::Batched { batch };
            }
        }
        batch
    }

    fn open(&mut self, mut call: Call, token: Option<u64>) -> CallKey {
        self.root_count += 1;
        call.tree = self.root_count;
        let key = self.insert(call);
        if let Some(call) = self.get_mut(key) {
            call.root = key;
        }
        self.roots.insert(key, Root { token, unfinished: 1, recorded_bytes: 0 });
        key
    }

    /// A call made by a call, as its child `seq`. Its place is the caller's to set.
    pub fn add_child(
        &mut self,
        (parent, seq): (CallKey, u32),
        service: ServiceId,
        ident: u32,
        args: Bytes,
        now: Instant,
    ) -> Admission {
        let Some(waiting) = self.get(parent) else {
            return Admission::Refused(Fault::ServiceUnavailable("the calling call has ended".into()));
        };
        let (root, root_age, depth) = (waiting.root, waiting.root_age, waiting.depth + 1);
        let tree = waiting.tree;
        let deadline = waiting.deadline;
        if let Some(fault) = self.over_limit(root, depth) {
            return Admission::Refused(fault);
        }
        let mut call = Call::new(service, args, Place::Evicted, now);
        (call.parent, call.root, call.root_age, call.depth) = (Some((parent, seq)), root, root_age, depth);
        (call.tree, call.deadline) = (tree, deadline);
        let key = self.insert(call);
        if let Some(root) = self.roots.get_mut(&root) {
            root.unfinished += 1;
        }
        if let Some(waiting) = self.get_mut(parent) {
            waiting.add_pending(seq, key, service, ident);
        }
        Admission::Admitted(key)
    }

    /// Whether a call waits, by however many others, for this one.
    pub fn waits_for(&self, call: CallKey, below: CallKey) -> bool {
        self.callers(below).contains(&call)
    }

    /// The calls that wait for this one, by however many others: its caller, and of a batch all its members. Each once.
    pub fn callers(&self, below: CallKey) -> HashSet<CallKey> {
        let (mut found, mut open) = (HashSet::new(), vec![below]);
        while let Some((key, call)) = open.pop().and_then(|key| Some((key, self.get(key)?))) {
            let members = call.batch.iter().flat_map(|batch| batch.members.iter().copied());
            let is_member = |member: &CallKey| {
                self.get(*member).is_some_and(|member| member.place == Place::Batched { batch: key })
            };
            let parent = call.parent.map(|(parent, _)| parent).filter(|parent| self.get(*parent).is_some());
            open.extend(
                parent.into_iter().chain(members.filter(is_member)).filter(|above| found.insert(*above)),
            );
        }
        found
    }

    fn over_limit(&self, root: CallKey, depth: u32) -> Option<Fault> {
        let unfinished = self.roots.get(&root).map_or(0, |root| root.unfinished);
        if depth > DEPTH_MAX {
            return Some(Fault::LimitExceeded(format!(
                "more than {DEPTH_MAX} calls would wait for each other in a row; end the recursion earlier"
            )));
        }
        (unfinished >= CHILDREN_MAX).then(|| {
            Fault::LimitExceeded(format!(
                "more than {CHILDREN_MAX} calls of one root would be unfinished at once; make them in portions"
            ))
        })
    }

    fn insert(&mut self, call: Call) -> CallKey {
        self.serial = self.serial.wrapping_add(1);
        let index = self.calls.insert((self.serial, call));
        key_of(self.serial, index)
    }

    /// Takes a call that has ended out of the tree and records its outcome where it is waited for.
    /// The unfinished children it leaves are the caller's to cancel.
    pub fn end(&mut self, key: CallKey, outcome: &Outcome) -> Option<(Call, Ended)> {
        let call = self.take(key)?;
        let ended = match call.parent {
            None => match self.roots.remove(&key).and_then(|root| root.token) {
                Some(token) => Ended::Root { token },
                None => Ended::Orphan,
            },
            Some((parent, seq)) => self.record(parent, seq, outcome.clone(), &call.arguments),
        };
        Some((call, ended))
    }

    /// Takes a call out without an outcome.
    pub fn take(&mut self, key: CallKey) -> Option<Call> {
        self.get(key)?;
        let (_, call) = self.calls.remove(index(key));
        if let Some(root) = self.roots.get_mut(&call.root) {
            root.unfinished -= 1;
            root.recorded_bytes = root.recorded_bytes.saturating_sub(call.recorded_bytes);
        }
        Some(call)
    }

    /// Forgets who asked for a root, which will not be answered, and answers the token.
    pub fn disown(&mut self, key: CallKey) -> Option<u64> {
        self.roots.remove(&key).and_then(|root| root.token)
    }

    /// Records an answer in the call that asked for it, with what it had passed.
    pub fn record(&mut self, parent: CallKey, seq: u32, outcome: Outcome, arguments: &Bytes) -> Ended {
        let Some(root) = self.get(parent).map(|call| call.root) else { return Ended::Orphan };
        self.count_recorded(root, &outcome);
        let Some(waiting) = self.get_mut(parent) else { return Ended::Orphan };
        let suspension = waiting.record(seq, outcome);
        waiting.note_arguments(seq, arguments);
        Ended::Child { parent, suspension }
    }

    /// Counts a result that is about to be recorded.
    pub fn count_recorded(&mut self, root: CallKey, outcome: &Outcome) {
        if let Some(root) = self.roots.get_mut(&root) {
            root.recorded_bytes += bytes_of(outcome);
        }
    }

    /// Makes a call ready for a retry; answers the children that are to be cancelled.
    pub fn drop_from_first_error(&mut self, key: CallKey) -> Vec<CallKey> {
        self.drop_results(key, Call::drop_from_first_error)
    }

    /// Makes a call forget what it asked for from this number on; answers the children that are to be cancelled.
    pub fn drop_from(&mut self, key: CallKey, seq: u32) -> Vec<CallKey> {
        self.drop_results(key, |call| call.drop_from(seq))
    }

    fn drop_results(&mut self, key: CallKey, drop: impl FnOnce(&mut Call) -> Vec<CallKey>) -> Vec<CallKey> {
        let Some(call) = self.get_mut(key) else { return Vec::new() };
        let held = call.recorded_bytes;
        let dropped = drop(call);
        let (root, freed) = (call.root, held - call.recorded_bytes);
        if let Some(root) = self.roots.get_mut(&root) {
            root.recorded_bytes = root.recorded_bytes.saturating_sub(freed);
        }
        dropped
    }

    /// Forgets one recorded child of a call that is tried again.
    pub fn drop_recorded(&mut self, key: CallKey, seq: u32) {
        let Some(call) = self.get_mut(key) else { return };
        let held = call.recorded_bytes;
        call.drop_recorded(seq);
        let (root, freed) = (call.root, held - call.recorded_bytes);
        if let Some(root) = self.roots.get_mut(&root) {
            root.recorded_bytes = root.recorded_bytes.saturating_sub(freed);
        }
    }

    /// Whether the root holds more recorded results than it may.
    pub fn holds_too_much(&self, root: CallKey) -> Option<Fault> {
        let held = self.roots.get(&root)?.recorded_bytes;
        (held > RECORDED_BYTES_MAX).then(|| {
            Fault::LimitExceeded(format!(
                "the recorded results of this call exceed {} MiB; return less, or split the work into several root calls",
                RECORDED_BYTES_MAX >> 20
            ))
        })
    }
}

fn key_of(serial: u32, index: usize) -> CallKey {
    CallKey((u64::from(serial) << 32) | index as u64)
}

fn index(key: CallKey) -> usize {
    (key.0 & 0xffff_ffff) as usize
}

fn serial_of(key: CallKey) -> u32 {
    (key.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(calls: &mut Calls) -> CallKey {
        calls.add_root(ServiceId(0), Bytes::new(), 0, Instant::now())
    }

    fn child(calls: &mut Calls, parent: CallKey, seq: u32) -> Admission {
        calls.add_child((parent, seq), ServiceId(0), 0, Bytes::new(), Instant::now())
    }

    #[test]
    fn depth_is_bounded() {
        let mut calls = Calls::default();
        let mut last = root(&mut calls);
        for _ in 0..DEPTH_MAX {
            let Admission::Admitted(key) = child(&mut calls, last, 0) else { panic!("within the bound") };
            last = key;
        }
        let refused = child(&mut calls, last, 0);
        assert!(
            matches!(refused, Admission::Refused(Fault::LimitExceeded(text)) if text.contains("1000 calls"))
        );
    }

    #[test]
    fn unfinished_calls_of_a_root_are_bounded_and_come_back() {
        let mut calls = Calls::default();
        let (root, other) = (root(&mut calls), root(&mut calls));
        let mut some = None;
        for seq in 1..CHILDREN_MAX {
            let Admission::Admitted(key) = child(&mut calls, root, seq) else { panic!("within the bound") };
            some = Some(key);
        }
        let refused = child(&mut calls, root, CHILDREN_MAX);
        assert!(
            matches!(refused, Admission::Refused(Fault::LimitExceeded(text)) if text.contains("100000 calls"))
        );
        assert!(matches!(child(&mut calls, other, 0), Admission::Admitted(_)), "each root has its own");
        some.and_then(|key| calls.end(key, &Outcome::Value(Bytes::new())));
        assert!(matches!(child(&mut calls, root, CHILDREN_MAX), Admission::Admitted(_)));
    }
}
