//! What the CLI and the hub say to each other over the control API: JSON, one type per request and answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Paths of the control API. Answers other than 2xx carry a [`Problem`].
pub mod route {
    /// `GET` → [`Status`](super::Status)
    pub const STATUS: &str = "/v1/status";
    /// `POST` [`CallRequest`](super::CallRequest) → [`CallAnswer`](super::CallAnswer); a dropped connection cancels the call.
    pub const CALL: &str = "/v1/call";
    /// `POST` a program's ask, with the values of the worker protocol (`docs/protocol.md`, "Asks from outside"); a dropped
    /// connection cancels the call.
    pub const ASK: &str = "/v1/ask";
    /// `POST` [`ScaleRequest`](super::ScaleRequest) → 204
    pub const SCALE: &str = "/v1/scale";
    /// `POST` [`RestartRequest`](super::RestartRequest) → 204 when the new instances serve.
    pub const RESTART: &str = "/v1/restart";
    /// `POST` [`PauseRequest`](super::PauseRequest) → 204, with `wait` when no call of them runs any more.
    pub const PAUSE: &str = "/v1/pause";
    /// `POST` [`ResumeRequest`](super::ResumeRequest) → 204
    pub const RESUME: &str = "/v1/resume";
    /// `GET` → text for Prometheus.
    pub const METRICS: &str = "/metrics";
    /// `POST` [`CallsRequest`](super::super::calls::CallsRequest) → [`CallsAnswer`](super::super::calls::CallsAnswer)
    pub const CALLS: &str = "/v1/calls";
    /// `POST` [`IdRequest`](super::super::calls::IdRequest) → [`Why`](super::super::calls::Why)
    pub const WHY: &str = "/v1/why";
    /// `POST` [`IdRequest`](super::super::calls::IdRequest) → [`Trace`](super::super::calls::Trace)
    pub const TRACE: &str = "/v1/trace";
    /// `POST` [`IdRequest`](super::super::calls::IdRequest) → [`CallInfo`](super::super::calls::CallInfo), as it was.
    pub const CANCEL: &str = "/v1/cancel";
    /// `POST` [`RetryRequest`](super::super::calls::RetryRequest) → [`Retried`](super::super::calls::Retried), when it is
    /// known what comes of it.
    pub const RETRY: &str = "/v1/retry";
    /// `POST` [`StackRequest`](super::super::calls::StackRequest) → [`Stacks`](super::super::calls::Stacks)
    pub const STACK: &str = "/v1/stack";
    /// `POST` → 202; the hub has ended when `.msx/lock` is free.
    pub const DOWN: &str = "/v1/down";
}

/// Everything `msx ps` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub project: String,
    pub hub: HubStatus,
    pub services: Vec<ServiceStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HubStatus {
    pub pid: u32,
    pub guard_pid: u32,
    /// Version of the interpreter that runs the services.
    pub python: String,
    pub version: String,
    /// Seconds since the hub started.
    pub age_s: f64,
    /// `http://127.0.0.1:8080/`
    pub gateway: String,
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Canonical name.
    pub name: String,
    /// The short name, absent while it is ambiguous.
    pub alias: Option<String>,
    /// The service's own front, `http://127.0.0.1:PORT/`; empty: it has none.
    pub address: String,
    /// `def`, `async` or `command`.
    pub kind: String,
    /// Calls that wait for a slot.
    pub queue: u64,
    /// Calls that wait for another call.
    pub suspended: u64,
    /// Slots of one instance.
    pub slots: u32,
    pub min: u32,
    pub max: u32,
    /// How many instances are wanted now, and by whom: `auto`, `pinned` or `fixed`.
    pub desired: u32,
    pub mode: String,
    /// It is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Calls finished per second over the last 10 s.
    pub rate: f64,
    /// Time from accepted to answered of calls that ended in the last 60 s, in milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// What the autoscaler makes of the last second.
    pub decision: Option<String>,
    /// The last changes of the number of instances, newest first.
    pub why: Vec<Reason>,
    pub instances: Vec<InstanceStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// RFC 3339, UTC.
    pub at: String,
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// `a-1`
    pub id: String,
    pub state: InstanceState,
    pub pid: Option<u32>,
    /// Where a program takes connections: `127.0.0.1:20000`, `unix:/path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Seconds since this process started.
    pub age_s: f64,
    pub restarts: u32,
    pub busy: u32,
    pub parked: u32,
    pub rate: f64,
    /// Cores used, 1.0 = one core.
    pub cpu: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// Why it is not ready: exit status and the last log lines, or what its probe found.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    Starting,
    /// A one-shot at work.
    Running,
    Ready,
    /// A program whose ready probe fails.
    Unready,
    Draining,
    Backoff,
    Crashloop,
    /// A program that did what it is for.
    Completed,
    /// A program that failed and is not started again.
    Failed,
    Stopped,
}

/// One ask from the command line. Arguments are the words as typed; the hub knows the signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallRequest {
    pub service: String,
    pub arguments: Vec<String>,
    /// Milliseconds; absent: until the call ends.
    pub timeout_ms: Option<u64>,
    /// Calls of a service with the same key are one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Answer when the call returned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallAnswer {
    /// As the hub wrote it: the order of keys and the digits of numbers are the program's.
    pub result: Box<RawValue>,
}

/// The media type of the answer when the service is a generator: a [`StreamLine`] on each line.
pub const STREAM_LINES: &str = "application/x-ndjson";

/// What comes of a generator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamLine {
    Item(Box<RawValue>),
    /// The last one of a stream that failed behind its first item.
    Error(Box<Problem>),
    /// The last one of a stream that is complete.
    End,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScaleRequest {
    pub targets: Vec<ScaleTarget>,
    /// Answer only when the instances are ready (or gone).
    pub wait: bool,
    /// Allow more than the service's `max`.
    pub force: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScaleTarget {
    pub service: String,
    /// Absent: back to automatic.
    pub instances: Option<u32>,
}

/// The longest pause: so long calls may wait in the hub's memory.
pub const PAUSE_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PauseRequest {
    pub services: Vec<String>,
    /// Milliseconds after which it goes on by itself.
    pub max_ms: u64,
    /// Answer only when the calls that ran have ended.
    pub wait: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumeRequest {
    pub services: Vec<String>,
}

/// A service that begins no call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Seconds that it has lasted, and that it may still last.
    pub for_s: f64,
    pub left_s: f64,
}

/// No names: every service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestartRequest {
    pub services: Vec<String>,
}

/// Every refusal of the control API, with the HTTP status it travels under.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    pub kind: ProblemKind,
    /// What was being done, to what, and why it failed: one sentence without a full stop. For `Remote` the last line of
    /// a Python traceback, `ValueError: no such order`.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Text of the other side, shown as it is: a remote traceback or log lines.
    pub detail: Option<String>,
    /// For `Remote`: what a program should branch on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Raised>,
}

/// The exception that ended a call; its traceback is the problem's `detail`. The gateway tells the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raised {
    /// `builtins.ValueError`
    pub exception: String,
    pub message: String,
    /// Canonical name of the service where it was raised.
    pub service: String,
    /// Services that it passed through, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// What `add_note` has added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The request itself is wrong (unknown name, wrong argument): exit code 2.
    Usage,
    /// The call raised.
    Remote,
    /// The call did not end in time.
    Timeout,
    /// The hub could not do it now.
    Unavailable,
    /// A defect in msx.
    Internal,
}
