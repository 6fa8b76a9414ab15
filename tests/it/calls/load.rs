//! Many callers at once, through the gateway.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::edges::sandbox;
use super::{Project, Until};
use crate::support::hub::{kill, wait_for};

const CALLERS: u32 = 64;
const CALLS: u32 = 100_000;
/// How much more memory the hub may hold afterwards: its buffers grow once, but not with the number of calls.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

#[test]
fn a_hundred_thousand_calls() {
    let sandbox = sandbox(&["plain"]);
    let project = Project::up(&sandbox);
    let gateway = project.hub.gateway();
    call_all(&gateway, 0..CALLERS * 10);
    let before = memory(&project);
    call_all(&gateway, 0..CALLS);
    project.rests();
    assert_eq!(project.call(&["counts", "-1"]), json!([CALLS + CALLERS * 10, CALLS]), "each ran once");
    let grown = memory(&project).saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "the hub holds {grown} bytes more than before");
}

fn memory(project: &Project) -> u64 {
    project.hub.ps()["hub"]["memory_bytes"].as_u64().unwrap()
}

/// Calls `counts` with each of these numbers, spread over the callers; every answer is checked.
fn call_all(gateway: &str, numbers: Range<u32>) {
    thread::scope(|scope| {
        for first in 0..CALLERS {
            let own = numbers.clone().skip(first as usize).step_by(CALLERS as usize);
            scope.spawn(move || {
                let mut caller = Caller::connect(gateway);
                own.for_each(|number| assert_eq!(caller.call(number), number.to_string()));
                caller.expect_no_more();
            });
        }
    });
}

/// An instance is killed again and again; a crash loop would begin with the fifth time.
#[test]
fn a_kill_costs_no_more_than_what_has_begun() {
    let sandbox = sandbox(&["plain"]);
    let project = Project::up(&sandbox);
    let (gateway, next, ended) = (project.hub.gateway(), AtomicU32::new(0), AtomicBool::new(false));
    let failed: Vec<u32> = thread::scope(|scope| {
        let until = Until(&ended);
        let call = || {
            let mut caller = Caller::connect(&gateway);
            let mut failed = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match caller.ask("notes", number) {
                    (200, body) => assert_eq!(body, number.to_string()),
                    (502, body) => {
                        assert!(body.contains("InstanceDied"), "{body}");
                        failed.push(number);
                    }
                    other => panic!("{other:?}"),
                }
            }
            failed
        };
        let callers: Vec<_> = (0..40).map(|_| scope.spawn(call)).collect();
        for _ in 0..4 {
            let goal = next.load(Ordering::Relaxed) + 300;
            wait_for("calls to go on", || (next.load(Ordering::Relaxed) > goal).then_some(()));
            let pids =
                wait_for("an instance", || Some(project.hub.pids("notes")).filter(|pids| !pids.is_empty()));
            pids.into_iter().for_each(|pid| kill(pid, 9));
        }
        drop(until);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    // One may run on each lane, and behind it go those whose answers were about to be sent with its own.
    assert!(failed.len() <= 4 * 2 * 17, "{failed:?} failed, but each kill can hit only what had begun");
    let begun = std::fs::read_to_string(sandbox.path("begun")).unwrap();
    let begun: Vec<u32> = begun.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(begun.len(), begun.iter().collect::<BTreeSet<_>>().len(), "none began twice");
    let missing = |number: &u32| !begun.contains(number) && !failed.contains(number);
    assert!(!(0..next.into_inner()).any(|number| missing(&number)), "all others ran");
    project.rests();
}

/// One HTTP/1.1 connection that is kept alive.
struct Caller {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Caller {
    fn connect(gateway: &str) -> Self {
        let host = gateway.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { host, stream: BufReader::new(stream) }
    }

    /// The body of the answer to a call that must succeed.
    fn call(&mut self, number: u32) -> String {
        let (status, body) = self.ask("counts", number);
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Status and body.
    fn ask(&mut self, service: &str, number: u32) -> (u16, String) {
        let body = format!("{{\"x\": {number}}}");
        let request = format!(
            "POST /call/{service} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = self.head();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        (status.unwrap(), String::from_utf8(body).unwrap())
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).unwrap(), 0, "the gateway closed the connection");
        }
        head
    }

    /// An answer too many would wait here to be read.
    fn expect_no_more(mut self) {
        self.stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}
