//! What is right, said as simply as possible: where each call is, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::balancer::{Bound, Intake, Rank, Work};
use crate::model::{CallKey, InstanceId, WorkerKind};

/// Calls that one lane may hold beyond the running one.
const AHEAD_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Waiting(Rank),
    Ahead(InstanceId),
    /// Sent to a lane whose call has parked since.
    Stranded(InstanceId),
    Running(InstanceId),
    Parked(InstanceId),
    /// Parked, and it asks for a slot.
    Resuming(InstanceId),
    /// `is_over`: what it waited for is there.
    Unwinding {
        instance: InstanceId,
        is_over: bool,
    },
    /// Evicted, and it still waits for another call.
    Suspended,
}

/// What a call asks a slot for, first served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Replay,
    New,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub root_age: u64,
    pub depth: u32,
    pub kind: Kind,
    pub came: Instant,
    /// When it asked for a slot this time, among all that asked.
    pub arrival: u64,
    pub place: Place,
}

impl Call {
    /// Replays first, then the older root, then the deeper call, then who came first.
    fn turn(&self) -> (Kind, u64, Reverse<u32>, u64) {
        (self.kind, self.root_age, Reverse(self.depth), self.arrival)
    }

    pub fn is_waiting_root(&self) -> bool {
        matches!(self.place, Place::Waiting(_)) && self.kind == Kind::New && self.depth == 0
    }
}

#[derive(Debug)]
pub struct Slot {
    pub call: CallKey,
    pub lane: u32,
    pub since: Instant,
    pub ahead: VecDeque<CallKey>,
    pub is_asked_back: bool,
    /// It was sent ahead, and its worker may still give it back.
    pub was_ahead: bool,
}

#[derive(Debug)]
pub struct Instance {
    pub id: InstanceId,
    pub kind: WorkerKind,
    pub slots: u32,
    pub max_parked: u32,
    pub intake: Intake,
    pub running: Vec<Slot>,
    pub resumes: VecDeque<CallKey>,
    pub last_used: u64,
}

impl Instance {
    pub fn has_slot(&self) -> bool {
        self.running.len() < self.slots as usize
    }
}

#[derive(Debug, Default)]
pub struct Model {
    pub calls: BTreeMap<CallKey, Call>,
    pub instances: Vec<Instance>,
    pub busy: Duration,
    pub warm_since: Option<Instant>,
    sends_ahead: bool,
    bounds: u64,
}

impl Model {
    pub fn new(sends_ahead: bool) -> Self {
        Self { sends_ahead, ..Self::default() }
    }

    pub fn instance(&mut self, id: InstanceId) -> &mut Instance {
        self.instances.iter_mut().find(|instance| instance.id == id).expect("the model has it")
    }

    pub fn call(&mut self, key: CallKey) -> &mut Call {
        self.calls.get_mut(&key).expect("the model has it")
    }

    pub fn count(&self, is_it: impl Fn(Place) -> bool) -> usize {
        self.calls.values().filter(|call| is_it(call.place)).count()
    }

    pub fn all(&self, is_it: impl Fn(Place) -> bool) -> Vec<CallKey> {
        self.calls.iter().filter(|(_, call)| is_it(call.place)).map(|(key, _)| *key).collect()
    }

    fn first_waiting(&self) -> Option<CallKey> {
        let waiting = self.calls.iter().filter(|(_, call)| matches!(call.place, Place::Waiting(_)));
        waiting.min_by_key(|(_, call)| call.turn()).map(|(key, _)| *key)
    }

    /// A `def` call needs a thread of its own, also while it is parked or unwinds.
    fn takes_new(&self, instance: &Instance) -> bool {
        let is_here = |place| match place {
            Place::Running(id) | Place::Parked(id) | Place::Resuming(id) => id == instance.id,
            Place::Unwinding { instance: id, .. } => id == instance.id,
            _ => false,
        };
        let has_lane = instance.kind == WorkerKind::Async
            || self.count(is_here) < (instance.slots + instance.max_parked) as usize;
        instance.intake == Intake::Ready && instance.has_slot() && has_lane
    }

    fn resumable(&self) -> impl Iterator<Item = &Instance> {
        let able = |i: &&Instance| i.intake != Intake::Severed && i.has_slot() && !i.resumes.is_empty();
        self.instances.iter().filter(able)
    }

    /// The free instance with the fewest running calls; of equals, the one that was used last.
    fn best_instance(&self) -> Option<InstanceId> {
        let able = self.instances.iter().filter(|instance| self.takes_new(instance));
        able.min_by_key(|i| (i.running.len(), Reverse(i.last_used))).map(|instance| instance.id)
    }

