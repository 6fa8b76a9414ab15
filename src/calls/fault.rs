//! Errors that the hub itself answers a call with.

use std::time::Duration;

use bytes::Bytes;

use crate::model::ServiceName;
use crate::protocol::calls::Difference;
use crate::protocol::error::RemoteError;

/// Why a call fails without its function having raised.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It ran longer than `run_timeout`; `stack` is the Python stack of the running code, if the worker gave it.
    RunTimeout {
        bound: Duration,
        stack: String,
    },
    /// Its caller waited so long for it, and no longer.
    Deadline(Duration),
    ServiceUnavailable(String),
    InstanceDied(String),
    NonDeterminism(Box<Difference>),
    LimitExceeded(String),
    Cancelled(String),
    /// The worker did not answer a batch call by call.
    Answers {
        expected: usize,
        got: usize,
    },
    /// The worker of a stream did not send its items in order.
    Items {
        expected: u64,
        got: u64,
    },
    /// It was asked for in a way that it is not made for.
    Usage(String),
    /// Its idempotency key belongs to another call; and why it cannot be the same one.
    IdempotencyConflict(&'static str),
}

impl Fault {
    /// The error payload, as if `service` had raised it.
    pub fn payload(self, service: &ServiceName) -> Bytes {
        let service = service.as_str();
        let error = match self {
            Self::RunTimeout { bound, stack } => {
                let bound = bound.as_secs_f64();
                let message = format!(
                    "{service} ran for more than {bound} s (its run_timeout) without waiting for another call"
                );
                RemoteError::timeout(service, message, stack)
            }
            Self::Deadline(waited) => {
                let waited = waited.as_secs_f64();
                let message = format!(
                    "{service} did not answer within {waited} s, the timeout of this call, so it was cancelled"
                );
                RemoteError::timeout(service, message, "")
            }
            Self::ServiceUnavailable(text) => RemoteError::service_unavailable(service, text),
            Self::InstanceDied(text) => RemoteError::instance_died(service, text),
            Self::NonDeterminism(difference) => {
                RemoteError::non_determinism(service, difference.explain(service))
            }
            Self::Answers { expected, got } => RemoteError::broken(
                service,
                format!("a worker of {service} answered {got} calls, but was given {expected} to run"),
            ),
            Self::Items { expected, got } => RemoteError::broken(
                service,
                format!("a worker of {service} sent item {got} of its stream where {expected} comes next"),
            ),
            Self::Usage(text) => RemoteError::usage(service, text),
            Self::Cancelled(text) => RemoteError::cancelled(service, text),
            Self::LimitExceeded(text) => RemoteError::limit_exceeded(service, text),
            Self::IdempotencyConflict(why) => RemoteError::idempotency_conflict(
                service,
                format!(
                    "{service} was called under the idempotency key of another call, and {why}; \
                     a key names one call: make a new one for each"
                ),
            ),
        };
        error.encode()
    }
}
