//! One call: its arguments, its children in the order it made them, and what it waits for.

#[cfg(test)]
mod audit;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::history::Record;
use crate::balancer::Rank;
use crate::model::{CallKey, InstanceId, Outcome, ServiceId, ServiceName};
use crate::protocol::worker::{Alarm, CallOptions, Wait};

use super::children::{Children, FREE_SEQ};
use super::stream::items_in;

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In its service's queue, for its first run or for a replay.
    Queued(Rank),
    /// Sent to a lane of this instance, which has not begun with it; its place in the queue is kept.
    Ahead { instance: InstanceId, rank: Rank },
    /// Holds a slot of this instance.
    Running(InstanceId),
    /// Suspended in place. `resuming`: what it waited for is there, and it asked for a slot.
    Parked { instance: InstanceId, resuming: bool },
    /// Told to unwind; the worker has not acknowledged it yet.
    Unwinding(InstanceId),
    /// Suspended, with nothing left in any instance.
    Evicted,
    /// Has failed, and is tried again at this time.
    Backoff(Instant),
    /// Waits for its turn among the calls under its key, as the one that came so late.
    Held(u64),
    /// Gets the outcome of another call, which has the same idempotency key.
    Following,
    /// Gets its outcome from this call, which runs for it and for others.
    Batched { batch: CallKey },
    /// Answered by the hub itself.
    Hub,
    /// Its replay has done something else than before; it waits for somebody who sees to it.
    Paused,
}

/// What a call asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    Service(ServiceId),
    /// A service that does not exist.
    Unknown(ServiceName),
    /// The result of `msx.run`.
    Memo,
    /// The next items of the stream of this seq.
    Next(u32),
    /// Room for more items of the stream that the call itself is.
    Room,
}

/// How a child was asked for, as far as it is known: for people who look for a difference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Where in the program.
    pub line: Option<Arc<str>>,
    /// What was passed, if that is short; else empty.
    pub arguments: Bytes,
}

/// One child call or memo, found by its seq.
#[derive(Clone, Debug)]
pub enum Child {
    /// A number that the worker has not told about: a memo that is being made while other tasks go on.
    Untold,
    Pending {
        call: CallKey,
        service: ServiceId,
        ident: u32,
        /// Number of the wait that waits for it.
        wait: u32,
        line: Option<Arc<str>>,
    },
    /// What the hub gives without a call: items of a stream, or room for them.
    Awaited {
        asked: Asked,
        ident: u32,
        wait: u32,
        line: Option<Arc<str>>,
    },
    Recorded {
        asked: Asked,
        ident: u32,
        outcome: Outcome,
        request: Request,
    },
}

/// Whether what a call waits for is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    Waiting,
    Over,
}

/// The calls for which a batch runs.
#[derive(Debug)]
pub struct Batch {
    /// In the order of their arguments. Those that have left are still here.
    pub members: Vec<CallKey>,
    /// How many have not left.
    pub present: u32,
}

#[derive(Debug)]
pub struct Call {
    pub service: ServiceId,
    /// The waiting call and the seq there; `None` for a root.
    pub parent: Option<(CallKey, u32)>,
    pub root: CallKey,
    /// Counts root calls: smaller is older. Of a batch that of its oldest member.
    pub root_age: u64,
    /// Number of the root call, which names the tree.
    pub tree: u64,
    pub depth: u32,
    pub arguments: Bytes,
    /// Grows with every run; messages of older ones are ignored.
    pub attempt: u32,
    pub place: Place,
    pub accepted: Instant,
    /// When nobody waits for it any more: its own deadline or its caller's, whichever is earlier.
    pub deadline: Option<Instant>,
    /// The deadline is its own, so that a timer is set for it.
    pub has_timer: bool,
    /// What its caller asked for beside the arguments; most calls have none.
    pub options: Option<Box<CallOptions>>,
    /// It is one of those calls under its key that may run.
    pub has_turn: bool,
    /// How often it was tried again.
    pub retried: u32,
    /// Bytes of the results recorded in this call.
    pub recorded_bytes: u64,
    /// It keeps its slot, and is to be told as soon as its wait is over.
    pub listens: bool,
    /// Where it is written down what was when.
    pub record: Record,
    /// What is recorded if the wait is still on by then and no worker holds the call.
    pub alarm: Option<(Instant, Alarm)>,
    /// It runs for these calls.
    pub batch: Option<Box<Batch>>,
    children: Children,
    /// Seqs in the order in which their results came.
    completed: Vec<u32>,
    /// How many of `completed` this attempt has been told.
    delivered: usize,
    wait_number: u32,
    /// Awaited children that are still missing; for "any", one of them.
    missing: u32,
}

