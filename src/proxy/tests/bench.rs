//! A front with its shard and core, servers behind it, and clients that send what they like.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::spec::{OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::core::{Core, Event, ServiceReport, ServiceSetup};
use crate::model::Upstream;
use crate::model::{Generation, InstanceId, ServiceId, ServiceName};
use crate::shard::Shard;

/// Longest wait of a test for anything.
pub const BOUND: Duration = Duration::from_secs(30);
const SERVICE: ServiceId = ServiceId(0);

pub fn instance(number: u32) -> InstanceId {
    InstanceId { service: SERVICE, number, generation: Generation(number) }
}

/// One service behind its front.
pub struct Bench {
    pub front: SocketAddr,
    pub shard: Shard,
}

impl Bench {
    /// Each server is an instance with so many slots.
    pub fn new(slots: u32, servers: &[&Server]) -> Self {
        Self::with_queue(slots, QueuePolicy { max: 1024, timeout: Duration::from_secs(10) }, servers)
    }

    pub fn with_queue(slots: u32, queue: QueuePolicy, servers: &[&Server]) -> Self {
        let setup = ServiceSetup {
            name: ServiceName::new("web"),
            queue,
            run_timeout: Duration::from_secs(30),
            retries: RetryPolicy::NONE,
            per_key: None,
            batch: None,
            on_nondeterminism: OnNondeterminism::Fail,
            is_hub: false,
        };
        let shard = Shard::start(Core::new(vec![setup], false), Box::new(|_| ())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let front = listener.local_addr().unwrap();
        shard.serve(listener, super::super::front(&shard, SERVICE, "web", false));
        let bench = Self { front, shard };
        (1..)
            .zip(servers)
            .for_each(|(number, server)| bench.attach(number, slots, Upstream::Tcp(server.address)));
        bench
    }

    pub fn attach(&self, number: u32, slots: u32, upstream: Upstream) {
        self.shard.attach_http(instance(number), slots, upstream);
        self.shard.event(Event::Ready(instance(number)));
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.front)
    }

    /// Sends this on a connection of its own; answers all that comes until the front closes.
    pub fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.send(request.as_bytes());
        client.rest()
    }

    pub fn report(&self) -> ServiceReport {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.shard.report()).remove(0)
    }

    /// Waits until nothing waits and no slot is held.
    pub fn wait_idle(&self) {
        wait_for("free slots", || {
            let report = self.report();
            (report.busy == 0 && report.queued == 0).then_some(())
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.shard.stop());
    }
}

pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {BOUND:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A request as a server has read it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and headers, a line each, in lower case but for the values.
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&prefix))
    }

    pub fn line(&self) -> &str {
        &self.head[0]
    }
}

/// What a server does with a connection that was made to it.
type Talk = dyn Fn(&mut Peer) + Send + Sync;

/// A server on a port of its own.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Requests that are being answered, and the most of them so far.
    running: AtomicUsize,
    most: AtomicUsize,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    /// Connections that have not ended.
    talking: AtomicUsize,
}

/// A connection as a server sees it.
pub struct Peer {
    pub stream: BufReader<TcpStream>,
    shared: Arc<Shared>,
}

impl Server {
    /// It talks like this on each of its connections.
    pub fn talking(talk: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
            talking: AtomicUsize::new(0),
        });
        let (address, talk) = (listener.local_addr().unwrap(), Arc::new(talk));
        let accepted = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepted, &(talk as Arc<Talk>)));
        Self { address, shared }
    }

    /// It answers each request with these bytes, and keeps its connections.
    pub fn answering(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::talking(move |peer| {
            while let Some(seen) = peer.read() {
                let bytes = answer(&seen);
                peer.done();
                if peer.stream.get_mut().write_all(&bytes).is_err() {
                    return;
                }
            }
        })
    }

    /// `200` and this body.
    pub fn saying(body: &'static str) -> Self {
        Self::answering(move |_| ok(body))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections to it that are open.
    pub fn open(&self) -> usize {
        self.shared.talking.load(Ordering::SeqCst)
    }

    /// The most requests that it has ever worked on at once.
    pub fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// As if its process were killed: its port closes, and all its connections.
    pub fn kill(&self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.shared.open.lock().iter().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, talk: &Arc<Talk>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.talking.fetch_add(1, Ordering::SeqCst);
        shared.open.lock().push(stream.try_clone().unwrap());
        let mut peer = Peer { stream: BufReader::new(stream), shared: shared.clone() };
        let talk = talk.clone();
        std::thread::spawn(move || {
            talk(&mut peer);
            let _ = peer.stream.get_ref().shutdown(std::net::Shutdown::Both);
            peer.shared.talking.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl Peer {
    /// The next request, whole. From here on it counts as running, until `done`.
    pub fn read(&mut self) -> Option<Seen> {
        let head = self.head()?;
        let mut seen = Seen { head, body: Vec::new() };
        seen.body = self.body(&seen).ok()?;
        self.shared.seen.lock().push(seen.clone());
        Some(seen)
    }

    pub fn head(&mut self) -> Option<Vec<String>> {
        let lines = self.stream.by_ref().lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        if head.is_empty() {
            return None;
        }
        let running = self.shared.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.most.fetch_max(running, Ordering::SeqCst);
        Some(head)
    }

    pub fn done(&self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn body(&mut self, seen: &Seen) -> std::io::Result<Vec<u8>> {
        if seen.header("transfer-encoding").is_some() {
            return self.chunks();
        }
        let mut body = vec![0; seen.header("content-length").map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).map(|()| body)
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
            if size == 0 {
                // Trailers, and the empty line.
                while { size_of_line(&mut self.stream)? } > 2 {}
                return Ok(body);
            }
            let start = body.len();
            body.resize(start + size + 2, 0);
            self.stream.read_exact(&mut body[start..])?;
            body.truncate(start + size);
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }
}

fn size_of_line(stream: &mut impl BufRead) -> std::io::Result<usize> {
    stream.read_line(&mut String::new())
}

pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A connection to the front.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// What the front does not read any more is no matter: its answer tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n").as_bytes());
        self.answer().expect("an answer")
    }

    /// All that comes until the front closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    pub fn answer_head(&mut self) -> Vec<String> {
        let lines = self.stream.by_ref().lines().map_while(Result::ok);
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// The next answer whose length is told by its head.
    pub fn answer(&mut self) -> Option<Answer> {
        let head = self.answer_head();
        let status = head.first()?.split(' ').nth(1)?.parse().ok()?;
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).ok()?;
        Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Vec<String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&prefix))
    }
}
