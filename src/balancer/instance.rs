//! What one instance holds: its slots, its lanes, and where each of its calls is.

#[cfg(test)]
mod audit;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::dispatcher::Rank;
use super::health::Health;
use crate::model::{CallKey, InstanceId, WorkerKind};

/// A call that holds a slot.
#[derive(Clone, Debug)]
pub struct Running {
    pub call: CallKey,
    pub lane: u32,
    /// When it got the slot this time.
    pub since: Instant,
    /// The last request to stop it; its caller has been answered, or soon will be.
    pub interrupted: Option<Interrupted>,
    /// Which of its lane's messages made it run.
    pub ordinal: u64,
    /// Its place in the queue, unless it goes on here: it may still come back, for its lane can be busy with the end of
    /// the call before.
    pub rank: Option<Rank>,
    /// Calls that the lane has in hand behind this one, in their order.
    pub ahead: VecDeque<Ahead>,
    /// The worker was told to give them back.
    pub is_asked_back: bool,
    /// How much of what it could do at once it does: the calls of a batch, of those that it could take.
    pub share: f64,
}

impl Running {
    /// Slot time since it got the slot. A batch that is not full could have done more in the same time, so it
    /// counts in part: else the more instances there are, the more there would be to do.
    pub fn work(&self, now: Instant) -> Duration {
        let time = now.saturating_duration_since(self.since);
        if self.share < 1.0 { time.mul_f64(self.share) } else { time }
    }
}

/// A call that was sent to a lane before the lane was free: it runs next there, or comes back.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    pub call: CallKey,
    pub lane: u32,
    /// Which of its lane's messages it is.
    pub ordinal: u64,
    /// Its place in the queue, where it still belongs.
    pub rank: Rank,
}

/// A request to stop a running call. It may cross the call's own messages and be lost on the worker.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    pub at: Instant,
    /// Of the call, which may be gone by now.
    pub attempt: u32,
}

/// A slot that a call has left.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub work: Duration,
    /// The call that runs there now: it had been sent ahead.
    pub next: Option<CallKey>,
}

/// A suspended call that stays in place and holds no slot.
#[derive(Clone, Debug)]
pub struct Parked {
    pub call: CallKey,
    pub lane: u32,
    /// Age of its root: the youngest is evicted first.
    pub root_age: u64,
    /// When it parked, or was told to unwind.
    pub since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// No hello yet.
    Starting,
    Ready,
    /// No new work: only resumes of what is parked here.
    Draining,
    /// Nothing at all: its channels are broken, and what it held is settled when its process is gone.
    Severed,
}

/// One instance as its dispatcher sees it.
#[derive(Debug)]
pub struct Instance {
    pub id: InstanceId,
    pub kind: WorkerKind,
    pub slots: u32,
    pub max_parked: u32,
    pub intake: Intake,
    /// When the drain began.
    pub draining_since: Option<Instant>,
    pub drained_said: bool,
    /// Its supervisor was told that it does not keep its bounds.
    pub given_up: bool,
    pub running: Vec<Running>,
    pub parked: Vec<Parked>,
    /// Parked calls whose wait is over, since when, in order.
    pub resumes: VecDeque<(CallKey, Instant)>,
    /// Evicted calls that have not been acknowledged yet.
    pub unwinding: Vec<Parked>,
    /// Calls sent ahead to a lane whose call has parked since: the worker gives them back.
    pub stranded: Vec<Ahead>,
    pub completed: u64,
    /// Of an instance that is reached over HTTP: its slots are held by requests, and its lanes are none.
    pub health: Option<Health>,
    /// Clock reading of the last dispatch, for "most recently used".
    pub last_used: u64,
    idle_lanes: Vec<u32>,
    /// `run` and `resume` messages sent on each open lane: the worker counts them, too, as it begins with them.
    told: Vec<u64>,
}

impl Instance {
    pub fn new(id: InstanceId, kind: WorkerKind, slots: u32, max_parked: u32) -> Self {
        Self {
            id,
            kind,
            slots,
            max_parked,
            intake: Intake::Starting,
            draining_since: None,
            drained_said: false,
            given_up: false,
            running: Vec::with_capacity(slots as usize),
            parked: Vec::new(),
            resumes: VecDeque::new(),
            unwinding: Vec::new(),
            stranded: Vec::new(),
            completed: 0,
            health: None,
            last_used: 0,
            idle_lanes: Vec::new(),
            told: Vec::new(),
        }
    }

    pub fn has_slot(&self) -> bool {
        (self.running.len() as u32) < self.slots
    }

    /// Whether a new call may start here now.
    pub fn takes_new(&self) -> bool {
        self.intake == Intake::Ready && self.has_slot() && self.has_lane() && self.is_healthy()
    }

    fn is_healthy(&self) -> bool {
        let is_fit =
            |health: &Health| health.is_in() && (self.running.len() as u32) < health.limit(self.slots);
        self.health.as_ref().is_none_or(is_fit)
    }

    /// Whether it is not left alone for long.
    pub fn takes_requests(&self) -> bool {
        self.intake == Intake::Ready && self.health.as_ref().is_none_or(|health| !health.is_ejected())
    }

    /// Whether a parked call can go on here now.
    pub fn can_resume(&self) -> bool {
        self.intake != Intake::Severed && self.has_slot() && !self.resumes.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
            && self.parked.is_empty()
            && self.unwinding.is_empty()
            && self.stranded.is_empty()
    }

