//! Many callers at once, through the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::Project;
use super::edges::sandbox;

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
        let body = format!("{{\"x\": {number}}}");
        let request = format!(
            "POST /call/counts HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
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
