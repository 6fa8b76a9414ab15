//! Who provides what, and where: the table of services and the snapshot of it that everyone reads.
//!
//! The table is fixed when the hub starts (a [`ServiceId`] is a position in it); what changes are instances, targets,
//! signatures and addresses. The supervisor is the one writer of those; a reader takes an `Arc<Snapshot>` without a lock
//! and sees one consistent moment.

mod names;
#[cfg(test)]
pub mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};

use crate::config::spec::{INSTANCES_MAX, ServiceSpec};
use crate::model::{InstanceId, ServiceId, Upstream, WorkerKind};
use crate::protocol::control::InstanceState;
use crate::protocol::events::Subject;
use crate::protocol::signature::Signature;
pub use names::{NameError, Names};

/// What is known of a service before anything runs.
pub struct Offer {
    pub spec: ServiceSpec,
    pub kind: WorkerKind,
    pub signature: Arc<Signature>,
    /// The service's own front, once it is bound.
    pub address: Option<SocketAddr>,
}

/// Who decides how many instances a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The autoscaler, between `min` and `max`.
    Auto,
    /// A person, by `msx scale`, until `auto` releases it.
    Pinned,
    /// The manifest: `min == max`.
    Fixed,
}

impl Mode {
    /// The word that `msx ps` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Pinned => "pinned",
            Mode::Fixed => "fixed",
        }
    }
}

/// One service at one moment.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    pub id: ServiceId,
    pub spec: Arc<ServiceSpec>,
    /// The short name, absent while it is ambiguous.
    pub alias: Option<Arc<str>>,
    /// Of a function; of a program it says nothing.
    pub kind: WorkerKind,
    /// As in docs/protocol.md, "Signature".
    pub signature: Arc<Signature>,
    pub address: Option<SocketAddr>,
    pub desired: u32,
    pub mode: Mode,
    pub instances: Vec<InstanceEntry>,
}

impl ServiceEntry {
    /// What a person calls it: the alias while it is unique, else the canonical name.
    pub fn short(&self) -> &str {
        self.alias.as_deref().unwrap_or(self.spec.name.as_str())
    }

    /// What an event of it is about.
    pub fn subject(&self) -> Subject<'_> {
        Subject { service: Some(self.spec.name.as_str()), shown: self.short() }
    }

    /// Whether a person or a program may give it so many instances; `force` goes beyond its own `max`.
    pub fn allows(&self, instances: u32, force: bool) -> Result<(), TooMany> {
        let (service, max) = (|| self.short().to_owned(), self.spec.instances.max);
        if instances > INSTANCES_MAX {
            return Err(TooMany::ForMsx { service: service(), instances });
        }
        match instances > max && !force {
            true => Err(TooMany::ForService { service: service(), instances, max }),
            false => Ok(()),
        }
    }

    /// How many of its instances are ready.
    pub fn ready(&self) -> usize {
        self.instances.iter().filter(|instance| instance.state == InstanceState::Ready).count()
    }

    /// How many of its instances are as they should be: ready, or programs that did what they are for.
    pub fn well(&self) -> usize {
        let is_well = |i: &&InstanceEntry| matches!(i.state, InstanceState::Ready | InstanceState::Completed);
        self.instances.iter().filter(is_well).count()
    }

    /// Name of its instance with this number, `a-1`.
    pub fn label(&self, number: u32) -> String {
        format!("{}-{number}", self.short())
    }
}

/// Why a service cannot have so many instances.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    #[error("cannot scale {service} to {instances} instances: its max is {max}")]
    ForService { service: String, instances: u32, max: u32 },
    #[error(
        "cannot scale {service} to {instances} instances: msx runs at most {INSTANCES_MAX} of one service"
    )]
    ForMsx { service: String, instances: u32 },
}

impl TooMany {
    /// What to do next, in the manifest.
    pub fn help(&self) -> &'static str {
        match self {
            TooMany::ForService { .. } => "raise its max in services.toml or in its decorator",
            TooMany::ForMsx { .. } => "let each instance run more calls at once: `threads` or `concurrency`",
        }
    }
}

/// One instance at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceEntry {
    pub id: InstanceId,
    /// `a-1`
    pub label: String,
    pub state: InstanceState,
    pub pid: Option<u32>,
    /// Where a program takes connections, since it has started.
    pub upstream: Option<Upstream>,
    /// When this process was started (or, in backoff, the last one).
    pub started: Instant,
    /// When it said hello; also of a process that has ended since.
    pub ready: Option<Instant>,
    /// How many processes in this place ended unasked.
    pub restarts: u32,
    /// Why it is not ready: exit status and the last log lines, or what its probe found.
    pub reason: Option<String>,
}

/// All services at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Position is the [`ServiceId`].
    pub services: Vec<ServiceEntry>,
    names: Arc<Names>,
}

impl Snapshot {
    pub fn get(&self, id: ServiceId) -> Option<&ServiceEntry> {
        self.services.get(id.0 as usize)
    }

    /// Finds a service by its canonical name or, while that is unique, by its alias.
    pub fn resolve(&self, name: &str) -> Result<ServiceId, NameError> {
        self.names.resolve(name)
    }
}

/// Handle on the published table; clones share it.
#[derive(Clone)]
pub struct Registry {
    published: Arc<ArcSwap<Snapshot>>,
}

impl Registry {
    /// Makes the table: the position of an offer becomes its id.
    pub fn new(offers: Vec<Offer>) -> Self {
        let names = Names::new(offers.iter().map(|offer| offer.spec.name.clone()).collect());
        let services =
            (0..).zip(offers).map(|(index, offer)| entry(ServiceId(index), offer, &names)).collect();
        let snapshot = Snapshot { services, names: Arc::new(names) };
        Self { published: Arc::new(ArcSwap::from_pointee(snapshot)) }
    }

    /// The table as it is now, to keep.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// The table as it is now, for a short look: cheaper than [`Registry::snapshot`].
    pub fn peek(&self) -> Guard<Arc<Snapshot>> {
        self.published.load()
    }

    /// See [`Snapshot::resolve`].
    pub fn resolve(&self, name: &str) -> Result<ServiceId, NameError> {
        self.peek().resolve(name)
    }

    /// Publishes the table with a change made to it. `change` may run more than once when two writers meet.
    pub fn update(&self, change: impl Fn(&mut [ServiceEntry])) {
        self.published.rcu(|current| {
            let mut services = current.services.clone();
            change(&mut services);
            Snapshot { services, names: current.names.clone() }
        });
    }
}

fn entry(id: ServiceId, offer: Offer, names: &Names) -> ServiceEntry {
    let range = offer.spec.instances;
    let mode = if offer.spec.is_fixed() { Mode::Fixed } else { Mode::Auto };
    ServiceEntry {
        id,
        alias: names.alias(&offer.spec.name).map(Arc::from),
        spec: Arc::new(offer.spec),
        kind: offer.kind,
        signature: offer.signature,
        address: offer.address,
        desired: range.min,
        mode,
        instances: Vec::new(),
    }
}
