//! Requests that two servers could read differently, and clients that do not keep to HTTP: each is answered by the rules,
//! and what is refused never reaches an instance.

use std::time::{Duration, Instant};

use super::bench::{Bench, Client, Server, ok};

/// What it is, the request, and the status with which it is refused.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "differing lengths",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        400,
    ),
    ("a list of lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 4\r\n\r\nabcd", 400),
    ("a signed length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc", 400),
    ("a negative length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -3\r\n\r\nabc", 400),
    ("a length in hexadecimal", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x3\r\n\r\nabc", 400),
    (
        "an endless length",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\nabc",
        400,
    ),
    ("an empty length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\nabc", 400),
    ("another coding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\nabc", 400),
    (
        "a coding before chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in two lines",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked, then identity",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "identity, then chunked",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("almost chunked", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (
        "chunked behind a tab of its own",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in quotes",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "a space before the colon",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("a folded header", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n y: 2\r\n\r\n", 400),
    ("a folded coding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("a folded first header", "GET / HTTP/1.1\r\n host: a\r\n\r\n", 400),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\ry: 2\r\n\r\n", 400),
    ("a bare CR behind a value", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\r\n\r\n", 400),
    ("a bare CR in a name", "GET / HTTP/1.1\r\nhost: a\r\nx\ry: 2\r\n\r\n", 400),
    ("a bare CR in the target", "GET /\rx HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("a bare CR instead of a line end", "GET / HTTP/1.1\rhost: a\r\n\r\n", 400),
    ("a NUL in a value", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\x002\r\n\r\n", 400),
    ("a NUL in a name", "GET / HTTP/1.1\r\nhost: a\r\nx\x00: 1\r\n\r\n", 400),
    ("a header without a colon", "GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n", 400),
    ("a header without a name", "GET / HTTP/1.1\r\nhost: a\r\n: 1\r\n\r\n", 400),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    ("two Hosts in one", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", 400),
    ("a Host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    ("a Host with a user", "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", 400),
    ("two spaces", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("a space in the target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("a version that is none", "GET / HTTP/1.7\r\nhost: a\r\n\r\n", 400),
    ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP/0.9", "GET /\r\n\r\n", 400),
    ("no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 501),
    (
        "a chunk whose size is none",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk with a signed size",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk of 2^64 and more",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    (
        "a chunk size behind a space",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
        400,
    ),
    (
        "a line end in an extension",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;\nabc\r\n0\r\n\r\n",
        400,
    ),
];

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn what_could_be_read_differently_is_refused_and_reaches_nobody() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    let mut wrong = Vec::new();
    for (what, request, expected) in REFUSED {
        // What would be smuggled, were it taken for a request of its own.
        let answer = bench.ask(&format!("{request}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"));
        let is_right = status(&answer) == *expected && answer.matches("HTTP/1.").count() == 1;
        if !is_right || !server.seen().is_empty() {
            wrong.push(format!("{what}: {answer:?}, reached: {:?}", server.seen()));
            return assert!(server.seen().is_empty(), "{}", wrong.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    bench.wait_idle();
}

#[test]
fn a_length_beside_chunked_is_dropped_and_the_connection_closed() {
    let server = Server::answering(|seen| ok(std::str::from_utf8(&seen.body).unwrap()));
    let bench = Bench::new(4, &[&server]);
    for lines in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ntransfer-encoding: chunked\r\ncontent-length: 4",
    ] {
        let answer = bench.ask(&format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
        ));
        assert!(answer.ends_with("abc") && answer.contains("connection: close"), "{answer}");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for request in seen {
        assert_eq!(
            (request.header("content-length"), request.header("transfer-encoding")),
            (None, Some("chunked"))
        );
    }
}

/// Both sides must agree where each of them ends.
#[test]
fn pipelined_requests_are_answered_in_their_order_and_stay_apart() {
    let server =
        Server::answering(|seen| ok(&format!("{} {}", seen.line(), String::from_utf8_lossy(&seen.body))));
    let bench = Bench::new(4, &[&server]);
    let mut client = bench.connect();
    let mut sent = String::new();
    let mut expected = Vec::new();
    for at in 0..50 {
        let (request, body) = match at % 4 {
            0 => (format!("GET /{at} HTTP/1.1\r\nhost: a\r\n\r\n"), ""),
            1 => (format!("GET /{at} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"), "body"),
            2 => (
                format!(
                    "POST /{at} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x=\"y\"\r\nab\r\n00\r\n\r\n"
                ),
                "ab",
            ),
            _ => (format!("\r\nDELETE /{at} HTTP/1.1\nhost: a\ncontent-length: 1\n\n\n"), "\n"),
        };
        expected.push(format!("{} /{at} HTTP/1.1 {body}", request.trim_start().split(' ').next().unwrap()));
        sent.push_str(&request);
    }
    client.send(sent.as_bytes());
    let answers: Vec<String> = (0..50).map(|_| client.answer().unwrap().body).collect();
    assert_eq!(answers, expected);
}

#[test]
fn a_request_that_ends_too_early_is_not_one() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    let request = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for end in 0..request.len() {
        let mut client = bench.connect();
        client.send(&request.as_bytes()[..end]);
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        assert_ne!(status(&client.rest()), 200, "of {end} bytes");
    }
    assert!(server.seen().is_empty(), "no request was whole: {:?}", server.seen());
    bench.wait_idle();
    assert_eq!(bench.connect().get("/").status, 200);
}

#[test]
fn heads_beyond_the_bounds_are_refused() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    let long = "x".repeat(70_000);
    let many: String = (0..200).map(|at| format!("x-{at}: 1\r\n")).collect();
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 431),
    ] {
        assert_eq!(status(&bench.ask(&request)), expected, "{}…", &request[..60]);
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_head_that_does_not_come_is_waited_for_ten_seconds() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    let start = Instant::now();
    let mut client = Client::connect(bench.front);
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx: ");
    let trickle = client.stream.get_ref().try_clone().unwrap();
    std::thread::spawn(move || {
        // A byte now and then does not make it longer.
        while std::io::Write::write_all(&mut &trickle, b"x").is_ok() && start.elapsed() < super::bench::BOUND
        {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert_ne!(status(&client.rest()), 200);
    assert!((9..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(server.seen().is_empty());
}