impl Call {
    pub fn new(service: ServiceId, arguments: Bytes, place: Place, accepted: Instant) -> Self {
        Self {
            service,
            parent: None,
            root: CallKey(0),
            root_age: 0,
            tree: 0,
            depth: 0,
            arguments,
            attempt: 0,
            place,
            accepted,
            deadline: None,
            has_timer: false,
            options: None,
            has_turn: false,
            retried: 0,
            recorded_bytes: 0,
            listens: false,
            record: Record::NONE,
            alarm: None,
            batch: None,
            children: Children::default(),
            completed: Vec::new(),
            delivered: 0,
            wait_number: 0,
            missing: 0,
        }
    }

    pub fn child(&self, seq: u32) -> Option<&Child> {
        self.children.get(seq)
    }

    /// Whether so many numbers would be left out by a child of this seq.
    pub fn would_skip(&self, seq: u32, count: usize) -> bool {
        self.children.would_skip(seq, count)
    }

    pub fn add_pending(&mut self, seq: u32, call: CallKey, service: ServiceId, ident: u32) {
        self.children.set(seq, Child::Pending { call, service, ident, wait: 0, line: None });
    }

    pub fn add_awaited(&mut self, seq: u32, asked: Asked, ident: u32) {
        self.children.set(seq, Child::Awaited { asked, ident, wait: 0, line: None });
    }

    /// Records the answer of a child that could not be made.
    pub fn add_refused(&mut self, seq: u32, asked: Asked, ident: u32, outcome: Outcome) {
        self.completed.push(seq);
        self.recorded_bytes += bytes_of(&outcome);
        self.children.set(seq, Child::Recorded { asked, ident, outcome, request: Request::default() });
    }

    /// Records a memo behind the first `known` results: those that its attempt had been told when it was made. What
    /// came meanwhile stands behind it, as this attempt sees it, so that a replay sees the same order.
    pub fn add_memo(&mut self, seq: u32, ident: u32, outcome: Outcome, known: u32) {
        self.completed.insert(self.delivered.min(known as usize), seq);
        self.delivered += 1;
        self.recorded_bytes += bytes_of(&outcome);
        let request = Request::default();
        self.children.set(seq, Child::Recorded { asked: Asked::Memo, ident, outcome, request });
    }

    /// Where in the program a child was asked for that was just added.
    pub fn note_line(&mut self, seq: u32, line: Option<Arc<str>>) {
        match self.children.get_mut(seq) {
            Some(Child::Pending { line: known, .. } | Child::Awaited { line: known, .. }) => *known = line,
            Some(Child::Recorded { request, .. }) => request.line = line,
            Some(Child::Untold) | None => (),
        }
    }

    /// What was passed to a child whose result was just recorded.
    pub fn note_arguments(&mut self, seq: u32, arguments: &Bytes) {
        if arguments.len() <= ARGUMENTS_KEPT_MAX
            && let Some(Child::Recorded { request, .. }) = self.children.get_mut(seq)
        {
            request.arguments = arguments.clone();
        }
    }

    /// Records the strike of a timer, of a call that is in no worker: behind all that is recorded.
    pub fn add_strike(&mut self, alarm: Alarm) {
        self.delivered = self.completed.len();
        self.add_memo(alarm.seq, alarm.ident, Outcome::Value(alarm.value), u32::MAX);
        self.note_line(alarm.seq, alarm.line);
    }

    /// Records the result of a pending child.
    pub fn record(&mut self, seq: u32, outcome: Outcome) -> Suspension {
        if let Some(child) = self.children.get_mut(seq)
            && let Some((asked, ident, wait, line)) = child.unanswered()
        {
            let request = Request { line, arguments: Bytes::new() };
            self.recorded_bytes += bytes_of(&outcome);
            *child = Child::Recorded { asked, ident, outcome, request };
            self.completed.push(seq);
            if wait == self.wait_number && wait > 0 {
                self.missing = self.missing.saturating_sub(1);
            }
        }
        self.suspension()
    }

