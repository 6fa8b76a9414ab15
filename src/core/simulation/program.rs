//! The functions of the simulated services: random programs of calls, waits, memos and timers.
//!
//! A program is a list of operations, and running it is a pure function of what has been recorded so far: it answers
//! everything that the program has asked for up to now and what it does next. So a replay is the same function called
//! with more. Whatever the order in which results come, a program has the same value; what it *consumes* in which order
//! is what a replay must not see differently.

use std::time::Duration;

use bytes::Bytes;

use super::random::mix;
use crate::calls::FREE_SEQ;
use crate::model::Outcome;
use crate::protocol::error::RemoteError;
use crate::protocol::worker::Wait;

/// A call of a service with an argument, whose lower bits say how many calls may wait below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    pub service: u32,
    pub argument: u64,
}

/// Bits of an argument that say how many calls may wait in a row below it.
pub const LEVEL_BITS: u64 = 0b11;

#[derive(Clone, Debug)]
pub enum Op {
    /// Code that does not wait for msx.
    Work(Duration),
    Summary,
    /// `msx.run`: made on the spot.
    Memo,
    /// `msx.run` in a thread, while the call goes on; made by the next `Joined`.
    MemoBegun,
    MemoJoined,
    /// Calls that are waited for together.
    All(Vec<Task>),
    /// Calls that are started here and waited for at the end.
    Started(Vec<Task>),
    /// Equal calls, of which the first answer counts; the rest is left behind.
    Race(Task, u32),
    /// Calls of which only so many run at once.
    Window(Vec<Task>, usize),
    /// Calls by threads of the user's own: the call keeps its slot.
    Guests(Vec<Task>),
    /// Calls with a timer of asyncio beside them: who comes first decides whether the extra one is made.
    Timed(Vec<Task>, Duration, Task),
}

#[derive(Debug)]
pub struct Program {
    pub ops: Vec<Op>,
    /// It raises at its end, whatever came before.
    pub raises: bool,
    pub flaky: bool,
    pub fickle: bool,
    /// It takes an error of a call for a number.
    pub catches: bool,
    pub argument: u64,
}

/// What an attempt says on its way.
#[derive(Clone, Debug)]
pub enum Said {
    Asked { seq: u32, task: Task },
    Summary,
}

/// What a program does when it has said what it says.
#[derive(Debug)]
pub enum Next {
    Work(Duration),
    Memo { seq: u32 },
    Wait { wait: Wait, alarm: Option<(u32, Duration)> },
    Listen(Vec<u32>),
    End(Outcome),
}

/// How far a program has come.
pub struct Progress {
    /// Everything that it has said, from the beginning.
    pub said: Vec<Said>,
    pub next: Next,
    /// Memos that are in the making.
    pub open_memos: Vec<u32>,
}

/// What is recorded, in its order.
pub type Log = Vec<(u32, Outcome)>;

/// A program on its way, with what it has consumed of the log.
struct Course<'a> {
    program: &'a Program,
    log: &'a Log,
    consumed: usize,
    work_left: usize,
    seq: u32,
    free_seq: u32,
    said: Vec<Said>,
    sum: u64,
    is_tainted: bool,
    error: Option<Bytes>,
    begun_memos: Vec<u32>,
    started: Vec<u32>,
}

impl Program {
    /// Follows the program through what is recorded. `worked`: how often this attempt has worked already.
    pub fn follow(&self, log: &Log, worked: usize, attempt: u32) -> Progress {
        let mut course = Course {
            program: self,
            log,
            consumed: 0,
            work_left: worked,
            seq: 0,
            free_seq: FREE_SEQ,
            said: Vec::new(),
            sum: mix(self.argument),
            is_tainted: self.fickle && attempt > 1,
            error: None,
            begun_memos: Vec::new(),
            started: Vec::new(),
        };
        let next = match self.flaky && attempt == 1 {
            true => Next::End(Outcome::Error(transient())),
            false => course.run(attempt),
        };
        Progress { said: course.said, next, open_memos: course.begun_memos }
    }
}

