//! One service's queue and its instances: binds a waiting call to a free slot, never earlier.

#[cfg(test)]
mod audit;
mod hold;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::gather::Gather;
use super::instance::{Instance, Intake, Parked};
use super::meter::{Latency, Meter};
use super::pace::{AHEAD_MAX, Pace};
use crate::config::spec::BatchPolicy;
use crate::model::{CallKey, InstanceId, WorkerKind};

/// How long a root call waits, at least, while the service has no ready instance at all.
const COLD_WAIT: Duration = Duration::from_secs(60);

/// What a call in the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// It has begun, and goes on. In a service that runs batches: a batch.
    Replay,
    /// It was in a batch, and is tried again in another one.
    Again,
    New,
}

/// Place in the queue: replays first, then by age of the root, deeper calls first, then by arrival.
/// So trees finish before new ones open, and few calls stay parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    class: Class,
    root_age: u64,
    depth: Reverse<u32>,
    order: u64,
}

impl Rank {
    fn is_new_root(self) -> bool {
        self.class == Class::New && self.depth == Reverse(0)
    }
}

/// What a bound call does in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Begin, or begin again, on this lane.
    Run { opens_lane: bool, rank: Rank },
    /// Begin on this lane as soon as the calls there are done; it still belongs to the queue.
    RunNext(Rank),
    /// Go on where it is parked.
    Resume,
}

/// A call that just got a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub call: CallKey,
    pub instance: InstanceId,
    pub lane: u32,
    pub work: Work,
}

/// Queue and slots of one service.
#[derive(Debug, Default)]
pub struct Dispatcher {
    queue: BTreeMap<Rank, CallKey>,
    /// Root calls of the queue with the time they came, oldest first; may hold ones that have left it.
    roots: VecDeque<(Rank, Instant)>,
    roots_waiting: u32,
    instances: Vec<Instance>,
    /// Since when there has always been a ready instance.
    warm_since: Option<Instant>,
    arrivals: u64,
    dispatches: u64,
    /// Its calls are run in batches.
    gather: Option<Gather>,
    /// It is held: what of the queue goes on all the same.
    held: Option<BTreeSet<Rank>>,
    pub meter: Meter,
    pub latency: Latency,
    pub pace: Pace,
}

impl Dispatcher {
    /// `batch`: what is queued is to be taken in batches.
    pub fn new(batch: Option<BatchPolicy>) -> Self {
        Self { gather: batch.map(Gather::new), ..Self::default() }
    }

    // ---- queue ----

    /// A call of a root that came at `root_age` asks for a slot. The answer takes it out again.
    pub fn push_new(&mut self, call: CallKey, root_age: u64, depth: u32, now: Instant) -> Rank {
        let rank = self.push(call, root_age, depth, Class::New);
        self.meter.offered += 1;
        self.gather.iter_mut().for_each(|gather| gather.join(rank.order, now));
        if depth == 0 {
            self.roots.push_back((rank, now));
            self.roots_waiting += 1;
        }
        rank
    }

    /// A call that has run before asks for a slot, on any instance.
    pub fn push_replay(&mut self, call: CallKey, root_age: u64, depth: u32) -> Rank {
        self.push(call, root_age, depth, Class::Replay)
    }

    /// A call that was in a batch, and is to be in another one.
    pub fn push_again(&mut self, call: CallKey, root_age: u64, depth: u32, now: Instant) -> Rank {
        let rank = self.push(call, root_age, depth, Class::Again);
        self.gather.iter_mut().for_each(|gather| gather.join(rank.order, now));
        rank
    }

    fn push(&mut self, call: CallKey, root_age: u64, depth: u32, class: Class) -> Rank {
        self.arrivals += 1;
        let rank = Rank { class, root_age, depth: Reverse(depth), order: self.arrivals };
        self.queue.insert(rank, call);
        if class == Class::Replay {
            self.let_pass(rank);
        }
        rank
    }