    /// From now on the call waits for these of its children. Unknown seqs count as answered.
    pub fn wait_for(&mut self, wait: &Wait) -> Suspension {
        self.wait_number += 1;
        self.listens = false;
        self.alarm = None;
        let mut pending = 0;
        for seq in &wait.seqs {
            if let Some(Child::Pending { wait, .. } | Child::Awaited { wait, .. }) =
                self.children.get_mut(*seq)
                && *wait != self.wait_number
            {
                *wait = self.wait_number;
                pending += 1;
            }
        }
        let has_one = (pending as usize) < wait.seqs.len();
        self.missing = match wait.all {
            true => pending,
            false => u32::from(!has_one && pending > 0),
        };
        self.suspension()
    }

    /// The attempt that was to begin came back untouched.
    pub fn unbegin_attempt(&mut self) {
        self.attempt -= 1;
    }

    pub fn suspension(&self) -> Suspension {
        if self.missing == 0 { Suspension::Over } else { Suspension::Waiting }
    }

    /// A new attempt begins: it is told everything that is recorded.
    pub fn begin_attempt(&mut self) {
        self.attempt += 1;
        self.delivered = self.completed.len();
        self.wait_number += 1;
        self.missing = 0;
        self.listens = false;
        self.alarm = None;
    }

    /// All recorded results in the order in which they came.
    pub fn recorded(&self) -> impl Iterator<Item = (u32, &Asked, u32, &Outcome, &Request)> {
        self.completed.iter().filter_map(|seq| match self.child(*seq) {
            Some(Child::Recorded { asked, ident, outcome, request }) => {
                Some((*seq, asked, *ident, outcome, request))
            }
            _ => None,
        })
    }

    /// Results that came since this attempt was last told. Its own memos are not among them.
    pub fn take_undelivered(&mut self) -> Vec<(u32, Outcome)> {
        let fresh = &self.completed[self.delivered..];
        let told = fresh.iter().filter_map(|seq| match self.child(*seq) {
            Some(Child::Recorded { outcome, .. }) => Some((*seq, outcome.clone())),
            _ => None,
        });
        let told = told.collect();
        self.delivered = self.completed.len();
        told
    }

    /// Forgets everything from the first recorded error on, and answers the children that nobody waits for any more.
    /// What was asked for before the error was known is the same in the next attempt; what is kept was known even
    /// before. Without an error nothing is dropped.
    pub fn drop_from_first_error(&mut self) -> Vec<CallKey> {
        let is_error =
            |seq: &u32| matches!(self.child(*seq), Some(Child::Recorded { outcome: Outcome::Error(_), .. }));
        let Some(first) = self.completed.iter().position(is_error) else { return Vec::new() };
        let pending = self.pending_children().collect();
        let kept: Vec<u32> = self.completed.drain(..first).collect();
        self.keep(kept, &[]);
        pending
    }

