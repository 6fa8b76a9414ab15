//! How calls are shown: what the control API answers about them. Times are in seconds.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::control::Pause;

/// Where a call is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallStatus {
    /// Waits for a slot, to begin or to begin again.
    Queued,
    Running,
    /// Waits for other calls, in its instance, without a slot.
    Parked,
    /// Parked, its answers are there, and it waits for a slot.
    Resuming,
    /// Gives up its place in its instance.
    Unwinding,
    /// Waits for other calls, in no instance.
    Evicted,
    /// Has failed, and is tried again after a pause.
    Backoff,
    /// Waits for its turn among the calls under its key.
    Held,
    /// Gets the outcome of another call, under the same idempotency key.
    Following,
    /// A batch runs for it and for others.
    Batched,
    /// Its replay has done something else than before, and somebody must see to it.
    Paused,
    Returned,
    Raised,
    /// Ended without having run.
    Refused,
    Cancelled,
}

impl CallStatus {
    pub const ALL: [Self; 15] = [
        Self::Queued,
        Self::Running,
        Self::Parked,
        Self::Resuming,
        Self::Unwinding,
        Self::Evicted,
        Self::Backoff,
        Self::Held,
        Self::Following,
        Self::Batched,
        Self::Paused,
        Self::Returned,
        Self::Raised,
        Self::Refused,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Resuming => "resuming",
            Self::Unwinding => "unwinding",
            Self::Evicted => "evicted",
            Self::Backoff => "backoff",
            Self::Held => "held",
            Self::Following => "following",
            Self::Batched => "batched",
            Self::Paused => "paused",
            Self::Returned => "returned",
            Self::Raised => "raised",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which calls; absent: all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CallsRequest {
    pub status: Option<CallStatus>,
    /// A name or an alias.
    pub service: Option<String>,
    /// The longest list of live calls, and of ended ones, to answer.
    pub limit: u32,
}

/// Everything that `msx calls` shows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CallsAnswer {
    /// Roots first, the oldest first.
    pub live: Vec<CallInfo>,
    /// Root calls that have ended, the last one first.
    pub ended: Vec<CallInfo>,
    /// How many more of either there are.
    pub more_live: u64,
    pub more_ended: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallInfo {
    pub id: String,
    /// Canonical name.
    pub service: String,
    pub status: CallStatus,
    /// `a-1`: where it is, or was last.
    pub instance: Option<String>,
    /// Since it was accepted.
    pub age_s: f64,
    /// How long it has had this status.
    pub since_s: f64,
    /// From accepted to answered, if it has ended.
    pub took_s: Option<f64>,
    /// Calls that it made, and those of them that have not ended.
    pub children: u64,
    pub unfinished: u64,
    /// What it says that it is about.
    pub summary: Option<String>,
    /// The batch that it is, or was in last.
    pub batch: Option<BatchInfo>,
}

/// A batch of calls, which is a call itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchInfo {
    /// Calls that it was made of.
    pub size: u32,
    /// Absent: it is the call itself that is told of.
    pub id: Option<String>,
}

impl BatchInfo {
    pub fn text(&self) -> String {
        match &self.id {
            Some(id) => format!("in the batch {id} of {}", self.size),
            None => format!("batch of {}", self.size),
        }
    }
}

/// One call, as a person named it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdRequest {
    pub id: String,
}

/// Why a call has no answer yet: itself, then what it waits for, and so on down to what runs or is queued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub chain: Vec<WhyStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyStep {
    pub call: CallInfo,
    /// The calls that it waits for.
    pub waits_for: Option<WaitsFor>,
    /// What stands between it and a slot.
    pub queue: Option<QueueInfo>,
    /// Why it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PausedInfo>,
}

/// The first thing that a replay did otherwise than an attempt before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub seq: u32,
    pub before: Described,
    /// Absent: it was not asked for again.
    pub now: Option<Described>,
}

/// What a call asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// `shop.charge('4000-1')`
    pub call: String,
    /// `shop/orders.py:41 in place_order`
    pub line: Option<String>,
}