    fn has_lane(&self) -> bool {
        self.kind == WorkerKind::Async
            || !self.idle_lanes.is_empty()
            || (self.told.len() as u32) < self.slots + self.max_parked
    }

    /// A lane for a new call, and whether it must be opened first.
    pub fn take_lane(&mut self) -> (u32, bool) {
        if self.kind == WorkerKind::Async {
            let opens = self.told.is_empty();
            if opens {
                self.told.push(0);
            }
            return (0, opens);
        }
        match self.idle_lanes.pop() {
            Some(lane) => (lane, false),
            None => {
                self.told.push(0);
                (self.told.len() as u32 - 1, true)
            }
        }
    }

    /// Counts a `run` or `resume` that goes out on this lane.
    pub fn count_told(&mut self, lane: u32) -> u64 {
        let told = &mut self.told[lane as usize];
        *told += 1;
        *told
    }

    /// A call gets a slot, and what makes it run goes out on its lane.
    pub fn run(&mut self, call: CallKey, lane: u32, rank: Option<Rank>, now: Instant) {
        let ordinal = self.count_told(lane);
        self.running.push(Running {
            call,
            lane,
            since: now,
            interrupted: None,
            ordinal,
            rank,
            ahead: VecDeque::new(),
            is_asked_back: false,
            share: 1.0,
        });
        debug_assert!(self.running.len() <= self.slots as usize, "running calls stay within the slots");
    }

    /// The call is sent behind the running call at this position.
    pub fn send_ahead(&mut self, position: usize, call: CallKey, rank: Rank) -> u32 {
        let lane = self.running[position].lane;
        let ordinal = self.count_told(lane);
        self.running[position].ahead.push_back(Ahead { call, lane, ordinal, rank });
        lane
    }

    /// Calls that were sent ahead and do not run yet.
    pub fn ahead(&self) -> usize {
        self.stranded.len() + self.running.iter().map(|running| running.ahead.len()).sum::<usize>()
    }

    /// The worker gives back a call that it has not begun with. Answers its place in the queue, and the call that runs in its slot
    /// now, if the call in front had ended.
    pub fn give_back(&mut self, call: CallKey, now: Instant) -> Option<(Rank, Option<CallKey>)> {
        if let Some(running) = self.running_mut(call) {
            let rank = running.rank?;
            return Some((rank, self.end(call, now)?.next));
        }
        let ahead = match self.stranded.iter().position(|ahead| ahead.call == call) {
            Some(at) => self.stranded.swap_remove(at),
            None => self.running.iter_mut().find_map(|running| {
                let at = running.ahead.iter().position(|ahead| ahead.call == call)?;
                running.ahead.remove(at)
            })?,
        };
        Some((ahead.rank, None))
    }

    fn give_lane(&mut self, lane: u32) {
        if self.kind == WorkerKind::Def {
            debug_assert!(!self.idle_lanes.contains(&lane), "a lane is given back once");
            self.idle_lanes.push(lane);
        }
    }

    pub fn running_mut(&mut self, call: CallKey) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.call == call)
    }

    /// The slot of a running call is free again; the call keeps its lane.
    pub fn release_slot(&mut self, call: CallKey) -> Option<Running> {
        let at = self.running.iter().position(|running| running.call == call)?;
        Some(self.running.swap_remove(at))
    }

    /// A parked call leaves its place; `None` if it is not parked here.
    pub fn unpark(&mut self, call: CallKey) -> Option<Parked> {
        let at = self.parked.iter().position(|parked| parked.call == call)?;
        if let Some(waiting) = self.resumes.iter().position(|(waiting, _)| *waiting == call) {
            self.resumes.remove(waiting);
        }
        Some(self.parked.swap_remove(at))
    }

    /// The call has ended here, wherever it was. What was sent ahead goes on in its slot; without that, its lane is idle
    /// again. Answers its slot, if it held one.
    pub fn end(&mut self, call: CallKey, now: Instant) -> Option<Ended> {
        if let Some(running) = self.running_mut(call)
            && let Some(next) = running.ahead.pop_front()
        {
            let work = running.work(now);
            running.since = now;
            (running.call, running.ordinal, running.rank) = (next.call, next.ordinal, Some(next.rank));
            running.interrupted = None;
            running.is_asked_back &= !running.ahead.is_empty();
            return Some(Ended { work, next: Some(next.call) });
        }
        let running = self.release_slot(call);
        let lane = match &running {
            Some(running) => Some(running.lane),
            None => self.unpark(call).or_else(|| self.take_unwinding(call)).map(|parked| parked.lane),
        };
        if let Some(lane) = lane {
            self.give_lane(lane);
        }
        running.map(|running| Ended { work: running.work(now), next: None })
    }

    fn take_unwinding(&mut self, call: CallKey) -> Option<Parked> {
        let at = self.unwinding.iter().position(|parked| parked.call == call)?;
        Some(self.unwinding.swap_remove(at))
    }

    /// The parked call that gives way: the one with the youngest root, preferably one that still waits.
    pub fn victim(&self) -> Option<CallKey> {
        let is_resuming = |call| self.resumes.iter().any(|(waiting, _)| *waiting == call);
        self.parked.iter().max_by_key(|parked| (!is_resuming(parked.call), parked.root_age)).map(|p| p.call)
    }
}
