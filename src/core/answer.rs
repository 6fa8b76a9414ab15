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
    /// The hub takes no new root calls.
    Stopping,
}

impl Reason {
    /// For programs: the header `x-msx-reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::ScaledToZero => "scaled_to_zero",
            Self::CrashLoop => "crash_loop",
            Self::Stopping => "draining",
        }
    }

    /// When it may be worth trying again.
    pub fn retry_after_s(self) -> u32 {
        match self {
            Self::QueueFull | Self::QueueTimeout => 1,
            Self::ScaledToZero | Self::CrashLoop => 30,
            Self::Stopping => 5,
        }
    }
}
