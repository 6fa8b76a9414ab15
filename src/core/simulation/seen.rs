//! What a simulation has come by: one that never sees an eviction says nothing about evictions.

use crate::core::{Answer, Reason};
use crate::model::Outcome;
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{FromWorker, ToWorker};

macro_rules! sights {
    ($($sight:ident),* $(,)?) => {
        /// Things that happen in a world.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sight { $($sight),* }

        const SIGHTS: &[Sight] = &[$(Sight::$sight),*];
    };
}

sights! {
    Run, Replay, Resume, Evict, Calls, CallsOfRunning, WaitAny, Return, Raise, Evicted, GiveBack, Memo, Alarm, Listen,
    Summary, AskedBack, Cancelled, RunTimeout, Unresponsive, Orchestrated, Drained, Crash, Outage, ScaledToZero, Roll,
    Late, Rogue, Look, Held, Unheld, Cold, CancelledByHand, Left, Value, Expired, QueueFull, QueueTimeout, RefusedAtZero, CrashLoop,
    Stopping, Abandoned, TimedOut, InstanceDied, NonDeterminism, Unavailable, CancelledError,
    RaisedError, Overloaded,
}

/// How often each was seen.
#[derive(Clone, Debug)]
pub struct Seen([u64; SIGHTS.len()]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; SIGHTS.len()])
    }
}

impl Seen {
    pub fn count(&mut self, sight: Sight) {
        self.0[sight as usize] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<Sight> {
        SIGHTS.iter().copied().filter(|sight| self.0[*sight as usize] == 0).collect()
    }

    pub fn sent(&mut self, message: &ToWorker) {
        self.count(match message {
            ToWorker::Run { attempt: 1, .. } => Sight::Run,
            ToWorker::Run { .. } => Sight::Replay,
            ToWorker::Resume { .. } => Sight::Resume,
            ToWorker::Evict { .. } => Sight::Evict,
        });
    }

    pub fn message(&mut self, message: &FromWorker) {
        self.count(match message {
            FromWorker::Calls { wait: None, .. } => Sight::CallsOfRunning,
            FromWorker::Calls { wait: Some(wait), .. } if !wait.all => Sight::WaitAny,
            FromWorker::Calls { .. } => Sight::Calls,
            FromWorker::Return { .. } => Sight::Return,
            FromWorker::Raise { .. } => Sight::Raise,
            FromWorker::Evicted { .. } => Sight::Evicted,
            FromWorker::GiveBack { .. } => Sight::GiveBack,
            FromWorker::Memo { .. } => Sight::Memo,
            FromWorker::Alarm { .. } => Sight::Alarm,
            FromWorker::Listen { .. } => Sight::Listen,
            FromWorker::Summary { .. } => Sight::Summary,
            FromWorker::Answers { .. }
            | FromWorker::Differs { .. }
            | FromWorker::Item { .. }
            | FromWorker::Close { .. } => unreachable!("no simulated worker says {message:?}"),
        });
    }

    pub fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Done(Outcome::Value(_)) => self.count(Sight::Value),
            Answer::Done(Outcome::Error(error)) => self.error(error),
            Answer::Expired => self.count(Sight::Expired),
            Answer::Refused(refusal) => self.refusal(refusal.reason),
        }
    }

    fn error(&mut self, error: &[u8]) {
        self.count(match RemoteError::decode(error).kind.as_str() {
            "msx.TimeoutError" => Sight::TimedOut,
            "msx.InstanceDied" => Sight::InstanceDied,
            "msx.NonDeterminismError" => Sight::NonDeterminism,
            "msx.ServiceUnavailable" => Sight::Unavailable,
            "msx.Cancelled" => Sight::CancelledError,
            _ => Sight::RaisedError,
        });
    }

    pub fn refusal(&mut self, reason: Reason) {
        self.count(match reason {
            Reason::QueueFull => Sight::QueueFull,
            Reason::QueueTimeout => Sight::QueueTimeout,
            Reason::ScaledToZero => Sight::RefusedAtZero,
            Reason::CrashLoop => Sight::CrashLoop,
            Reason::Overloaded { .. } => Sight::Overloaded,
            Reason::Stopping => Sight::Stopping,
        });
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for sight in SIGHTS {
            write!(f, "{sight:?} {}, ", self.0[*sight as usize])?;
        }
        Ok(())
    }
}