    fn lanes(&self) -> impl Iterator<Item = (InstanceId, &Slot)> {
        let able = |i: &&Instance| i.intake == Intake::Ready && i.kind == WorkerKind::Def;
        let slots = self.instances.iter().filter(able).flat_map(|i| i.running.iter().map(move |s| (i.id, s)));
        slots.filter(|(_, slot)| !slot.is_asked_back && slot.ahead.len() < AHEAD_MAX)
    }

    /// Whether nobody can get a slot now.
    pub fn is_settled(&self) -> bool {
        let waits = self.first_waiting().is_some();
        let can_start = waits && self.best_instance().is_some();
        let can_go_ahead = waits && self.sends_ahead && self.lanes().next().is_some();
        self.resumable().next().is_none() && !can_start && !can_go_ahead
    }

    /// The dispatcher has given a slot: is it the right call, in the right place?
    pub fn check(&self, bound: Bound) {
        let Bound { call, instance, lane, work } = bound;
        if self.resumable().next().is_some() {
            assert_eq!(work, Work::Resume, "resumes go first");
            let mut able = self.resumable().filter(|i| i.id == instance);
            assert_eq!(able.next().and_then(|i| i.resumes.front()), Some(&call), "first come, first resumed");
            return;
        }
        assert_eq!(Some(call), self.first_waiting(), "replays, the oldest root, the deepest call, the first");
        match (self.best_instance(), work) {
            (Some(best), Work::Run { .. }) => assert_eq!(best, instance, "the least busy, the last used"),
            (None, Work::RunNext(rank)) => {
                assert!(self.sends_ahead, "calls are long");
                let shortest = self.lanes().map(|(_, slot)| slot.ahead.len()).min();
                let chosen = self.lanes().find(|(id, slot)| *id == instance && slot.lane == lane);
                let chosen = chosen.map(|(_, slot)| slot.ahead.len());
                assert!(chosen.is_some() && chosen == shortest, "the lane with the fewest behind its call");
                assert_eq!(self.calls[&call].place, Place::Waiting(rank), "it keeps its place");
            }
            (best, work) => panic!("{work:?}, where {best:?} is free"),
        }
    }

    /// Does what the dispatcher did.
    pub fn bind(&mut self, bound: Bound, now: Instant) {
        let Bound { call, instance: id, lane, work } = bound;
        self.bounds += 1;
        let bounds = self.bounds;
        let instance = self.instance(id);
        instance.last_used = bounds;
        if matches!(work, Work::RunNext(_)) {
            let slot = instance.running.iter_mut().find(|slot| slot.lane == lane).expect("it runs there");
            slot.ahead.push_back(call);
            return self.call(call).place = Place::Ahead(id);
        }
        instance.resumes.retain(|resuming| *resuming != call);
        let slot =
            Slot { call, lane, since: now, ahead: VecDeque::new(), is_asked_back: false, was_ahead: false };
        instance.running.push(slot);
        assert!(instance.running.len() <= instance.slots as usize, "within the slots");
        self.call(call).place = Place::Running(id);
    }

    /// The slot of a running call is free, or runs what was sent ahead.
    pub fn end(&mut self, id: InstanceId, call: CallKey, now: Instant) -> Option<CallKey> {
        let instance = self.instance(id);
        let at = instance.running.iter().position(|slot| slot.call == call).expect("it runs");
        let slot = &mut instance.running[at];
        let Some(next) = slot.ahead.pop_front() else {
            instance.running.remove(at);
            return None;
        };
        (slot.call, slot.since, slot.was_ahead) = (next, now, true);
        slot.is_asked_back &= !slot.ahead.is_empty();
        self.call(next).place = Place::Running(id);
        Some(next)
    }

    /// The time that a call held its slot.
    pub fn count_busy(&mut self, id: InstanceId, call: CallKey, now: Instant) {
        let slot = self.instance(id).running.iter().find(|slot| slot.call == call).expect("it runs");
        let time = now - slot.since;
        self.busy += time;
    }

    /// Parked calls by how readily each gives way: those that still wait, of the youngest root.
    pub fn victim_rank(&self, call: CallKey) -> (bool, u64) {
        let Call { place, root_age, .. } = self.calls[&call];
        (matches!(place, Place::Parked(_)), root_age)
    }

    pub fn is_overdue(&self, call: &Call, now: Instant, warm: Duration, cold: Duration) -> bool {
        match self.warm_since {
            Some(since) => now - call.came.max(since) >= warm,
            None => now - call.came >= cold,
        }
    }
}
