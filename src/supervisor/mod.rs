//! Instances and what becomes of them: started, restarted, scaled, rolled, drained, stopped.
//!
//! One task owns all of it. What it decides is pure and stands in [`fleet`] and below; what it does is in `actor` and
//! in one `keeper` per process:
//!
//! ```text
//!  handle ──commands──▶ actor ──events──▶ fleet: services: places (state, restarts), reconcile, roll
//!  shards ──inbox─────▶   │   ◀─effects──
//!                         ├── registry, progress
//!                         ├── core (Outward)
//!                         └── keepers ◀──▶ guard
//! ```
//!
//! What holds:
//! - News of a process carries its `Generation`, so what comes late cannot touch its successor.
//! - A command is answered after its effect, and never waits without a bound.
//! - Whatever ends a process, its group is killed and proven empty before a shutdown is complete.
//! - A busy instance is not stopped to make the service smaller or newer; only msx's own end, or a call that ignores
//!   its `run_timeout`, does that.

mod actor;
mod event;
mod fleet;
mod inbox;
mod keeper;
mod launch;
pub mod logs;
mod order;
mod place;
mod publish;
pub mod reconcile;
mod remnant;
mod restarts;
mod roll;
mod service;
mod state;
#[cfg(test)]
mod tests;
pub mod watch;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::events::Events;
use crate::guard::Guard;
use crate::model::{InstanceId, ServiceId, WorkerKind};
use crate::protocol::progress::Progress;
use crate::protocol::signature::Signature;
use crate::protocol::worker::Channels;
use crate::registry::Registry;
use actor::{Actor, Command, Reply};
pub use event::Failure;
use fleet::Fleet;
use inbox::{Inbox, Notice};
pub use launch::{NodeProgram, Settings};
use logs::LogStore;
pub use order::OrderError;

/// Commands that wait for the task; who sends more waits.
const COMMANDS_MAX: usize = 64;

/// What the supervisor tells the core.
#[derive(Debug)]
pub enum Outward {
    /// An instance is being started; these are the hub's ends of its channels.
    Attach { instance: InstanceId, channels: Channels, slots: u32, max_parked: u32, kind: WorkerKind },
    /// It said hello and may receive work.
    Ready { instance: InstanceId },
    /// No new work for it; to be answered by [`Supervisor::drained`]. It may come twice: the second time with
    /// `replay_now`, when parked calls have waited there long enough.
    Drain { instance: InstanceId, replay_now: bool },
    /// Send it the `drain` message, upon which it runs its `on_stop` hooks and exits.
    Finish { instance: InstanceId },
    /// Its process ended (or never started; then there may have been no `Attach`).
    Gone { instance: InstanceId, reason: String },
    /// Its instances keep failing and none is ready (with the status and last lines), or that is over (`None`).
    Down { service: ServiceId, reason: Option<String> },
    /// Whether a person or the manifest wants no instance of it at all.
    Zero { service: ServiceId, is_zero: bool },
}

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Hello {
    pub pid: u32,
    pub kind: WorkerKind,
    pub signature: Arc<Signature>,
    pub python: String,
}

/// Where [`Outward`] goes. It must not block: the supervisor's task calls it.
pub type OutwardFn = Arc<dyn Fn(Outward) + Send + Sync>;
/// Where [`Progress`] goes. It must not block either.
pub type ReportFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// The rooms that the supervisor works with.
pub struct Wiring {
    pub settings: Settings,
    pub guard: Guard,
    /// Holds the services; the supervisor writes what becomes of them into it.
    pub registry: Registry,
    pub logs: LogStore,
    pub events: Events,
    pub outward: OutwardFn,
    pub report: ReportFn,
}

/// Services whose rolling restart failed: their old instances stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Failure::to_string).collect::<Vec<_>>().join("; "))]
pub struct RestartError(pub Vec<Failure>);

/// Handle on the supervisor; clones share it.
#[derive(Clone)]
pub struct Supervisor {
    registry: Registry,
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
}

