//! Instances that fail: what is tried again, where, and what the client is told.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::bench::{Bench, Client, Server, instance, ok, wait_for};
use crate::model::Upstream;

/// A server that takes requests and closes the connection instead of answering.
fn breaking() -> Server {
    Server::talking(|peer| {
        peer.read();
        peer.done();
    })
}

fn post(client: &mut Client) -> super::bench::Answer {
    client.send(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\nab");
    client.answer().unwrap()
}

#[test]
fn what_may_be_sent_twice_goes_to_another_instance() {
    let (bad, good) = (breaking(), Server::saying("good"));
    let bench = Bench::new(4, &[&bad]);
    let mut client = bench.connect();
    let answer = client.get("/");
    assert_eq!(
        (answer.status, answer.header("x-msx-reason")),
        (502, Some("upstream_broke")),
        "there is no other"
    );
    bench.attach(2, 4, Upstream::Tcp(good.address));
    for _ in 0..5 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.body.as_str()), (200, "good"));
    }
    client.send(b"PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\nab");
    assert_eq!(client.answer().unwrap().status, 200);
    bench.wait_idle();
}

#[test]
fn what_may_not_be_sent_twice_is_sent_once() {
    let bad = [breaking(), breaking()];
    let bench = Bench::new(4, &bad.each_ref());
    let mut client = bench.connect();
    assert_eq!(post(&mut client).status, 502);
    assert_eq!(bad.iter().map(|server| server.seen().len()).sum::<usize>(), 1);
    assert_eq!(client.get("/").status, 502);
    assert_eq!(bad.iter().map(|server| server.seen().len()).sum::<usize>(), 3, "a GET is sent twice at most");
}

#[test]
fn an_instance_that_takes_no_connection_is_passed_over() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = Server::answering(|seen| ok(std::str::from_utf8(&seen.body).unwrap()));
    let bench = Bench::new(2, &[]);
    bench.attach(1, 2, Upstream::Tcp(closed));
    let mut client = bench.connect();
    client.send(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\nab");
    wait_for("the request to wait", || (bench.report().queued == 1).then_some(()));
    bench.attach(2, 2, Upstream::Tcp(good.address));
    assert_eq!(client.answer().unwrap().body, "ab", "whole, and though it is not idempotent");
    for _ in 0..20 {
        assert_eq!(post(&mut client).status, 200);
    }
}

#[test]
fn a_kept_connection_that_the_instance_has_closed_is_not_used() {
    let server = Server::talking(|peer| {
        peer.read();
        peer.done();
        peer.say(&ok("once"));
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    for _ in 0..100 {
        assert_eq!(post(&mut client).status, 200);
        // One that it closes while the next request is on its way cannot be told from one that it had read.
        wait_for("the connection to be closed", || (server.open() == 0).then_some(()));
    }
    assert_eq!(server.connections(), 100);
}

#[test]
fn clients_see_nothing_of_an_instance_that_dies_while_others_live() {
    let servers = [Server::saying("a"), Server::saying("b"), Server::saying("c")];
    let bench = Bench::new(2, &servers.each_ref());
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (front, is_over, answered) = (bench.front, is_over.clone(), answered.clone());
            std::thread::spawn(move || {
                let mut client = Client::connect(front);
                while !is_over.load(Ordering::Relaxed) {
                    let answer = client.get("/");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for (number, server) in (1..).zip(&servers).take(2) {
        let before = answered.load(Ordering::Relaxed);
        wait_for("some answers", || (answered.load(Ordering::Relaxed) > before + 50).then_some(()));
        server.kill();
        // The hub hears of it later than clients do.
        std::thread::sleep(Duration::from_millis(20));
        bench.shard.gone(instance(number), "killed".into());
    }
    let before = answered.load(Ordering::Relaxed);
    wait_for("some more answers", || (answered.load(Ordering::Relaxed) > before + 50).then_some(()));
    is_over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    bench.wait_idle();
}

#[test]
fn an_instance_that_fails_again_and_again_is_left_alone() {
    let (bad, good) = (breaking(), Server::saying("good"));
    let bench = Bench::new(4, &[&bad, &good]);
    // Bound by turns: each instance is new, and takes one request at a time.
    for _ in 0..100 {
        let mut client = bench.connect();
        post(&mut client);
    }
    let failed = bad.seen().len();
    assert!(failed <= 5, "{failed}");
    bench.wait_idle();
}

#[test]
fn a_response_that_breaks_off_is_not_taken_for_whole() {
    for begun in ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let server = Server::talking(move |peer| {
            peer.read();
            peer.done();
            peer.say(format!("HTTP/1.1 200 OK\r\n{begun}").as_bytes());
        });
        let bench = Bench::new(1, &[&server]);
        let answer = bench.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("0\r\n\r\n"), "{answer}");
        bench.wait_idle();
    }
}

#[test]
fn a_response_that_is_no_http_is_a_bad_gateway() {
    for said in [
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
    ] {
        let server = Server::answering(move |_| said.as_bytes().to_vec());
        let bench = Bench::new(1, &[&server]);
        let answer = bench.ask("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{said:?}: {answer}");
        bench.wait_idle();
    }
}

#[test]
fn a_response_of_two_lengths_is_read_as_chunked_and_passed_as_such() {
    let server = Server::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            .to_vec()
    });
    let bench = Bench::new(1, &[&server]);
    let answer = bench.ask("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with("2\r\nab\r\n0\r\n\r\n") && !answer.contains("content-length"), "{answer}");
}

#[test]
fn an_instance_is_reached_by_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Read, Write};
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let lines = stream.by_ref().lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        assert_eq!(head[0], "GET /by/socket HTTP/1.1");
        stream.get_mut().write_all(&ok("socket")).unwrap();
    });
    let bench = Bench::new(1, &[]);
    bench.attach(1, 1, Upstream::Unix(path.into()));
    assert_eq!(bench.connect().get("/by/socket").body, "socket");
    server.join().unwrap();
}
