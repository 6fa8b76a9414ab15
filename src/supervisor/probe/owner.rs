//! Who listens on a port, by the kernel's tables of sockets: a program that serves on `$PORT`, or a stranger.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::guard::{self, Seen};

/// What is at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    Nobody,
    /// The process group, and here it can be reached.
    Own(SocketAddr),
    /// Somebody else: `process 812 (nginx)`.
    Stranger(String),
}

/// Whether the process group of this leader listens on the port.
pub async fn look(leader: u32, port: u16) -> Listening {
    // Files of /proc are made while they are read, which may take a while.
    tokio::task::spawn_blocking(move || look_now(leader, port)).await.unwrap_or(Listening::Nobody)
}

/// Who holds the port, if it is none of the process group of this leader.
pub async fn holder(leader: u32, port: u16) -> Option<String> {
    match look(leader, port).await {
        Listening::Stranger(who) => Some(who),
        Listening::Nobody | Listening::Own(_) => None,
    }
}

fn look_now(leader: u32, port: u16) -> Listening {
    let sockets = listeners(port);
    if sockets.is_empty() {
        return Listening::Nobody;
    }
    let table = guard::processes().unwrap_or_default();
    let own = guard::members(&table, leader.cast_signed());
    let of_own: Vec<&Socket> =
        sockets.iter().filter(|socket| own.iter().any(|process| holds(process.pid, socket))).collect();
    // The address that IPv4 reaches first: it is what most programs listen on.
    match of_own.iter().min_by_key(|socket| socket.address.is_ipv6()) {
        Some(socket) => Listening::Own(socket.address),
        None => Listening::Stranger(name(&table, &sockets)),
    }
}

fn name(table: &[Seen], sockets: &[Socket]) -> String {
    let holder = table.iter().find(|process| sockets.iter().any(|socket| holds(process.pid, socket)));
    holder.map_or_else(
        || "another process".to_owned(),
        |process| format!("process {} ({})", process.pid, process.name),
    )
}

/// A listening socket.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    /// Where it can be reached from this machine.
    address: SocketAddr,
    inode: u64,
}

fn listeners(port: u16) -> Vec<Socket> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let tables = tables.into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let sockets = tables.flat_map(|table| table.lines().filter_map(parse).collect::<Vec<_>>());
    sockets.filter(|socket| socket.address.port() == port).collect()
}

/// A line of `/proc/net/tcp` or `tcp6`, if it is about a listening socket.
fn parse(line: &str) -> Option<Socket> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (host, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Socket {
        address: SocketAddr::new(reachable(address(host)?), port),
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The kernel prints an address as words of four bytes in the byte order of the machine.
fn address(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len()).step_by(8).map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// What listens on all addresses is reached on loopback.
fn reachable(listening: IpAddr) -> IpAddr {
    match listening.to_canonical() {
        any if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        one => one,
    }
}

/// Whether the process has this socket open.
fn holds(pid: i32, socket: &Socket) -> bool {
    let wanted = format!("socket:[{}]", socket.inode);
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_tables_are_read_as_the_kernel_writes_them() {
        let four = "   1: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let expected = Socket { address: "127.0.0.1:20000".parse().unwrap(), inode: 4711 };
        assert_eq!(parse(four), Some(expected));
        let six = "   0: 00000000000000000000000000000000:4E20 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 9 1";
        let expected = Socket { address: "127.0.0.1:20000".parse().unwrap(), inode: 9 };
        assert_eq!(parse(six), Some(expected));
        let loopback = six.replacen(&"0".repeat(32), "00000000000000000000000001000000", 1);
        assert_eq!(parse(&loopback).unwrap().address, "[::1]:20000".parse().unwrap());
        for line in ["", "  sl  local_address rem_address", &four.replace(" 0A ", " 01 ")] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_listener_belongs_to_whose_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(look_now(std::process::id(), address.port()), Listening::Own(address));
        let Listening::Stranger(who) = look_now(u32::MAX, address.port()) else { panic!("it is somebody's") };
        assert!(who.starts_with(&format!("process {} (", std::process::id())), "{who}");
        drop(listener);
        assert_eq!(look_now(std::process::id(), address.port()), Listening::Nobody);
    }
}