impl Supervisor {
    /// Starts the task, which starts the services of the registry in the order of `depends_on`. Needs a runtime.
    pub fn start(wiring: Wiring) -> Result<Self, OrderError> {
        let snapshot = wiring.registry.snapshot();
        let order = order::order(&snapshot)?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let inbox = Arc::new(Inbox::default());
        let (fleet, registry) = (Fleet::new(&snapshot.services, order), wiring.registry.clone());
        tokio::spawn(Actor::new(wiring, fleet, receiver, inbox.clone()).run());
        Ok(Self { registry, commands, inbox })
    }

    // ── from the shards; none of these waits ─────────────────────────────────────────────────────────────────────

    /// The worker said hello.
    pub fn hello(&self, instance: InstanceId, hello: Hello) {
        self.inbox.push(Notice::Hello(instance, hello));
    }

    /// Its channels broke: the instance is as good as dead. `why` tells what it did wrong, if it did.
    pub fn severed(&self, instance: InstanceId, why: Option<String>) {
        self.inbox.push(Notice::Severed(instance, why));
    }

    /// The core has no running and no parked call in it any more.
    pub fn drained(&self, instance: InstanceId) {
        self.inbox.push(Notice::Drained(instance));
    }

    /// A call ignored its `run_timeout`: a replacement starts now; this one gets no new work and is killed when it is
    /// drained, or after 10 s.
    pub fn unresponsive(&self, instance: InstanceId, why: String) {
        self.inbox.push(Notice::Unresponsive(instance, why));
    }

    /// The autoscaler's wish; without effect while a person or the manifest fixed the number.
    pub fn steer(&self, service: ServiceId, instances: u32) {
        self.inbox.push(Notice::Steer(service, instances));
    }

    // ── commands; each is answered after its effect ──────────────────────────────────────────────────────────────

    /// Pins the number of instances, or (`None`) gives it back to the autoscaler. With `wait` it returns when exactly
    /// so many are ready, or with the first start that failed. `force` allows more than the `max` of the service.
    pub async fn scale(
        &self,
        service: ServiceId,
        target: Option<u32>,
        wait: bool,
        force: bool,
    ) -> Result<(), Failure> {
        let asked = self.registry.snapshot();
        if let Some((service, instances)) = asked.get(service).zip(target) {
            service.allows(instances, force)?;
        }
        self.ask(|reply| Command::Scale { service, target, wait, reply }).await
    }

    /// Replaces all instances of these services one at a time, services side by side. An instance that has no process
    /// because it keeps failing is started at once.
    pub async fn restart(&self, services: Vec<ServiceId>, replay_now: bool) -> Result<(), RestartError> {
        let mut outcomes = Vec::new();
        for service in services {
            outcomes.push(self.send(|reply| Command::Restart { service, replay_now, reply }).await);
        }
        let mut failures = Vec::new();
        for outcome in outcomes {
            failures.extend(outcome.await.unwrap_or(Err(Failure::Stopping)).err());
        }
        if failures.is_empty() { Ok(()) } else { Err(RestartError(failures)) }
    }

    /// Returns when every service has its wanted instances ready, or with the first start that failed.
    pub async fn wait_ready(&self) -> Result<(), Failure> {
        self.ask(|reply| Command::AwaitReady { reply }).await
    }

    /// Stops everything, dependents before what they depend on: drain, finish, `stop.signal`, KILL. Returns when all
    /// process groups are proven empty, or with the leaders of those that KILL did not end. `kill` skips to KILL.
    pub async fn shutdown(&self, kill: CancellationToken) -> Result<(), Vec<u32>> {
        let (reply, mut ended) = oneshot::channel();
        // A task that has ended already leaves nothing to stop: `ended` says so.
        let _ = self.commands.send(Command::Shutdown { reply }).await;
        let survivors = tokio::select! {
            survivors = &mut ended => survivors,
            () = kill.cancelled() => {
                let _ = self.commands.send(Command::Kill).await;
                ended.await
            }
        };
        match survivors.unwrap_or_default() {
            none if none.is_empty() => Ok(()),
            survivors => Err(survivors),
        }
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), Failure> {
        self.send(command).await.await.unwrap_or(Err(Failure::Stopping))
    }

    async fn send(&self, command: impl FnOnce(Reply) -> Command) -> oneshot::Receiver<Result<(), Failure>> {
        let (reply, outcome) = oneshot::channel();
        // If the task has ended, the reply is dropped with the command, and the receiver tells.
        let _ = self.commands.send(command(reply)).await;
        outcome
    }
}
