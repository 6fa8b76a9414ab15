//! Callers that ask a service over HTTP again and again, each on one connection that it keeps.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// No answer takes longer than this unless it is lost.
const ANSWER_BOUND: Duration = Duration::from_secs(60);

/// A load under way; it ends with [`Load::end`].
pub struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<Tally>>,
}

struct Shared {
    gateway: String,
    service: String,
    body: String,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

/// What the callers got.
#[derive(Default, Debug)]
pub struct Tally {
    /// How often each result came.
    pub results: BTreeMap<String, usize>,
    /// Answers other than 200, and connections that broke.
    pub failures: Vec<String>,
}

impl Load {
    /// `callers` threads that send `body` to `service`, one call after the other. `gateway` is `http://HOST:PORT`.
    pub fn start(gateway: &str, service: &str, body: &str, callers: usize) -> Self {
        let shared = Arc::new(Shared {
            gateway: gateway.strip_prefix("http://").unwrap().to_owned(),
            service: service.to_owned(),
            body: body.to_owned(),
            answered: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let caller = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.call_until_over())
        };
        let callers = (0..callers).map(caller).collect();
        Self { shared, callers }
    }

    /// How many calls were answered so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Lets the last calls end, and tells of all.
    pub fn end(self) -> Tally {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for caller in self.callers {
            let tally = caller.join().unwrap();
            tally
                .results
                .into_iter()
                .for_each(|(result, count)| *all.results.entry(result).or_default() += count);
            all.failures.extend(tally.failures);
        }
        all
    }
}

impl Shared {
    fn call_until_over(&self) -> Tally {
        let mut tally = Tally::default();
        let mut connection = None;
        while !self.is_over.load(Ordering::Relaxed) {
            match self.call(&mut connection) {
                Ok((200, body)) => *tally.results.entry(body).or_default() += 1,
                Ok((status, body)) => tally.failures.push(format!("{status}: {body}")),
                Err(error) => {
                    tally.failures.push(error.to_string());
                    connection = None;
                }
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        tally
    }

    fn call(&self, connection: &mut Option<BufReader<TcpStream>>) -> io::Result<(u16, String)> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(connect(&self.gateway)?),
        };
        let Self { gateway, service, body, .. } = self;
        let length = body.len();
        let head = format!(
            "POST /call/{service} HTTP/1.1\r\nHost: {gateway}\r\nContent-Type: application/json\r\nContent-Length: {length}"
        );
        connection.get_mut().write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
        answer(connection)
    }
}

fn connect(address: &str) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_BOUND))?;
    Ok(BufReader::new(stream))
}

/// Status and body.
fn answer(connection: &mut BufReader<TcpStream>) -> io::Result<(u16, String)> {
    let (mut status, mut length) = (0, 0);
    for line in connection.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap()
            }
            Some(_) => (),
            None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
        }
    }
    if status == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was closed without an answer",
        ));
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body).unwrap()))
}