    /// Forgets what was asked for from this number on (of one without order, that alone), and answers the children that
    /// nobody waits for any more.
    pub fn drop_from(&mut self, first: u32) -> Vec<CallKey> {
        // A stream of which items are forgotten is begun anew: they are not kept anywhere else.
        let broken: Vec<u32> = self.asked_from(first).filter_map(Child::stream).collect();
        let is_kept = |seq: &u32| !is_from(first, *seq) && !broken.contains(seq);
        let kept: Vec<u32> = self.completed.iter().copied().filter(is_kept).collect();
        let pending: Vec<(u32, CallKey)> = self.children.pending().collect();
        let (kept_pending, dropped): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|(seq, _)| is_kept(seq));
        let kept_pending: Vec<u32> = kept_pending.into_iter().map(|(seq, _)| seq).collect();
        self.keep(kept, &kept_pending);
        dropped.into_iter().map(|(_, call)| call).collect()
    }

    /// What `drop_from` would forget.
    pub fn asked_from(&self, first: u32) -> impl Iterator<Item = &Child> {
        let told = self.children.numbered().filter(|(_, child)| !matches!(child, Child::Untold));
        told.filter(move |(seq, _)| is_from(first, *seq)).map(|(_, child)| child)
    }

    /// Forgets all children but these: recorded ones in their order, and pending ones.
    fn keep(&mut self, kept: Vec<u32>, pending: &[u32]) {
        let mut before = std::mem::take(&mut self.children);
        (self.recorded_bytes, self.delivered, self.missing) = (0, self.delivered.min(kept.len()), 0);
        for seq in kept.iter().chain(pending) {
            let Some(child) = before.take(*seq) else { continue };
            if let Child::Recorded { outcome, .. } = &child {
                self.recorded_bytes += bytes_of(outcome);
            }
            self.children.set(*seq, child);
        }
        self.completed = kept;
        self.drop_streams_of(&before);
    }

    /// The child of this number, if it has not ended.
    pub fn pending_child(&self, seq: u32) -> Option<CallKey> {
        match self.child(seq)? {
            Child::Pending { call, .. } => Some(*call),
            Child::Awaited { .. } | Child::Recorded { .. } | Child::Untold => None,
        }
    }

    /// How many items of the stream of this seq its recorded pulls have.
    pub fn items_of(&self, stream: u32) -> u64 {
        let pulls = self.recorded().filter(|(_, asked, ..)| **asked == Asked::Next(stream));
        pulls.map(|(_, _, _, outcome, _)| items_in(outcome)).sum()
    }

    /// A stream is begun anew if items of it were forgotten: they are not kept anywhere else.
    fn drop_streams_of(&mut self, forgotten: &Children) {
        let streams: Vec<u32> = forgotten.values().filter_map(Child::stream).collect();
        streams.into_iter().for_each(|stream| self.drop_recorded(stream));
    }

    /// Forgets one recorded child.
    pub fn drop_recorded(&mut self, seq: u32) {
        if !matches!(self.child(seq), Some(Child::Recorded { .. })) {
            return;
        }
        if let Some(Child::Recorded { outcome, .. }) = self.children.take(seq) {
            self.recorded_bytes -= bytes_of(&outcome);
            self.completed.retain(|completed| *completed != seq);
        }
    }

    /// Whether one answer of those that it waits for is not enough.
    pub fn waits_for_all(&self) -> bool {
        self.missing as usize >= self.awaited_children().count()
    }

    /// Children that have not ended, and that the call waits for now.
    pub fn awaited_children(&self) -> impl Iterator<Item = CallKey> {
        self.children.values().filter_map(|child| match child {
            Child::Pending { call, wait, .. } if self.is_awaited(*wait) => Some(*call),
            Child::Awaited { asked: Asked::Next(stream), wait, .. } if self.is_awaited(*wait) => {
                self.pending_child(*stream)
            }
            _ => None,
        })
    }

    fn is_awaited(&self, wait: u32) -> bool {
        wait == self.wait_number && wait > 0
    }

    /// How many children and memos it has made.
    pub fn children_count(&self) -> usize {
        self.children.len()
    }

    /// Children that have not ended.
    pub fn pending_children(&self) -> impl Iterator<Item = CallKey> {
        self.children.values().filter_map(|child| match child {
            Child::Pending { call, .. } => Some(*call),
            Child::Awaited { .. } | Child::Recorded { .. } | Child::Untold => None,
        })
    }
}

/// Arguments that are kept with a result, so that they can be shown.
const ARGUMENTS_KEPT_MAX: usize = 128;
/// What a recorded result takes beside its payload: its entry, its place in the order, the allocation; and its
/// arguments. (The line where it was asked for is shared.)
const RECORDED_OVERHEAD: u64 = 128 + ARGUMENTS_KEPT_MAX as u64;

/// Whether `seq` was asked for at `first` or behind it.
fn is_from(first: u32, seq: u32) -> bool {
    match first < FREE_SEQ {
        true => seq >= first && seq < FREE_SEQ,
        false => seq == first,
    }
}

impl Child {
    /// What it asked for, its ident, the wait for it and where it was asked, as long as it has no answer.
    fn unanswered(&self) -> Option<(Asked, u32, u32, Option<Arc<str>>)> {
        match self {
            Self::Pending { service, ident, wait, line, .. } => {
                Some((Asked::Service(*service), *ident, *wait, line.clone()))
            }
            Self::Awaited { asked, ident, wait, line } => Some((asked.clone(), *ident, *wait, line.clone())),
            Self::Recorded { .. } | Self::Untold => None,
        }
    }

    /// The stream that it is a pull of.
    fn stream(&self) -> Option<u32> {
        match self {
            Self::Awaited { asked: Asked::Next(stream), .. }
            | Self::Recorded { asked: Asked::Next(stream), .. } => Some(*stream),
            _ => None,
        }
    }
}

