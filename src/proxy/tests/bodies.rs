//! Bodies pass as they come, whatever their size.

use std::io::{Read, Write};

use super::bench::{Bench, Server, ok};

/// More than all buffers on the way hold. That memory stays small is for `tests/it/proxy` to see, in a process of its own.
const LARGE: usize = 96 << 20;

#[test]
fn large_bodies_pass_both_ways_at_once() {
    let server = Server::talking(|peer| {
        let head = peer.head().unwrap();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut left: usize = length.parse().unwrap();
        peer.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n").as_bytes());
        let mut buffer = vec![0; 64 << 10];
        // Given back as it comes, so that both ways are busy at once.
        while left > 0 {
            let length = peer.stream.read(&mut buffer).unwrap();
            peer.say(&buffer[..length]);
            left -= length;
        }
        peer.done();
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\nconnection: close\r\n\r\n")
            .as_bytes(),
    );
    let mut upload = client.stream.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let part: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
        (0..LARGE / part.len()).for_each(|_| upload.write_all(&part).unwrap());
    });
    assert!(client.answer_head().starts_with(&["HTTP/1.1 200 OK".to_owned()]));
    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
    while read < LARGE {
        let length = client.stream.read(&mut buffer).unwrap();
        assert!(length > 0, "it ends after {read} bytes");
        assert!(buffer[..length].iter().enumerate().all(|(at, byte)| *byte == ((read + at) % 256) as u8));
        read += length;
    }
    sender.join().unwrap();
    bench.wait_idle();
}

#[test]
fn a_client_that_does_not_read_stops_the_instance() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::talking(move |peer| {
        peer.read().unwrap();
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n");
        let stream = peer.stream.get_mut();
        stream.set_nonblocking(true).unwrap();
        let (part, mut written, mut last) = (vec![0; 64 << 10], 0, std::time::Instant::now());
        // It is stopped when nothing more is taken for a while.
        while last.elapsed() < std::time::Duration::from_millis(500) && written < LARGE {
            match stream.write(&part) {
                Ok(length) => (written, last) = (written + length, std::time::Instant::now()),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
        tell.send(written).unwrap();
        peer.done();
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let written = told.recv_timeout(super::bench::BOUND).unwrap();
    assert!(written < 64 << 20, "{written} bytes were taken though nobody reads them");
}

#[test]
fn events_come_one_by_one() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = parking_lot::Mutex::new(told);
    let server = Server::talking(move |peer| {
        peer.read().unwrap();
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            peer.say(b"9\r\ndata: x\n\n\r\n");
            told.lock().recv().unwrap();
        }
        peer.say(b"0\r\n\r\n");
        peer.done();
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.answer().unwrap();
    for _ in 0..3 {
        let mut event = [0; 14];
        client.stream.read_exact(&mut event).unwrap();
        assert_eq!(&event, b"9\r\ndata: x\n\n\r\n");
        tell.send(()).unwrap();
    }
    bench.wait_idle();
}

#[test]
fn a_body_arrives_as_it_was_sent_however_it_is_cut() {
    let server = Server::answering(|seen| ok(std::str::from_utf8(&seen.body).unwrap()));
    let bench = Bench::new(1, &[&server]);
    let whole = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
    let mut client = bench.connect();
    for cut in 1..whole.len() {
        client.send(&whole.as_bytes()[..cut]);
        std::thread::yield_now();
        client.send(&whole.as_bytes()[cut..]);
        assert_eq!(client.answer().unwrap().body, "hello, world");
    }
}