impl Course<'_> {
    fn run(&mut self, attempt: u32) -> Next {
        let program = self.program;
        let next = program.ops.iter().find_map(|op| self.step(op, attempt));
        next.or_else(|| self.finish()).unwrap_or_else(|| Next::End(self.outcome()))
    }

    fn finish(&mut self) -> Option<Next> {
        let started = std::mem::take(&mut self.started);
        let next = self.join_memos().or_else(|| self.wait_all(&started, None));
        if next.is_none() {
            self.take_all(&started);
        }
        next
    }

    fn outcome(&self) -> Outcome {
        match &self.error {
            _ if self.program.raises => Outcome::Error(wrong()),
            Some(error) => Outcome::Error(error.clone()),
            None => Outcome::Value(value(self.sum, self.is_tainted)),
        }
    }

    /// `None`: the program goes on behind the operation.
    fn step(&mut self, op: &Op, attempt: u32) -> Option<Next> {
        match op {
            Op::Work(time) => match self.work_left {
                0 => Some(Next::Work(*time)),
                _ => {
                    self.work_left -= 1;
                    None
                }
            },
            Op::Summary => {
                self.said.push(Said::Summary);
                None
            }
            Op::Memo => {
                let seq = self.next_seq();
                self.memo(seq)
            }
            Op::MemoBegun => {
                let seq = self.next_seq();
                self.begun_memos.push(seq);
                None
            }
            Op::MemoJoined => self.join_memos(),
            Op::All(tasks) => {
                let seqs = self.ask_all(tasks, attempt);
                let next = self.wait_all(&seqs, None);
                if next.is_none() {
                    self.take_all(&seqs);
                }
                next
            }
            Op::Started(tasks) => {
                let seqs = self.ask_all(tasks, attempt);
                self.started.extend(seqs);
                None
            }
            Op::Race(task, count) => self.race(*task, *count, attempt),
            Op::Window(tasks, limit) => self.window(tasks, *limit, attempt),
            Op::Guests(tasks) => self.guests(tasks),
            Op::Timed(tasks, time, extra) => self.timed(tasks, *time, *extra, attempt),
        }
    }

    fn next_seq(&mut self) -> u32 {
        self.seq += 1;
        self.seq - 1
    }

    fn ask(&mut self, task: Task, attempt: u32) -> u32 {
        let seq = self.next_seq();
        let argument = if self.program.fickle && attempt > 1 { task.argument ^ 4 } else { task.argument };
        self.said.push(Said::Asked { seq, task: Task { argument, ..task } });
        seq
    }

    fn ask_all(&mut self, tasks: &[Task], attempt: u32) -> Vec<u32> {
        tasks.iter().map(|task| self.ask(*task, attempt)).collect()
    }

    fn consumed(&self, seq: u32) -> bool {
        self.log[..self.consumed].iter().any(|(known, _)| *known == seq)
    }

    /// Consumes what is recorded until there is enough. False: there is not.
    fn consume(&mut self, is_enough: impl Fn(&Self) -> bool) -> bool {
        while !is_enough(self) {
            if self.consumed == self.log.len() {
                return false;
            }
            self.consumed += 1;
        }
        true
    }

    fn wait_all(&mut self, seqs: &[u32], alarm: Option<(u32, Duration)>) -> Option<Next> {
        let is_struck = |course: &Self| alarm.is_some_and(|(seq, _)| course.consumed(seq));
        let is_over = |course: &Self| is_struck(course) || seqs.iter().all(|seq| course.consumed(*seq));
        if self.consume(is_over) {
            return None;
        }
        let known = &self.log[..self.consumed];
        let missing = seqs.iter().copied().filter(|seq| known.iter().all(|(known, _)| known != seq));
        Some(Next::Wait { wait: Wait { all: true, seqs: missing.collect() }, alarm })
    }

    fn wait_any(&mut self, seqs: &[u32]) -> Option<Next> {
        let is_over = self.consume(|course| seqs.iter().any(|seq| course.consumed(*seq)));
        (!is_over).then(|| Next::Wait { wait: Wait { all: false, seqs: seqs.to_vec() }, alarm: None })
    }

    fn take_all(&mut self, seqs: &[u32]) {
        seqs.iter().for_each(|seq| self.take(*seq));
    }

    /// Uses a result.
    fn take(&mut self, seq: u32) {
        let (_, outcome) = self.log.iter().find(|(known, _)| *known == seq).expect("it was consumed");
        match outcome {
            Outcome::Value(payload) => {
                let (number, is_tainted) = number(payload);
                self.sum = self.sum.wrapping_add(number);
                self.is_tainted |= is_tainted;
            }
            Outcome::Error(error) if self.program.catches => {
                self.sum = self.sum.wrapping_add(1);
                self.is_tainted |= *error != wrong();
            }
            Outcome::Error(error) => drop(self.error.get_or_insert_with(|| error.clone())),
        }
    }

    fn memo(&mut self, seq: u32) -> Option<Next> {
        let is_made = self.log.iter().any(|(known, _)| *known == seq);
        if is_made {
            self.take(seq);
            return None;
        }
        Some(Next::Memo { seq })
    }

    fn join_memos(&mut self) -> Option<Next> {
        while let Some(seq) = self.begun_memos.first().copied() {
            let next = self.memo(seq);
            if next.is_some() {
                return next;
            }
            self.begun_memos.remove(0);
        }
        None
    }

    fn race(&mut self, task: Task, count: u32, attempt: u32) -> Option<Next> {
        let seqs: Vec<u32> = (0..count).map(|_| self.ask(task, attempt)).collect();
        let next = self.wait_any(&seqs);
        if next.is_none() {
            self.take_first(&seqs);
        }
        next
    }

    fn take_first(&mut self, seqs: &[u32]) -> u32 {
        let first = self.log.iter().map(|(seq, _)| *seq).find(|seq| seqs.contains(seq));
        let first = first.expect("one is there");
        self.take(first);
        first
    }

    fn window(&mut self, tasks: &[Task], limit: usize, attempt: u32) -> Option<Next> {
        let (mut open, mut tasks) = (Vec::new(), tasks.iter());
        loop {
            while open.len() < limit
                && let Some(task) = tasks.next()
            {
                open.push(self.ask(*task, attempt));
            }
            if open.is_empty() {
                return None;
            }
            if let Some(next) = self.wait_any(&open) {
                return Some(next);
            }
            let first = self.take_first(&open);
            open.retain(|seq| *seq != first);
        }
    }

    fn guests(&mut self, tasks: &[Task]) -> Option<Next> {
        let first = self.free_seq;
        for task in tasks {
            self.said.push(Said::Asked { seq: self.free_seq, task: *task });
            self.free_seq += 1;
        }
        let seqs: Vec<u32> = (first..self.free_seq).collect();
        match self.wait_all(&seqs, None) {
            Some(Next::Wait { wait, .. }) => Some(Next::Listen(wait.seqs)),
            _ => {
                self.take_all(&seqs);
                None
            }
        }
    }

    fn timed(&mut self, tasks: &[Task], time: Duration, extra: Task, attempt: u32) -> Option<Next> {
        let mut seqs = self.ask_all(tasks, attempt);
        let strike = self.seq;
        if let Some(next) = self.wait_all(&seqs, Some((strike, time))) {
            return Some(next);
        }
        if !seqs.iter().all(|seq| self.consumed(*seq)) {
            self.seq += 1;
            seqs.push(self.ask(extra, attempt));
            if let Some(next) = self.wait_all(&seqs, None) {
                return Some(next);
            }
            // Its value does not count: whether it was made is a matter of time. Its error does neither.
            seqs.pop();
        }
        self.take_all(&seqs);
        None
    }
}

pub const MEMO: u64 = 77;

/// What each memo is.
pub fn memo() -> Bytes {
    value(MEMO, false)
}

pub fn value(number: u64, is_tainted: bool) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.push(is_tainted.into());
    bytes.into()
}

/// The number of a value, and whether something that had gone wrong is in it.
pub fn number(payload: &Bytes) -> (u64, bool) {
    let (number, taint) = payload.split_first_chunk().expect("a value of this simulation");
    (u64::from_le_bytes(*number), taint == [1])
}

thread_local! {
    static WRONG: Bytes = error("builtins.ValueError");
    static TRANSIENT: Bytes = error("builtins.OSError");
}

/// The error that a program raises as its result.
pub fn wrong() -> Bytes {
    WRONG.with(Bytes::clone)
}

fn transient() -> Bytes {
    TRANSIENT.with(Bytes::clone)
}

pub fn error(kind: &str) -> Bytes {
    RemoteError { kind: kind.into(), ..RemoteError::default() }.encode()
}
