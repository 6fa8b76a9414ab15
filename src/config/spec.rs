//! The validated settings that the other rooms read. Every value here is in range and complete.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::command::{CommandSpec, Dependency, Serving};
use crate::model::{Language, ServiceName};

/// Settings of one service after defaults, decorator, manifest and overrides were laid over each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    pub name: ServiceName,
    pub program: Program,
    /// Calls of a `def` service that may run at once in an instance (`threads`) or of an `async def` one (`concurrency`),
    /// or requests of a program (`slots`).
    pub slots: u32,
    /// Calls that may stay parked in one instance beyond the slots.
    pub max_parked: u32,
    pub instances: InstanceRange,
    pub scale: ScalePolicy,
    pub queue: QueuePolicy,
    /// The longest uninterrupted run of a call in a slot.
    pub run_timeout: Duration,
    pub retries: RetryPolicy,
    /// What was begun may be done once more.
    pub idempotent: bool,
    /// Calls under one key that may run at once.
    pub concurrency_key: Option<u32>,
    /// Its function is given the arguments of several calls at once.
    pub batch: Option<BatchPolicy>,
    pub on_nondeterminism: OnNondeterminism,
    /// Whether the gateway may call it.
    pub expose: bool,
    /// Address of the service's own front; `None`: a free port, kept in `.msx/`.
    pub listen: Option<SocketAddr>,
    /// Services that must be so far before this one starts.
    pub depends_on: Vec<Dependency>,
    /// `env_file` and then `env`, laid over the hub's environment.
    pub env: BTreeMap<String, String>,
    pub cwd: PathBuf,
    /// Paths whose changes restart it under `up --watch`; empty: the files of its module.
    pub watch: Vec<PathBuf>,
    pub stop: StopPolicy,
}

/// What its instances run.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// A function of the user's.
    Function {
        language: Language,
        /// The module that an instance imports: by its name in Python, by its file below the project in Node.
        module: String,
    },
    /// Any program, as it is.
    Command(Box<CommandSpec>),
}

impl ServiceSpec {
    /// What there is to know of its program, if it is no function.
    pub fn command(&self) -> Option<&CommandSpec> {
        match &self.program {
            Program::Command(command) => Some(command),
            Program::Function { .. } => None,
        }
    }

    /// Whether msx hands it calls or requests.
    pub fn is_balanced(&self) -> bool {
        self.command().is_none_or(|command| command.serving != Serving::Nothing)
    }
}

/// The most instances that a service may have, whoever asks: they are processes of one machine.
pub const INSTANCES_MAX: u32 = 1_024;

/// How many instances: fixed when `min == max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceRange {
    pub min: u32,
    pub max: u32,
}

/// See design "Autoscaler": the targets that `plan` steers to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalePolicy {
    /// Share of the slots that should be busy.
    pub utilization: f64,
    /// Share of the cores an instance can use that should be busy.
    pub cpu: f64,
    /// No scale-up while the machine is busier than this share; 1.0 switches it off.
    pub machine: f64,
    pub down_after: Duration,
    /// Without a call for so long there is no instance, whatever the `min` is; `None`: never fewer than that.
    pub idle_to_zero: Option<Duration>,
}

impl ServiceSpec {
    /// Whether the manifest leaves the autoscaler no choice.
    pub fn is_fixed(&self) -> bool {
        self.instances.min == self.instances.max && self.scale.idle_to_zero.is_none()
    }

    /// The fewest instances that it ever has by itself.
    pub fn fewest(&self) -> u32 {
        if self.scale.idle_to_zero.is_some() { 0 } else { self.instances.min }
    }
}

/// Bounds of root calls that wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    pub max: u32,
    pub timeout: Duration,
}

/// What follows when a call that had begun fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often it is tried again.
    pub max: u32,
    /// The pause before the first retry; each further one is twice as long.
    pub backoff: Duration,
}

impl RetryPolicy {
    /// The first pause where nobody says otherwise.
    pub const BACKOFF: Duration = Duration::from_millis(100);
    pub const NONE: Self = Self { max: 0, backoff: Self::BACKOFF };
    /// Retries of a service that says no more than `idempotent`.
    pub const OF_IDEMPOTENT: u32 = 3;
}

/// Which calls one run of a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPolicy {
    /// The most.
    pub size: u32,
    /// How long the first of them waits for more while a slot is free.
    pub within: Duration,
}

/// What follows when a replay does something else than an attempt before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNondeterminism {
    /// The call fails.
    Fail,
    /// It is kept until somebody sees to it.
    Pause,
}

/// How an instance is stopped after its drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// Signal number sent to the process group.
    pub signal: i32,
    pub grace: Duration,
}
