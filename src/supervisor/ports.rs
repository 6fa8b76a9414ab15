//! Ports and paths of sockets for programs. Ports are below those that the system hands out by itself, so that no connection of anybody's takes one
//! between its choice and the start of the program.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::model::InstanceId;

/// Where the system's own range begins unless it says otherwise.
const EPHEMERAL_START: u16 = 32_768;
/// Ports are chosen from so many below that.
const POOL: u16 = 12_000;
/// What the kernel takes as the path of a socket.
const PATH_BYTES_MAX: usize = 107;
/// Below are the ports of well-known services.
const LOWEST: u16 = 1_024;

/// Who has which port, until its process group is gone.
#[derive(Debug)]
pub struct Ports {
    taken: HashMap<InstanceId, u16>,
    paths: HashMap<InstanceId, Arc<Path>>,
    /// Where the search goes on, so that a port rests before it is used again. It begins anywhere, so that the hubs of
    /// a machine do not look at the same ports.
    next: u16,
}

impl Default for Ports {
    fn default() -> Self {
        let next = RandomState::new().hash_one(()) as u16 % POOL;
        Self { taken: HashMap::new(), paths: HashMap::new(), next }
    }
}

impl Ports {
    /// A socket that listens on a port which nobody else has. It stays reserved until [`Ports::release`].
    pub fn reserve(&mut self, instance: InstanceId) -> io::Result<TcpListener> {
        let pool =
            pool(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default());
        let size = pool.end - pool.start;
        for step in 0..size {
            let port = pool.start + self.next.wrapping_add(step) % size;
            if self.taken.values().any(|taken| *taken == port) {
                continue;
            }
            if let Ok(listener) = bind(port) {
                self.next = (port - pool.start).wrapping_add(1);
                self.taken.insert(instance, port);
                return Ok(listener);
            }
        }
        let range = format!("{} to {}", pool.start, pool.end - 1);
        Err(io::Error::other(format!("no port from {range} is free")))
    }

    /// A path for the socket of an instance, at which nothing is. `stem` is where such paths begin.
    pub fn path(&mut self, stem: &Path, label: &str, instance: InstanceId) -> io::Result<Arc<Path>> {
        let mut name = stem.as_os_str().to_owned();
        name.push(format!("-{label}-{}", instance.generation.0));
        if name.len() > PATH_BYTES_MAX {
            let message =
                format!("the path of its socket would have {} bytes, more than {PATH_BYTES_MAX}", name.len());
            return Err(io::Error::other(message));
        }
        let path: Arc<Path> = Path::new(&name).into();
        // What an earlier hub left, if it was killed.
        remove(&path)?;
        self.paths.insert(instance, path.clone());
        Ok(path)
    }

    /// Its process group is gone.
    pub fn release(&mut self, instance: InstanceId) {
        self.taken.remove(&instance);
        if let Some(path) = self.paths.remove(&instance) {
            // A program may remove it itself; what cannot be removed is in nobody's way.
            let _ = remove(&path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Only if nobody listens there on any address of the machine. What takes connections is bound to loopback.
fn bind(port: u16) -> io::Result<TcpListener> {
    drop(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// The ports to choose from, by what the kernel says of its own range.
fn pool(ephemeral: &str) -> Range<u16> {
    let start = ephemeral.split_whitespace().next().and_then(|start| start.parse().ok());
    let end = start.unwrap_or(EPHEMERAL_START);
    // A kernel that hands out nearly all ports leaves none to be sure of.
    let end = if end <= 2 * LOWEST { u16::MAX } else { end };
    end.saturating_sub(POOL).max(LOWEST)..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Generation, ServiceId};

    fn instance(number: u32) -> InstanceId {
        InstanceId { service: ServiceId(0), number, generation: Generation(1) }
    }

    #[test]
    fn ports_are_below_the_ephemeral_ones() {
        assert_eq!(pool("32768\t60999\n"), 20_768..32_768);
        assert_eq!(pool("10000 60999"), 1_024..10_000);
        assert_eq!(pool("1024 65535"), 53_535..65_535);
        assert_eq!(pool(""), 20_768..32_768);
    }

    #[test]
    fn a_port_is_given_once_until_it_is_released() {
        let mut ports = Ports::default();
        let port = |listener: TcpListener| listener.local_addr().unwrap().port();
        let first = port(ports.reserve(instance(1)).unwrap());
        let second = port(ports.reserve(instance(2)).unwrap());
        assert_ne!(first, second);
        ports.next = 0;
        assert_ne!(port(ports.reserve(instance(3)).unwrap()), first);
        ports.release(instance(1));
        assert!(!ports.taken.values().any(|taken| *taken == first));
    }

    #[test]
    fn a_port_of_a_stranger_is_passed_over() {
        let mut ports = Ports::default();
        let stranger = ports.reserve(instance(1)).unwrap();
        let taken = stranger.local_addr().unwrap().port();
        ports.release(instance(1));
        ports.next = 0;
        assert_ne!(ports.reserve(instance(2)).unwrap().local_addr().unwrap().port(), taken);
    }
}
