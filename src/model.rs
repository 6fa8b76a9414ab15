//! The nouns of msx: names and ids that every room shares. Pure, and free of serialisation formats.

use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// Canonical name of a service, `module.function`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// Takes the text as it is; discovery is what vouches for its form.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The short name: what follows the last dot.
    pub fn alias(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position of a service in the registry's table. It stays the same as long as the hub lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ServiceId(pub u32);

/// Counts the processes that ever ran, so that a late message of a dead one cannot touch its successor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Generation(pub u32);

/// One process of a service: its place (`a-1`) and which of the processes that had this place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InstanceId {
    pub service: ServiceId,
    /// 1, 2, …: what a person sees (`a-1`); used again by the next process in this place.
    pub number: u32,
    pub generation: Generation,
}

/// What a service is written in, and so which program its instances run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    #[default]
    Python,
    Node,
}

/// How a worker runs its calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkerKind {
    /// `def`: one thread per lane, one call at a time on each.
    Def,
    /// `async def`: one lane and one event loop for all calls.
    Async,
}

/// Where an instance of a program takes connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    Tcp(SocketAddr),
    Unix(Arc<Path>),
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Handle of a call in the core: unique while the hub lives, and the `call` of the worker protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CallKey(pub u64);

/// What a call ended with: the payload of its value or of its error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Value(Bytes),
    Error(Bytes),
}
