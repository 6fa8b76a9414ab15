//! A simulated worker process: lanes on which messages travel in order, and calls that follow their programs.
//!
//! It keeps to docs/protocol.md as the SDK does. What it hears and says takes time: until the world lets a message
//! arrive, it is on its way, and may cross others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::orders::Orders;
use super::program::{Log, Next, Program, Progress, Said, Task, error, memo};
use super::programs::Programs;
use super::random::Random;
use crate::model::{CallKey, InstanceId, Outcome, WorkerKind};
use crate::protocol::worker::{Alarm, Entry, FromWorker, Memo, Recorded, ToWorker, Wait};

/// What the calls of all workers share.
pub struct Shared {
    pub programs: Programs,
    pub random: Random,
    pub orders: Orders,
    pub now: Instant,
    /// Some instances say what no worker says, and the hub cannot know what is true.
    pub has_rogues: bool,
    /// In percent: calls that go on when they are told to end.
    pub stubborn: u64,
}

pub struct Worker {
    pub id: InstanceId,
    pub kind: WorkerKind,
    pub lanes: Vec<Lane>,
    pub calls: BTreeMap<CallKey, Attempt>,
    /// The control channel, to the worker and from it.
    pub told: VecDeque<Told>,
    pub stacks: VecDeque<(CallKey, u32)>,
    pub is_dead: bool,
    /// The hub knows that its channels are broken.
    pub is_severed: bool,
    /// It was told to go, or another one takes its place.
    pub is_leaving: bool,
    /// Interrupts of calls that do not run yet.
    kept: BTreeSet<(CallKey, u32)>,
}

/// What comes on the control channel.
pub enum Told {
    Interrupt { call: CallKey, attempt: u32 },
    AskBack { lane: u32 },
}

#[derive(Default)]
pub struct Lane {
    /// On their way to the worker, `run` and `resume` with their number.
    pub inbox: VecDeque<(u64, ToWorker)>,
    /// On their way to the hub.
    pub outbox: VecDeque<FromWorker>,
    /// Messages that were sent on it.
    sent: u64,
    /// The last one that was begun with, as in the tally.
    pub begun: u64,
    /// The call of a `def` worker's lane.
    call: Option<CallKey>,
}

pub struct Attempt {
    pub attempt: u32,
    lane: u32,
    program: Rc<Program>,
    log: Log,
    worked: usize,
    said: usize,
    open_memos: Vec<u32>,
    state: State,
}

enum State {
    /// Its code runs until then; `raises`: it was interrupted.
    Working {
        until: Instant,
        raises: bool,
    },
    /// It waits, for a timer of its own, too.
    Parked {
        wait: Wait,
        alarm: Option<(u32, Instant)>,
    },
    Listening,
    Unwinding {
        until: Instant,
    },
}

impl Worker {
    pub fn new(id: InstanceId, kind: WorkerKind) -> Self {
        Self {
            id,
            kind,
            lanes: Vec::new(),
            calls: BTreeMap::new(),
            told: VecDeque::new(),
            stacks: VecDeque::new(),
            is_dead: false,
            is_severed: false,
            is_leaving: false,
            kept: BTreeSet::new(),
        }
    }

    /// The hub has sent something.
    pub fn send(&mut self, lane: u32, message: ToWorker) {
        let lane = &mut self.lanes[lane as usize];
        lane.sent += u64::from(!matches!(message, ToWorker::Evict { .. }));
        lane.inbox.push_back((lane.sent, message));
    }

