//! What goes into the pure part of the supervisor and what comes out of it.

use std::time::Duration;

use super::Hello;
use crate::model::{InstanceId, ServiceId, Upstream, WorkerKind};
use crate::protocol::events::EventKind;
use crate::registry::TooMany;

/// Names a request that waits for its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How a process ended, and the last lines of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fall {
    pub status: String,
    pub log: Vec<String>,
    /// It ended with status 0.
    pub is_success: bool,
    /// It ended for something that is not its own.
    pub is_excused: bool,
}

impl Fall {
    /// It did not end well.
    pub fn new(status: impl Into<String>, log: Vec<String>) -> Self {
        Self { status: status.into(), log, is_success: false, is_excused: false }
    }

    /// The status and, below it, the log.
    pub fn text(&self) -> String {
        std::iter::once(&self.status).chain(&self.log).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// What is known of how a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not started so far, and why.
    NotYet(String),
    /// It has started, and takes connections here.
    Up(Option<Upstream>),
    /// It may be given requests.
    Fit,
    /// It may not, and why.
    Unfit(String),
    /// It must be restarted, and why.
    Dead(String),
}

/// What somebody may want to know later, of a service or of an instance of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It ended unasked, and is started again after this time.
    Exited {
        status: String,
        again: Duration,
        is_loop: bool,
    },
    /// It ended, and is not started again.
    Done {
        status: String,
        is_well: bool,
    },
    /// It is ready after it had ended unasked.
    Recovered,
    Replaced {
        why: String,
    },
    /// A rolling restart is over.
    Rolled,
    RollFailed {
        why: String,
    },
    /// Somebody fixed the number of instances (`None`: gave it back to the autoscaler).
    Pinned {
        from: u32,
        to: Option<u32>,
    },
}

impl Happening {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Exited { is_loop: false, .. } => EventKind::Exited,
            Self::Exited { is_loop: true, .. } => EventKind::Crashloop,
            Self::Done { is_well: true, .. } => EventKind::Completed,
            Self::Done { is_well: false, .. } => EventKind::Failed,
            Self::Recovered => EventKind::Recovered,
            Self::Replaced { .. } => EventKind::Replaced,
            Self::Rolled => EventKind::Rolled,
            Self::RollFailed { .. } => EventKind::RollFailed,
            Self::Pinned { to: Some(_), .. } => EventKind::Pinned,
            Self::Pinned { to: None, .. } => EventKind::Released,
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Exited { status, again, .. } => {
                format!("{status}; started again in {:.1} s", again.as_secs_f64())
            }
            Self::Done { status, .. } => format!("{status}; not started again"),
            Self::Recovered => "ready again".to_owned(),
            Self::Replaced { why } | Self::RollFailed { why } => why.clone(),
            Self::Rolled => "all its instances are new".to_owned(),
            Self::Pinned { from, to: Some(to) } => format!("{from} → {to}: asked for"),
            Self::Pinned { to: None, .. } => "scales itself again".to_owned(),
        }
    }

    /// Instances before and after.
    pub fn step(&self) -> Option<(u32, u32)> {
        match self {
            Self::Pinned { from, to: Some(to) } => Some((*from, *to)),
            _ => None,
        }
    }
}

/// Why something that was asked of the supervisor did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{instance} did not stay up: {}", fall.status)]
    Fell { instance: String, fall: Fall },
    #[error("{service} is not as it was asked for after {seconds} s: {pending}")]
    Late { service: String, seconds: u64, pending: String },
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("msx is stopping")]
    Stopping,
}

impl Failure {
    /// What to do next.
    pub fn help(&self) -> Option<String> {
        match self {
            Failure::Fell { instance, .. } => {
                let service = instance.rsplit_once('-').map_or(instance.as_str(), |(service, _)| service);
                Some(format!("`msx logs {service}` shows the whole log; msx keeps trying to start it"))
            }
            Failure::Late { .. } => {
                Some("it goes on in the background; `msx ps` shows how far it is".to_owned())
            }
            Failure::TooMany(error) => Some(error.help().to_owned()),
            Failure::Stopping => None,
        }
    }

    /// The last lines of the log of what failed.
    pub fn detail(&self) -> Option<String> {
        match self {
            Failure::Fell { fall, .. } if !fall.log.is_empty() => Some(fall.log.join("\n")),
            _ => None,
        }
    }
}

/// What the fleet is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// The process runs.
    Spawned {
        instance: InstanceId,
        pid: u32,
    },
    Hello {
        instance: InstanceId,
        hello: Hello,
    },
    /// What the probes of a program found.
    Probed {
        instance: InstanceId,
        health: Health,
    },
    Severed {
        instance: InstanceId,
        why: Option<String>,
    },
    Drained {
        instance: InstanceId,
    },
    Unresponsive {
        instance: InstanceId,
        why: String,
    },
    /// The leader of the group ended; `jitter` is from -1 to 1.
    Exited {
        instance: InstanceId,
        fall: Fall,
        jitter: f64,
    },
    /// Its group is empty.
    Emptied {
        instance: InstanceId,
    },
    /// The autoscaler's wish.
    Steer {
        service: ServiceId,
        instances: u32,
    },
    /// A person's; `None` releases.
    Scale {
        service: ServiceId,
        target: Option<u32>,
        wait: bool,
        ticket: Ticket,
    },
    Restart {
        service: ServiceId,
        replay_now: bool,
        ticket: Ticket,
    },
    /// Answered when every service has what it wants, or by the first start that fails.
    AwaitReady {
        ticket: Ticket,
    },
    /// Answered by [`Effect::Ended`].
    Shutdown,
    /// No more patience with what is still there.
    Kill,
    /// A deadline passed.
    Tick,
}

/// What the fleet wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The core is told that it is of this kind.
    Spawn {
        instance: InstanceId,
        kind: WorkerKind,
    },
    /// The service's `stop.signal` to the group.
    Terminate {
        instance: InstanceId,
    },
    /// KILL to the group.
    Kill {
        instance: InstanceId,
    },
    /// An instance takes connections here, and will be told ready.
    Serve {
        instance: InstanceId,
        upstream: Upstream,
    },
    Ready {
        instance: InstanceId,
    },
    /// No new work for it until it is ready again.
    Unready {
        instance: InstanceId,
    },
    Drain {
        instance: InstanceId,
        replay_now: bool,
    },
    Finish {
        instance: InstanceId,
    },
    Gone {
        instance: InstanceId,
        reason: String,
    },
    Down {
        service: ServiceId,
        reason: Option<String>,
    },
    /// To be remembered; `instance` is its number.
    Tell {
        service: ServiceId,
        instance: Option<u32>,
        what: Happening,
    },
    /// Whether the service was told to have no instance at all.
    Zero {
        service: ServiceId,
        is_zero: bool,
    },
    Reply {
        ticket: Ticket,
        outcome: Result<(), Failure>,
    },
    /// The shutdown is complete, but for the process groups with these leaders.
    Ended {
        survivors: Vec<u32>,
    },
}
