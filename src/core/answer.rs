//! What whoever asked for a root call is told.

use crate::calls::Fault;
use crate::model::Outcome;

/// What a root call ends with.
#[derive(Debug)]
pub enum Answer {
    Done(Outcome),
    /// The deadline of the call has passed.
    Expired,
    Refused(Refusal),
}

/// Why a call was not run.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// Text of the service itself, such as the last lines of its log.
    pub detail: Option<String>,
}

impl Refusal {
    /// The same for a call that another call waits for.
    pub(super) fn fault(self) -> Fault {
        let Self { message, detail, .. } = self;
        Fault::ServiceUnavailable(detail.map_or(message.clone(), |detail| format!("{message}\n{detail}")))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    QueueFull,
    QueueTimeout,
    ScaledToZero,
    CrashLoop,
    /// It would wait for too long, and no more instances can come.
    Overloaded {
        retry_after_s: u32,
    },
    /// The hub takes no new root calls.
    Stopping,
}

impl Reason {
    /// The words for programs, in the order of [`Refused`].
    pub const WORDS: [&str; 6] =
        ["queue_full", "queue_timeout", "scaled_to_zero", "crash_loop", "overloaded", "draining"];

    pub fn word(self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// When to ask again.
    pub fn retry_after_s(self) -> u32 {
        match self {
            Self::QueueFull | Self::QueueTimeout => 1,
            Self::ScaledToZero | Self::CrashLoop => 30,
            Self::Overloaded { retry_after_s } => retry_after_s,
            Self::Stopping => 5,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::QueueFull => 0,
            Self::QueueTimeout => 1,
            Self::ScaledToZero => 2,
            Self::CrashLoop => 3,
            Self::Overloaded { .. } => 4,
            Self::Stopping => 5,
        }
    }
}

/// How many calls were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused([u64; Reason::WORDS.len()]);

impl Refused {
    pub fn count(&mut self, reason: Reason) {
        self.0[reason.index()] += 1;
    }

    pub fn by_word(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::WORDS.into_iter().zip(self.0)
    }
}