impl Difference {
    /// The message of a NonDeterminismError. The SDK says the same (`_differences.py`).
    pub fn explain(&self, service: &str) -> String {
        let (place, [before, now]) = (self.place(), self.lines());
        format!(
            "{service} was run again and did something else than before{place}:\n  {before}\n  {now}\n\
             what comes from random, time, I/O and the like belongs into msx.run(…)"
        )
    }

    /// ` at its call number 3`; nothing where the function has ended before it.
    pub fn place(&self) -> String {
        self.now.as_ref().map_or_else(String::new, |_| format!(" at its call number {}", self.seq))
    }

    /// `before: …` and `now:    …`
    pub fn lines(&self) -> [String; 2] {
        let now = self.now.as_ref().map_or_else(|| "no such call".to_owned(), Described::to_string);
        [format!("before: {}", self.before), format!("now:    {now}")]
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.call)?;
        self.line.iter().try_for_each(|line| write!(f, " at {line}"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PausedInfo {
    pub difference: Difference,
    /// What is forgotten when it goes on from the difference, and so is run again if it is asked for again: some of it.
    pub dropped: Vec<Described>,
    /// How much that is.
    pub dropped_count: u64,
    /// After this time it fails.
    pub left_s: f64,
}

/// Run a paused call again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetryRequest {
    pub id: String,
    /// Go on from the difference at this seq, which was shown.
    pub force: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retried {
    pub call: CallInfo,
    pub outcome: RetryOutcome,
    /// Of the new replay, if it differs, too.
    pub paused: Option<PausedInfo>,
}

/// What has come of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOutcome {
    /// It differs again.
    Paused,
    /// It has come as far as what is recorded, and goes on.
    GoesOn,
    /// It waits for a slot or runs, and has not differed so far.
    UnderWay,
    Ended,
}

/// The next step of the chain is the oldest of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitsFor {
    pub calls: u64,
    /// Whether the answer of all of them is needed, or of one of them. (`all` counts only what is still missing.)
    pub all: bool,
    /// How many of them have which status.
    pub by_status: Vec<(CallStatus, u64)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// From 1, among `queued`. For a call that resumes: among those that resume in its instance.
    pub position: u64,
    pub queued: u64,
    /// Slots of the instances that it may run in, and those of them that are held.
    pub busy: u32,
    pub slots: u32,
    /// Instances that serve.
    pub ready: u32,
    /// Some of the calls that hold the slots, the oldest first.
    pub holders: Vec<Holder>,
    /// The last decision of the autoscaler.
    pub decision: Option<String>,
    /// The service is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// A call that holds a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Absent: it was answered (cancelled, or out of time), but its code still runs.
    pub id: Option<String>,
    pub instance: String,
    /// How long it has held the slot.
    pub for_s: f64,
}

/// The calls of a tree, each before those that it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// How long ago the first call was accepted. All other times count from then.
    pub age_s: f64,
    /// How long it took, or has taken so far.
    pub took_s: f64,
    pub calls: Vec<TraceCall>,
    /// Calls and waits of the whole tree that are not shown: it has more than are kept.
    pub lost: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceCall {
    pub id: String,
    pub service: String,
    /// Where it ran last.
    pub instance: Option<String>,
    pub status: CallStatus,
    /// 0: the first call.
    pub depth: u32,
    pub queued_s: f64,
    pub started_s: Option<f64>,
    pub ended_s: Option<f64>,
    pub waits: Vec<TraceWait>,
    pub summary: Option<String>,
    /// The batch that it is, or was in last.
    pub batch: Option<BatchInfo>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceWait {
    pub parked_s: f64,
    /// When its answers were there.
    pub over_s: Option<f64>,
    /// When it had a slot again.
    pub resumed_s: Option<f64>,
}

/// A service, an instance or a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackRequest {
    pub target: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stacks {
    pub instances: Vec<InstanceStacks>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceStacks {
    /// `a-1`
    pub instance: String,
    /// Why there are no stacks.
    pub problem: Option<String>,
    pub stacks: Vec<StackInfo>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StackInfo {
    /// Of the thread or the task.
    pub name: String,
    /// Whose code it runs.
    pub call: Option<String>,
    /// `running`, `parked` or `idle`.
    pub state: String,
    /// As Python prints it.
    pub text: String,
}
