//! Under load: instances that are killed, scaled and rolled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::{front, project};
use crate::support::hub::{BOUND, Hub, kill, wait_for};

/// Clients that ask for the same again and again, each on one connection.
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

struct Shared {
    front: SocketAddr,
    request: String,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Clients {
    pub fn start(front: SocketAddr, request: &str, clients: usize) -> Self {
        let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let request = format!("{request} HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n\r\n");
        let shared = Arc::new(Shared { front, request, answered, is_over });
        let client = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.ask_until_over())
        };
        let threads = (0..clients).map(client).collect();
        Self { shared, threads }
    }

    /// Waits for so many more answers.
    pub fn answer(&self, more: usize) {
        let target = self.shared.answered.load(Ordering::Relaxed) + more;
        let answered = || self.shared.answered.load(Ordering::Relaxed) >= target;
        wait_for("answers", || answered().then_some(()));
    }

    /// What went wrong for the clients.
    pub fn end(self) -> Vec<String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

impl Shared {
    fn ask_until_over(&self) -> Vec<String> {
        let (mut failures, mut connection) = (Vec::new(), connect(self.front));
        while !self.is_over.load(Ordering::Relaxed) {
            match ask(&mut connection, &self.request) {
                Some((200, _)) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                other => {
                    failures.push(format!("{other:?}"));
                    connection = connect(self.front);
                }
            }
        }
        failures
    }
}

pub fn connect(front: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(front).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

/// Status and body; none, if the connection ends instead.
pub fn ask(connection: &mut BufReader<TcpStream>, request: &str) -> Option<(u16, String)> {
    connection.get_mut().write_all(request.as_bytes()).ok()?;
    answer(connection)
}

pub fn answer(connection: &mut BufReader<TcpStream>) -> Option<(u16, String)> {
    let lines = connection.by_ref().lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let status = head.first()?.split(' ').nth(1)?.parse().ok()?;
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    connection.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8(body).ok()?))
}

/// Kills an instance, and waits for the next one.
fn lose_one(hub: &Hub<'_>) {
    let pid = hub.pids("web")[0];
    kill(pid, 9);
    wait_for("another process in its place", || {
        let pids = hub.pids("web");
        (pids.len() >= 2 && !pids.contains(&pid)).then_some(())
    });
}

/// `GET`, which may be sent twice: not even what runs in an instance that dies fails.
#[test]
fn instances_are_killed_scaled_and_rolled_and_no_client_notices() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let clients = Clients::start(front(&hub), "GET /slow?2", 16);
    clients.answer(200);
    for _ in 0..2 {
        lose_one(&hub);
        clients.answer(200);
    }
    hub.msx(&["scale", "web=4"]);
    clients.answer(200);
    hub.msx(&["scale", "web=1"]);
    clients.answer(200);
    hub.msx(&["restart", "web"]);
    clients.answer(200);
    assert_eq!(clients.end(), [""; 0]);
}

/// `POST`, which may not: what runs in the instance that dies fails, and nothing else.
#[test]
fn only_what_runs_in_a_killed_instance_fails() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let clients = Clients::start(front(&hub), "POST /slow?2", 16);
    clients.answer(200);
    let rounds = 3;
    for _ in 0..rounds {
        lose_one(&hub);
        clients.answer(200);
    }
    let failures = clients.end();
    // Four slots each.
    assert!(failures.len() <= rounds * 4, "{failures:?}");
    assert!(failures.iter().all(|failure| failure.contains("502")), "{failures:?}");
}