    /// A call that was sent ahead, and has not begun, is back in its place.
    pub fn put_back(&mut self, rank: Rank, call: CallKey, accepted: Instant) {
        self.queue.insert(rank, call);
        if !rank.is_new_root() {
            return;
        }
        self.roots_waiting += 1;
        // One that left from behind others may still be listed.
        if self.roots.iter().all(|(listed, _)| *listed != rank) {
            let at = self.roots.partition_point(|(_, since)| *since < accepted);
            self.roots.insert(at, (rank, accepted));
        }
    }

    pub fn remove(&mut self, rank: Rank) -> Option<CallKey> {
        let call = self.queue.remove(&rank)?;
        self.left(rank);
        Some(call)
    }

    fn left(&mut self, rank: Rank) {
        if rank.is_new_root() {
            self.roots_waiting -= 1;
        }
        self.gather.iter_mut().for_each(|gather| gather.leave(rank.order));
        self.held.iter_mut().for_each(|passing| _ = passing.remove(&rank));
        // The front is trimmed as it leaves, so that `roots` stays about as long as the queue.
        while self.roots.front().is_some_and(|(front, _)| !self.queue.contains_key(front)) {
            self.roots.pop_front();
        }
    }

    /// Calls that wait for a slot, those that were sent ahead included.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.instances.iter().map(Instance::ahead).sum::<usize>()
    }

    /// How many go ahead of what has this place in the queue.
    pub fn ahead_of(&self, rank: Rank) -> usize {
        self.queue.range(..rank).count()
    }

    pub fn roots_queued(&self) -> u32 {
        self.roots_waiting
    }

    /// How long a root call waits now, where the queue has this timeout.
    pub fn wait_bound(&self, timeout: Duration) -> Duration {
        if self.warm_since.is_some() { timeout } else { timeout.max(COLD_WAIT) }
    }

    /// Looks whether there is a ready instance; what is overdue depends on it.
    pub fn look_for_ready(&mut self, now: Instant) {
        self.warm_since = self.has_ready().then(|| self.warm_since.unwrap_or(now));
    }

    /// Takes out the oldest root call if it has waited too long. What it waited while there was no ready instance does
    /// not count any more when there is one: else the first that is ready would find its queue refused.
    pub fn pop_overdue_root(&mut self, now: Instant, timeout: Duration) -> Option<CallKey> {
        let (rank, since) = *self.roots.front()?;
        let since = self.warm_since.map_or(since, |warm| warm.max(since));
        if now.saturating_duration_since(since) < self.wait_bound(timeout) {
            return None;
        }
        self.remove(rank)
    }

    /// Takes out everything that waits.
    pub fn drain_queue(&mut self) -> Vec<CallKey> {
        self.roots.clear();
        self.roots_waiting = 0;
        self.gather.iter_mut().for_each(Gather::clear);
        self.held.iter_mut().for_each(BTreeSet::clear);
        std::mem::take(&mut self.queue).into_values().collect()
    }

    // ---- instances ----

    pub fn attach(&mut self, id: InstanceId, kind: WorkerKind, slots: u32, max_parked: u32) {
        self.instances.push(Instance::new(id, kind, slots, max_parked));
    }

    /// Forgets an instance and answers what it held.
    pub fn detach(&mut self, id: InstanceId) -> Option<Instance> {
        let at = self.instances.iter().position(|instance| instance.id == id)?;
        Some(self.instances.remove(at))
    }

    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub fn instance(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|instance| instance.id == id)
    }

    pub fn has_ready(&self) -> bool {
        self.instances.iter().any(|instance| instance.intake == Intake::Ready)
    }

    // ---- slots ----

    /// Binds the next call that can run now; resumes go ahead of everything.
    pub fn next(&mut self, now: Instant) -> Option<Bound> {
        let (at, bound) = self.next_resume().or_else(|| self.next_run()).or_else(|| self.next_ahead())?;
        self.dispatches += 1;
        let instance = &mut self.instances[at];
        instance.last_used = self.dispatches;
        match bound.work {
            Work::Run { rank, .. } => instance.run(bound.call, bound.lane, Some(rank), now),
            Work::Resume => instance.run(bound.call, bound.lane, None, now),
            Work::RunNext(_) => (),
        }
        Some(bound)
    }

    fn next_resume(&mut self) -> Option<(usize, Bound)> {
        let at = self.instances.iter().position(Instance::can_resume)?;
        let instance = &mut self.instances[at];
        let (call, _) = *instance.resumes.front()?;
        let Parked { lane, .. } = instance.unpark(call)?;
        Some((at, Bound { call, instance: instance.id, lane, work: Work::Resume }))
    }

    fn next_run(&mut self) -> Option<(usize, Bound)> {
        let rank = self.first()?;
        if self.gather.is_some() && rank.class != Class::Replay {
            return None;
        }
        let at = self.least_running()?;
        let call = match self.held {
            None => self.queue.pop_first()?.1,
            Some(_) => self.queue.remove(&rank)?,
        };
        self.left(rank);
        let instance = &mut self.instances[at];
        let (lane, opens_lane) = instance.take_lane();
        Some((at, Bound { call, instance: instance.id, lane, work: Work::Run { opens_lane, rank } }))
    }

    /// No slot is free, but calls are short: the next one goes to the lane that has the fewest behind its call.
    fn next_ahead(&mut self) -> Option<(usize, Bound)> {
        if self.queue.is_empty() || self.gather.is_some() || self.is_held() || !self.pace.allows() {
            return None;
        }
        let (at, position) = self.shortest_lane()?;
        let (rank, call) = self.queue.pop_first()?;
        self.left(rank);
        let instance = &mut self.instances[at];
        let lane = instance.send_ahead(position, call, rank);
        Some((at, Bound { call, instance: instance.id, lane, work: Work::RunNext(rank) }))
    }

    /// When what waits is to be made a batch, if a slot is free for it.
    pub fn batch_due(&self) -> Option<Instant> {
        let gather = self.gather.as_ref().filter(|_| !self.is_held())?;
        gather.due().filter(|_| self.least_running().is_some())
    }

    /// The most calls of one batch; 1 where there are none.
    pub fn batch_size(&self) -> u32 {
        self.gather.as_ref().map_or(1, |gather| gather.policy.size)
    }

    /// Whether the service runs its calls in batches.
    pub fn gathers(&self) -> bool {
        self.gather.is_some()
    }

    /// The call that would be the next of a batch.
    pub fn first_gathered(&self) -> Option<(Rank, CallKey)> {
        let first = self.queue.iter().find(|(rank, _)| rank.class != Class::Replay);
        first.map(|(rank, call)| (*rank, *call))
    }

    fn shortest_lane(&self) -> Option<(usize, usize)> {
        let able = |i: &Instance| i.intake == Intake::Ready && i.kind == WorkerKind::Def;
        let able = self.instances.iter().enumerate().filter(|(_, i)| able(i));
        let lanes = able.flat_map(|(at, i)| i.running.iter().enumerate().map(move |(n, r)| (at, n, r)));
        let lanes = lanes.filter(|(_, _, r)| r.ahead.len() < AHEAD_MAX && !r.is_asked_back);
        lanes.min_by_key(|(_, _, r)| r.ahead.len()).map(|(at, position, _)| (at, position))
    }

    /// The ready instance with the fewest running calls; of equals, the most recently used.
    fn least_running(&self) -> Option<usize> {
        let able = self.instances.iter().enumerate().filter(|(_, instance)| instance.takes_new());
        able.min_by_key(|(_, i)| (i.running.len(), Reverse(i.last_used))).map(|(at, _)| at)
    }

    /// A running call shows that it goes on: its run counts from here.
    pub fn goes_on(&mut self, id: InstanceId, call: CallKey, now: Instant) {
        self.pace.saw_child();
        let running = self.instance(id).and_then(|instance| instance.running_mut(call));
        if let Some(since) = running.map(|running| std::mem::replace(&mut running.since, now)) {
            self.meter.busy += now.saturating_duration_since(since);
        }
    }

    /// A running call waits for another: it keeps its lane and gives its slot back.
    pub fn park(&mut self, id: InstanceId, call: CallKey, root_age: u64, now: Instant) -> bool {
        let Some(instance) = self.instance(id) else { return false };
        let Some(running) = instance.release_slot(call) else { return false };
        instance.stranded.extend(&running.ahead);
        instance.parked.push(Parked { call, lane: running.lane, root_age, since: now });
        self.meter.busy += running.work(now);
        true
    }

    /// A running call goes on without having parked: until it has read that, it is not running. Its worker has parked it
    /// meanwhile, and gives back what was sent ahead.
    pub fn count_resumed(&mut self, id: InstanceId, call: CallKey) {
        let Some((_, ordinal)) = self.count_told(id, call) else { return };
        let Some(instance) = self.instance(id) else { return };
        let Some(running) = instance.running_mut(call) else { return };
        running.ordinal = ordinal;
        let stranded = std::mem::take(&mut running.ahead);
        instance.stranded.extend(stranded);
    }

    /// A running call is told something while it runs; answers its lane, and which message of the lane that is.
    pub fn count_told(&mut self, id: InstanceId, call: CallKey) -> Option<(u32, u64)> {
        let instance = self.instance(id)?;
        let lane = instance.running_mut(call)?.lane;
        Some((lane, instance.count_told(lane)))
    }

    /// What a parked call waited for is there: it asks for a slot of its instance.
    pub fn request_resume(&mut self, id: InstanceId, call: CallKey, now: Instant) {
        if let Some(instance) = self.instance(id) {
            debug_assert!(instance.parked.iter().any(|parked| parked.call == call));
            instance.resumes.push_back((call, now));
        }
    }

    /// A parked call is told to unwind; answers its lane.
    pub fn unwind(&mut self, id: InstanceId, call: CallKey, now: Instant) -> Option<u32> {
        let instance = self.instance(id)?;
        let parked = instance.unpark(call)?;
        let lane = parked.lane;
        instance.unwinding.push(Parked { since: now, ..parked });
        Some(lane)
    }

    /// The worker is done with this attempt of the call. Its slot and lane are free again, or run the call that was sent
    /// ahead, which is the answer.
    pub fn end(&mut self, id: InstanceId, call: CallKey, now: Instant) -> Option<CallKey> {
        let instance = self.instance(id)?;
        let ended = instance.end(call, now)?;
        instance.completed += 1;
        self.meter.busy += ended.work;
        ended.next
    }

    /// Lanes whose call has run for `bound` with others behind it, which the worker shall give back now.
    pub fn ask_back(&mut self, now: Instant, bound: Duration) -> Vec<(InstanceId, u32)> {
        let mut late = Vec::new();
        for instance in &mut self.instances {
            for running in &mut instance.running {
                let is_late = now.saturating_duration_since(running.since) >= bound;
                if is_late && !running.ahead.is_empty() && !running.is_asked_back {
                    running.is_asked_back = true;
                    late.push((instance.id, running.lane));
                }
            }
        }
        if !late.is_empty() {
            self.pace.turned_long();
        }
        late
    }

    /// A batch holds a slot, and is so large.
    pub fn weigh(&mut self, id: InstanceId, batch: CallKey, calls: usize) {
        let share = calls as f64 / f64::from(self.batch_size());
        if let Some(running) = self.instance(id).and_then(|instance| instance.running_mut(batch)) {
            running.share = share;
        }
    }

    /// Calls that hold a slot.
    pub fn busy(&self) -> usize {
        self.instances.iter().map(|instance| instance.running.len()).sum()
    }

    /// Slot time spent so far, that of running calls included.
    pub fn busy_total(&self, now: Instant) -> Duration {
        let running = self.instances.iter().flat_map(|instance| &instance.running);
        self.meter.busy + running.map(|running| running.work(now)).sum::<Duration>()
    }
}
