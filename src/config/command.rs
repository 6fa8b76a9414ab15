//! What a service with a `command` is: any program, run as it is, and how msx sees that it is well.

mod expand;
mod fields;
mod lay;

use std::time::Duration;

pub use expand::{PORT, SOCKET, expand, names};
pub(super) use lay::{check, dependency_problem, lay};

/// A program that msx runs.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSpec {
    /// The program and its arguments, with `$PORT` where its port goes, or `$SOCKET`.
    pub argv: Vec<String>,
    pub serving: Serving,
    /// Decides when it has started. Without one, `ready` does; without that, listening; without that, running.
    pub startup: Option<Probe>,
    /// Decides whether it is in the balancer.
    pub ready: Option<Probe>,
    /// Restarts it when it fails.
    pub live: Option<Probe>,
    pub restart: RestartPolicy,
    /// It does something once and ends.
    pub is_oneshot: bool,
}

/// How an instance takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Not that msx knew: it is only supervised.
    Nothing,
    /// On a port of its own, which msx chooses: `$PORT`.
    Port,
    /// On the port of a socket that it inherits (`LISTEN_FDS`).
    Handed,
    /// On a Unix socket, whose path msx chooses: `$SOCKET`.
    Path,
}

/// How msx asks an instance how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub check: Check,
    /// Of a start as a whole (`startup`), else of one attempt.
    pub timeout: Option<Duration>,
    /// Between two attempts.
    pub interval: Option<Duration>,
    /// So many in a row count.
    pub failures: u32,
}

impl Probe {
    pub const FAILURES: u32 = 3;
}

/// One question; what answers well passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `GET` is answered with a status from 200 to 399.
    Http { target: Target, path: String },
    /// A connection is accepted.
    Tcp(Target),
    /// A program ends with 0.
    Exec(Vec<String>),
    /// A line with this text was printed.
    Log(String),
}

/// Where a question goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Where the instance takes connections.
    Own,
    /// `host:port`
    At(String),
}

/// When a program that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// A service that must be so far before another one starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub service: String,
    pub until: Until,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its process runs.
    Started,
    Ready,
    /// A one-shot that did what it is for.
    Completed,
}

impl Until {
    pub const NAMES: [(&str, Self); 3] =
        [("ready", Self::Ready), ("completed", Self::Completed), ("started", Self::Started)];

    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, until)| *until == self).map_or("", |(name, _)| name)
    }
}
