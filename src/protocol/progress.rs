//! What a starting hub tells the terminal that started it: directly, or as lines of JSON when it is detached.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One step of `msx up`, in the order in which they happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Something slow is under way (the Python environment); `total` is 0 while it is unknown.
    Preparing { what: String, done: u64, total: u64 },
    /// Services were found: canonical names and how many instances each starts with.
    Found { services: Vec<(String, u32)> },
    /// Instances of a service that are ready, of those wanted; `state` is the worst among them, as in `msx ps`.
    Service { name: String, ready: u32, wanted: u32, state: Cow<'static, str> },
    /// The gateway answers here, and so does the control API: `msx up -d` returns.
    Gateway { url: String },
    /// A line for the person: a port that gave way, leftovers that were ended.
    Note(String),
    /// Every service is ready.
    Ready,
    /// Draining has begun; the second signal kills.
    Stopping,
}