/// Bytes that a recorded result holds.
pub fn bytes_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Value(payload) | Outcome::Error(payload) => payload.len() as u64 + RECORDED_OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call::new(ServiceId(0), Bytes::new(), Place::Evicted, Instant::now())
    }

    fn value(text: &'static str) -> Outcome {
        Outcome::Value(Bytes::from_static(text.as_bytes()))
    }

    fn order(call: &Call) -> Vec<u32> {
        call.recorded().map(|(seq, ..)| seq).collect()
    }

    /// The attempt that made the memo had not heard of result 1 when it went on with it, nor must a replay.
    #[test]
    fn a_memo_stands_where_its_attempt_saw_it() {
        let mut call = call();
        call.begin_attempt();
        call.add_pending(0, CallKey(1), ServiceId(1), 0);
        call.add_pending(1, CallKey(2), ServiceId(1), 0);
        call.record(0, value("first"));
        assert_eq!(call.take_undelivered().len(), 1);
        call.record(1, value("second"));
        call.add_memo(2, 0, value("memo"), 1);
        assert_eq!(order(&call), [0, 2, 1]);
        assert_eq!(call.take_undelivered(), [(1, value("second"))]);
    }

    #[test]
    fn a_memo_in_the_making_leaves_its_number_free() {
        let mut call = call();
        call.begin_attempt();
        call.add_pending(1, CallKey(1), ServiceId(1), 0);
        assert!(matches!(call.child(0), Some(Child::Untold)));
        call.add_memo(0, 0, value("memo"), 0);
        assert_eq!(order(&call), [0]);
    }

    #[test]
    fn a_refused_child_is_told_like_any_other() {
        let mut call = call();
        call.begin_attempt();
        call.add_refused(0, Asked::Unknown(ServiceName::new("no.such")), 0, value("error"));
        assert_eq!(call.wait_for(&Wait { all: true, seqs: vec![0] }), Suspension::Over);
        assert_eq!(call.take_undelivered(), [(0, value("error"))]);
    }

    /// One by a thread of the user's own leaves the numbers of the others as they are.
    #[test]
    fn a_child_without_a_number() {
        let mut call = call();
        call.begin_attempt();
        call.add_pending(FREE_SEQ + 7, CallKey(1), ServiceId(1), 0);
        call.add_pending(0, CallKey(2), ServiceId(1), 0);
        assert_eq!(call.pending_children().count(), 2);
        assert!(!call.would_skip(u32::MAX, 1) && !call.would_skip(1, 1) && call.would_skip(2, 1));
        let wait = Wait { all: false, seqs: vec![FREE_SEQ + 7] };
        assert_eq!(call.wait_for(&wait), Suspension::Waiting);
        assert_eq!(call.record(FREE_SEQ + 7, value("free")), Suspension::Over);
        assert_eq!(order(&call), [FREE_SEQ + 7]);
    }

    #[test]
    fn a_retry_keeps_what_was_recorded_before_the_first_error() {
        let mut call = call();
        call.begin_attempt();
        (0..5).for_each(|seq| call.add_pending(seq, CallKey(u64::from(seq)), ServiceId(1), 0));
        call.record(2, value("first"));
        call.record(0, value("second"));
        let held = call.recorded_bytes;
        call.record(1, Outcome::Error(Bytes::from_static(b"transient")));
        call.record(4, value("behind it"));
        assert_eq!(call.drop_from_first_error(), [CallKey(3)]);
        assert_eq!((order(&call), call.recorded_bytes), (vec![2, 0], held));
        assert!(matches!(call.child(1), Some(Child::Untold)));
        assert_eq!((call.children_count(), call.pending_children().count()), (3, 0));
    }

    #[test]
    fn a_retry_without_a_recorded_error_keeps_everything() {
        let mut call = call();
        call.begin_attempt();
        (0..2).for_each(|seq| call.add_pending(seq, CallKey(u64::from(seq)), ServiceId(1), 0));
        call.record(0, value("there"));
        assert!(call.drop_from_first_error().is_empty());
        assert_eq!((order(&call), call.pending_children().count()), (vec![0], 1));
    }

    #[test]
    fn a_wait_is_over_when_what_it_names_is_there() {
        let mut call = call();
        call.begin_attempt();
        (0..3).for_each(|seq| call.add_pending(seq, CallKey(u64::from(seq)), ServiceId(1), 0));
        assert_eq!(call.wait_for(&Wait { all: true, seqs: vec![0, 1] }), Suspension::Waiting);
        assert_eq!(call.record(2, value("other")), Suspension::Waiting);
        assert_eq!(call.record(0, value("one")), Suspension::Waiting);
        assert_eq!(call.record(1, value("two")), Suspension::Over);
        assert_eq!(call.wait_for(&Wait { all: false, seqs: vec![0] }), Suspension::Over);
    }
}