    /// Per lane, what the tally says.
    pub fn begun(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.begun).collect()
    }

    /// Calls whose code runs in a thread: each holds a slot.
    pub fn running(&self) -> usize {
        let runs = |attempt: &&Attempt| matches!(attempt.state, State::Working { .. } | State::Listening);
        self.calls.values().filter(runs).count()
    }

    /// Whether a call has this lane for itself.
    pub fn is_occupied(&self, lane: usize) -> bool {
        self.lanes[lane].call.is_some()
    }

    /// Whether nothing is on its way to it or from it.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.lanes.iter().all(|lane| lane.inbox.is_empty() && lane.outbox.is_empty())
    }

    /// Whether somebody reads this lane now.
    pub fn hears(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        let call = lane.call.and_then(|call| self.calls.get(&call));
        !lane.inbox.is_empty()
            && call.is_none_or(|call| matches!(call.state, State::Parked { .. } | State::Listening))
    }

    /// The next call, of those whose time has come.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = CallKey> {
        let is_due = move |attempt: &Attempt| attempt.due().is_some_and(|at| at <= now);
        self.calls.iter().filter(move |(_, attempt)| is_due(attempt)).map(|(call, _)| *call)
    }

    /// When something happens here by itself.
    pub fn next_due(&self) -> Option<Instant> {
        self.calls.values().filter_map(Attempt::due).min()
    }

    // ---- what it hears ----

    pub fn hear(&mut self, lane: usize, shared: &mut Shared) {
        let (ordinal, message) = self.lanes[lane].inbox.pop_front().expect("something is on its way");
        match message {
            ToWorker::Run { call, attempt, .. } if self.lanes[lane].call.is_some() => {
                self.say(lane, FromWorker::GiveBack { call, attempt });
            }
            ToWorker::Run { call, attempt, arguments, results, .. } => {
                self.lanes[lane].begun = ordinal;
                self.begin(lane, call, attempt, &arguments, results, shared);
            }
            ToWorker::Resume { call, attempt, results } => {
                self.lanes[lane].begun = ordinal;
                self.learn(call, attempt, results, shared);
            }
            // It may have ended before it heard that its threads wait in vain.
            ToWorker::Evict { call, attempt } => self.unwind(call, attempt, shared),
        }
    }

    fn begin(
        &mut self,
        lane: usize,
        call: CallKey,
        attempt: u32,
        arguments: &[u8],
        results: Vec<Recorded>,
        shared: &mut Shared,
    ) {
        let argument = u64::from_le_bytes(arguments.try_into().expect("an argument of this simulation"));
        let task = Task { service: self.id.service.0, argument };
        let log: Log = results.into_iter().map(|result| (result.seq, result.outcome)).collect();
        let begun = Attempt {
            attempt,
            lane: lane as u32,
            program: shared.programs.of(task),
            log,
            worked: 0,
            said: 0,
            open_memos: Vec::new(),
            state: State::Listening,
        };
        let before = self.calls.insert(call, begun);
        assert!(before.is_none() || shared.has_rogues, "a call runs once in a worker");
        if self.kind == WorkerKind::Def {
            self.lanes[lane].call = Some(call);
        }
        match self.kept.remove(&(call, attempt)) {
            true => self.end(call, Outcome::Error(error("msx.Cancelled")), shared),
            false => self.go_on(call, shared),
        }
    }

    fn learn(&mut self, call: CallKey, attempt: u32, results: Vec<(u32, Outcome)>, shared: &mut Shared) {
        let Some(known) = self.calls.get_mut(&call).filter(|known| known.attempt == attempt) else { return };
        for (seq, outcome) in results {
            let is_new = known.log.iter().all(|(other, _)| *other != seq);
            assert!(is_new || shared.has_rogues, "a result is delivered once");
            if is_new {
                known.log.push((seq, outcome));
            }
        }
        if let State::Parked { wait, .. } = &known.state {
            // The only lane of an async worker has several waits of a call on their way.
            let is_over = is_over(wait, |seq| known.log.iter().any(|(other, _)| *other == seq));
            assert!(is_over || self.kind == WorkerKind::Async || shared.has_rogues, "a resume ends the wait");
        }
        if matches!(known.state, State::Parked { .. } | State::Listening) {
            self.go_on(call, shared);
        }
    }

    /// The calls of a `def` worker that wait, where the hub knows that they do.
    pub fn waits(&self) -> impl Iterator<Item = (CallKey, &Wait)> {
        let calls = self.calls.iter().filter(|_| self.kind == WorkerKind::Def);
        calls.filter_map(|(call, attempt)| match &attempt.state {
            State::Parked { wait, .. } if self.lanes[attempt.lane as usize].outbox.is_empty() => {
                Some((*call, wait))
            }
            _ => None,
        })
    }

    fn unwind(&mut self, call: CallKey, attempt: u32, shared: &mut Shared) {
        let Some(known) = self.calls.get_mut(&call).filter(|known| known.attempt == attempt) else { return };
        let slow = shared.random.percent(shared.stubborn);
        let time = if slow { 3_000_000 } else { shared.random.pick(&[0, 0, 0, 300, 3_000]) };
        known.state = State::Unwinding { until: shared.now + Duration::from_micros(time) };
    }

    pub fn obey(&mut self, shared: &mut Shared) {
        match self.told.pop_front().expect("something is on its way") {
            Told::AskBack { lane } => self.give_back(lane as usize),
            Told::Interrupt { call, attempt } => {
                self.stacks.push_back((call, attempt));
                self.interrupt(call, attempt, shared);
            }
        }
    }

    fn interrupt(&mut self, call: CallKey, attempt: u32, shared: &mut Shared) {
        let known = self.calls.get_mut(&call).filter(|known| known.attempt == attempt);
        match known.map(|known| &mut known.state) {
            Some(State::Working { until, raises }) if !shared.random.percent(shared.stubborn) => {
                (*until, *raises) = ((*until).min(shared.now), true);
            }
            Some(state @ State::Listening) => *state = State::Working { until: shared.now, raises: true },
            Some(_) => (),
            None => drop(self.kept.insert((call, attempt))),
        }
    }

    /// Gives back what a lane has not begun with, the last first. Without a call, its thread is on its way to the next.
    fn give_back(&mut self, lane: usize) {
        let waiting = std::mem::take(&mut self.lanes[lane].inbox);
        for (ordinal, message) in waiting.into_iter().rev() {
            match message {
                ToWorker::Run { call, attempt, .. } => self.say(lane, FromWorker::GiveBack { call, attempt }),
                kept => self.lanes[lane].inbox.push_front((ordinal, kept)),
            }
        }
    }

    // ---- what it does by itself ----

    /// The time of this call has come.
    pub fn act(&mut self, call: CallKey, shared: &mut Shared) {
        let known = self.calls.get_mut(&call).expect("a call that is due is here");
        match known.state {
            State::Working { raises: true, .. } => {
                self.end(call, Outcome::Error(error("msx.Cancelled")), shared);
            }
            State::Working { .. } => {
                known.worked += 1;
                self.go_on(call, shared);
            }
            State::Parked { alarm, .. } => {
                let (seq, _) = alarm.expect("only an alarm makes it due");
                self.make_memo(call, seq);
                self.go_on(call, shared);
            }
            State::Unwinding { .. } => {
                let is_open = |seq: &&u32| known.log.iter().all(|(other, _)| other != *seq);
                let open = known.open_memos.iter().find(is_open).copied();
                if let Some(seq) = open.filter(|_| shared.random.percent(50)) {
                    self.make_memo(call, seq);
                }
                self.leave(call, shared, |call, attempt| FromWorker::Evicted { call, attempt });
            }
            State::Listening => unreachable!("who listens is not due"),
        }
    }

    fn make_memo(&mut self, call: CallKey, seq: u32) {
        let known = self.calls.get_mut(&call).expect("it runs");
        let (attempt, lane, position) = (known.attempt, known.lane, known.log.len() as u32);
        let outcome = Outcome::Value(memo());
        known.log.push((seq, outcome.clone()));
        let memo = Memo { seq, ident: 0, outcome, known: position, line: None };
        self.say(lane as usize, FromWorker::Memo { call, attempt, memo });
    }

    /// Follows the program until it has to wait for something.
    fn go_on(&mut self, call: CallKey, shared: &mut Shared) {
        loop {
            let known = self.calls.get_mut(&call).expect("it runs");
            let Progress { said, next, open_memos } =
                known.program.follow(&known.log, known.worked, known.attempt);
            known.open_memos = open_memos;
            let entries = self.tell(call, said, shared);
            match next {
                Next::Memo { seq } => {
                    self.start(call, entries);
                    self.make_memo(call, seq);
                }
                Next::Work(time) => {
                    self.start(call, entries);
                    let state = State::Working { until: shared.now + time, raises: false };
                    return self.set(call, state);
                }
                Next::Listen(seqs) => {
                    self.start(call, entries);
                    return self.listen(call, seqs);
                }
                Next::Wait { wait, alarm } => return self.park(call, entries, wait, alarm, shared),
                Next::End(outcome) => {
                    self.start(call, entries);
                    return self.end(call, outcome, shared);
                }
            }
        }
    }

    fn set(&mut self, call: CallKey, state: State) {
        self.calls.get_mut(&call).expect("it runs").state = state;
    }

    /// Says what this attempt has not said yet; answers the calls among it that are to be made.
    fn tell(&mut self, call: CallKey, said: Vec<Said>, shared: &Shared) -> Vec<Entry> {
        let known = self.calls.get_mut(&call).expect("it runs");
        let (attempt, lane) = (known.attempt, known.lane as usize);
        let is_recorded = |seq: &u32| known.log.iter().any(|(other, _)| other == seq);
        let mut entries = Vec::new();
        let mut summaries = 0;
        for said in &said[known.said.min(said.len())..] {
            match said {
                Said::Asked { seq, .. } if is_recorded(seq) => (),
                Said::Asked { seq, task } => entries.push(shared.programs.entry(*seq, *task)),
                Said::Summary => summaries += 1,
            }
        }
        known.said = said.len();
        for _ in 0..summaries {
            self.say(lane, FromWorker::Summary { call, attempt, text: "half way".into() });
        }
        entries
    }

    fn start(&mut self, call: CallKey, entries: Vec<Entry>) {
        let Attempt { attempt, lane, .. } = self.calls[&call];
        for entry in entries {
            let entries = vec![entry];
            self.say(lane as usize, FromWorker::Calls { call, attempt, entries, wait: None });
        }
    }

    fn listen(&mut self, call: CallKey, seqs: Vec<u32>) {
        let Attempt { attempt, lane, .. } = self.calls[&call];
        self.say(lane as usize, FromWorker::Listen { call, attempt, seqs });
        self.set(call, State::Listening);
    }

    fn park(
        &mut self,
        call: CallKey,
        entries: Vec<Entry>,
        wait: Wait,
        alarm: Option<(u32, Duration)>,
        shared: &mut Shared,
    ) {
        let Attempt { attempt, lane, .. } = self.calls[&call];
        let lane = lane as usize;
        if shared.random.percent(50) {
            self.give_back(lane);
        }
        self.say(lane, FromWorker::Calls { call, attempt, entries, wait: Some(wait.clone()) });
        if let Some((seq, after)) = alarm {
            let alarm = Alarm { seq, ident: 0, value: memo(), after, line: None };
            self.say(lane, FromWorker::Alarm { call, attempt, alarm });
        }
        let alarm = alarm.map(|(seq, after)| (seq, shared.now + after));
        self.set(call, State::Parked { wait, alarm });
    }

    fn end(&mut self, call: CallKey, outcome: Outcome, shared: &mut Shared) {
        self.leave(call, shared, |call, attempt| match outcome {
            Outcome::Value(value) => FromWorker::Return { call, attempt, value, run: Duration::ZERO },
            Outcome::Error(error) => FromWorker::Raise { call, attempt, error },
        });
    }

    fn leave(&mut self, call: CallKey, shared: &mut Shared, last: impl FnOnce(CallKey, u32) -> FromWorker) {
        let left = self.calls.remove(&call).expect("it runs");
        let lane = left.lane as usize;
        if self.kind == WorkerKind::Def {
            self.lanes[lane].call = None;
        }
        self.say(lane, last(call, left.attempt));
        shared.orders.left(call, left.log);
    }

    fn say(&mut self, lane: usize, message: FromWorker) {
        self.lanes[lane].outbox.push_back(message);
    }

    /// The process is gone, and what it knew with it. Memos that the hub has not heard of were never made.
    pub fn die(&mut self, orders: &mut Orders) {
        self.is_dead = true;
        for (call, attempt) in std::mem::take(&mut self.calls) {
            let ran = matches!(attempt.state, State::Working { .. } | State::Listening);
            orders.left(call, attempt.log);
            if ran && self.kind == WorkerKind::Def {
                orders.died(call);
            }
        }
        for message in self.lanes.iter().flat_map(|lane| &lane.outbox) {
            if let FromWorker::Memo { call, memo, .. } = message {
                orders.cut(*call, memo.seq);
            }
        }
    }
}

/// Whether enough of what a call waits for is there.
pub fn is_over(wait: &Wait, is_there: impl Fn(u32) -> bool) -> bool {
    let mut seqs = wait.seqs.iter().copied();
    if wait.all { seqs.all(is_there) } else { seqs.any(is_there) }
}

impl Attempt {
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Working { until, .. } | State::Unwinding { until } => Some(until),
            State::Parked { alarm, .. } => alarm.map(|(_, at)| at),
            State::Listening => None,
        }
    }
}
