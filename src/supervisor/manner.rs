//! What the supervisor may expect of the processes of a service, by what its program is. Pure.

use std::time::Duration;

use super::restarts::Verdict;
use crate::config::command::{CommandSpec, RestartPolicy, Serving};
use crate::config::spec::ServiceSpec;

/// A process that has not started by then has failed, unless its service says otherwise.
const START_BOUND: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    pub part: Part,
    /// How long a start may take.
    pub start_bound: Option<Duration>,
    restart: RestartPolicy,
}

/// What its processes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Calls, over the channels of msx.
    Worker,
    /// Requests, on a port or socket.
    Server,
    /// Something of their own.
    Loner,
    /// Something of their own, once.
    Oneshot,
}

impl Part {
    /// Whether the core hands it nothing.
    pub fn is_alone(self) -> bool {
        matches!(self, Self::Loner | Self::Oneshot)
    }
}

impl Manner {
    pub const WORKER: Self =
        Self { part: Part::Worker, start_bound: Some(START_BOUND), restart: RestartPolicy::Always };

    pub fn of(spec: &ServiceSpec) -> Self {
        let Some(command) = spec.command() else { return Self::WORKER };
        let part = match command.serving {
            _ if command.is_oneshot => Part::Oneshot,
            Serving::Nothing => Part::Loner,
            Serving::Port | Serving::Handed | Serving::Path => Part::Server,
        };
        let start_bound = (part != Part::Oneshot).then(|| start_bound(command));
        Self { part, start_bound, restart: command.restart }
    }

    /// What follows an end that nobody asked for, if it is not for the restarts to say.
    pub fn verdict(&self, is_success: bool) -> Option<Verdict> {
        match (self.restart, is_success) {
            (RestartPolicy::Always, _) | (RestartPolicy::OnFailure, false) => None,
            (RestartPolicy::OnFailure | RestartPolicy::Never, true) => Some(Verdict::Complete),
            (RestartPolicy::Never, false) => Some(Verdict::Fail),
        }
    }
}

fn start_bound(command: &CommandSpec) -> Duration {
    command.startup.as_ref().and_then(|probe| probe.timeout).unwrap_or(START_BOUND)
}
