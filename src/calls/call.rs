//! One call: its arguments, its children in the order it made them, and what it waits for.

use std::time::Instant;

use bytes::Bytes;

use crate::balancer::Rank;
use crate::model::{CallKey, InstanceId, Outcome, ServiceId};
use crate::protocol::worker::Wait;

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In its service's queue, for its first run or for a replay.
    Queued(Rank),
    /// Holds a slot of this instance.
    Running(InstanceId),
    /// Suspended in place. `resuming`: what it waited for is there, and it asked for a slot.
    Parked { instance: InstanceId, resuming: bool },
    /// Told to unwind; the worker has not acknowledged it yet.
    Unwinding(InstanceId),
    /// Suspended, with nothing left in any instance.
    Evicted,
    /// Answered by the hub itself.
    Hub,
}

/// One child call or memo, found by its seq.
#[derive(Clone, Debug)]
pub enum Child {
    Pending {
        call: CallKey,
        service: ServiceId,
        ident: u32,
        /// Number of the wait that waits for it.
        wait: u32,
    },
    Recorded {
        /// `None`: a memo.
        service: Option<ServiceId>,
        ident: u32,
        outcome: Outcome,
    },
}

/// Whether what a call waits for is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    Waiting,
    Over,
}

#[derive(Debug)]
pub struct Call {
    pub service: ServiceId,
    /// The waiting call and the seq there; `None` for a root.
    pub parent: Option<(CallKey, u32)>,
    pub root: CallKey,
    /// Counts root calls: smaller is older.
    pub root_age: u64,
    pub depth: u32,
    pub arguments: Bytes,
    /// Grows with every run; messages of older ones are ignored.
    pub attempt: u32,
    pub place: Place,
    pub accepted: Instant,
    /// Bytes of the results recorded in this call.
    pub recorded_bytes: u64,
    children: Vec<Child>,
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
            depth: 0,
            arguments,
            attempt: 0,
            place,
            accepted,
            recorded_bytes: 0,
            children: Vec::new(),
            completed: Vec::new(),
            delivered: 0,
            wait_number: 0,
            missing: 0,
        }
    }

    pub fn child(&self, seq: u32) -> Option<&Child> {
        self.children.get(seq as usize)
    }

    /// The seq that the next new child must have.
    pub fn next_seq(&self) -> u32 {
        self.children.len() as u32
    }

    pub fn add_pending(&mut self, call: CallKey, service: ServiceId, ident: u32) {
        self.children.push(Child::Pending { call, service, ident, wait: 0 });
    }

    /// Records a result that was there at once: a memo, or a child that could not be made.
    pub fn add_recorded(&mut self, service: Option<ServiceId>, ident: u32, outcome: Outcome) {
        self.completed.push(self.next_seq());
        self.recorded_bytes += bytes_of(&outcome);
        self.children.push(Child::Recorded { service, ident, outcome });
    }

    /// Records the result of a pending child.
    pub fn record(&mut self, seq: u32, outcome: Outcome) -> Suspension {
        if let Some(child) = self.children.get_mut(seq as usize)
            && let Child::Pending { service, ident, wait, .. } = *child
        {
            self.recorded_bytes += bytes_of(&outcome);
            *child = Child::Recorded { service: Some(service), ident, outcome };
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
        let mut pending = 0;
        for seq in &wait.seqs {
            if let Some(Child::Pending { wait, .. }) = self.children.get_mut(*seq as usize)
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

    pub fn suspension(&self) -> Suspension {
        if self.missing == 0 { Suspension::Over } else { Suspension::Waiting }
    }

    /// A new attempt begins: it is told everything that is recorded.
    pub fn begin_attempt(&mut self) {
        self.attempt += 1;
        self.delivered = self.completed.len();
        self.wait_number += 1;
        self.missing = 0;
    }

    /// All recorded results in the order in which they came.
    pub fn recorded(&self) -> impl Iterator<Item = (u32, Option<ServiceId>, u32, &Outcome)> {
        self.completed.iter().filter_map(|seq| match &self.children[*seq as usize] {
            Child::Recorded { service, ident, outcome } => Some((*seq, *service, *ident, outcome)),
            Child::Pending { .. } => None,
        })
    }

    /// Results that came since this attempt was last told; memos are its own and known to it.
    pub fn take_undelivered(&mut self) -> Vec<(u32, Outcome)> {
        let fresh = &self.completed[self.delivered..];
        let told = fresh.iter().filter_map(|seq| match &self.children[*seq as usize] {
            Child::Recorded { service: Some(_), outcome, .. } => Some((*seq, outcome.clone())),
            _ => None,
        });
        let told = told.collect();
        self.delivered = self.completed.len();
        told
    }

    /// Children that have not ended.
    pub fn pending_children(&self) -> impl Iterator<Item = CallKey> {
        self.children.iter().filter_map(|child| match child {
            Child::Pending { call, .. } => Some(*call),
            Child::Recorded { .. } => None,
        })
    }
}

pub fn bytes_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Value(payload) | Outcome::Error(payload) => payload.len() as u64,
    }
}
