//! Slots: never more requests in an instance than it has, whoever leaves; what gets none is told so.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::bench::{BOUND, Bench, Server, ok, wait_for};
use crate::config::spec::QueuePolicy;
use crate::core::Event;
use crate::proxy::tests::bench::instance;

/// A server whose answers take a while.
fn slow(time: Duration) -> Server {
    Server::answering(move |_| {
        std::thread::sleep(time);
        ok("done")
    })
}

#[test]
fn an_instance_never_works_on_more_than_its_slots_though_clients_give_up() {
    let servers = [slow(Duration::from_millis(4)), slow(Duration::from_millis(4))];
    let bench = Bench::new(3, &servers.each_ref());
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..60)
        .map(|number| {
            let (front, answered) = (bench.front, answered.clone());
            std::thread::spawn(move || {
                for round in 0..10 {
                    let mut client = super::bench::Client::connect(front);
                    client.send(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n");
                    // Two of three leave, some at once, some in the middle.
                    if (number + round) % 3 == 0 {
                        assert_eq!(client.answer().unwrap().status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        std::thread::sleep(Duration::from_millis(round % 5));
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    bench.wait_idle();
    assert_eq!(answered.load(Ordering::Relaxed), 200);
    assert_eq!(servers.each_ref().map(Server::most), [3, 3]);
    let report = bench.report();
    assert_eq!((report.busy, report.queued), (0, 0));
}

#[test]
fn a_slot_is_held_until_the_instance_has_answered_though_its_client_is_gone() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = parking_lot::Mutex::new(told);
    let server = Server::answering(move |seen| {
        if seen.line().contains("/first") {
            told.lock().recv().unwrap();
        }
        ok("")
    });
    let bench = Bench::new(1, &[&server]);
    let mut first = bench.connect();
    first.send(b"GET /first HTTP/1.1\r\nhost: web\r\n\r\n");
    wait_for("the first request", || (!server.seen().is_empty()).then_some(()));
    drop(first);
    let mut second = bench.connect();
    second.send(b"GET /second HTTP/1.1\r\nhost: web\r\n\r\n");
    wait_for("the second to wait", || (bench.report().queued == 1).then_some(()));
    assert_eq!((bench.report().busy, server.seen().len()), (1, 1));
    tell.send(()).unwrap();
    assert_eq!(second.answer().unwrap().status, 200);
    assert_eq!((server.most(), server.connections()), (1, 1), "the connection is still good");
}

#[test]
fn a_stream_that_nobody_reads_any_more_is_ended() {
    let server = Server::talking(|peer| {
        peer.read().unwrap();
        peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
        while peer.stream.get_mut().write_all(b"data: x\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        peer.done();
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(bench.report().busy, 1);
    drop(client);
    bench.wait_idle();
}

#[test]
fn what_is_too_much_is_refused_with_its_reason() {
    let queue = QueuePolicy { max: 2, timeout: Duration::from_millis(300) };
    let server = slow(Duration::from_secs(1));
    let bench = Bench::with_queue(1, queue, &[&server]);
    let mut clients: Vec<_> = (0..4).map(|_| bench.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        let seen = |report: crate::core::ServiceReport| report.busy + report.queued > at || at == 3;
        wait_for("the request to be seen", || seen(bench.report()).then_some(()));
    }
    let mut told: Vec<_> = clients.iter_mut().map(|client| client.answer().unwrap()).collect();
    let reasons: Vec<_> = told.iter().map(|a| (a.status, a.header("x-msx-reason").unwrap_or("-"))).collect();
    assert_eq!(reasons, [(200, "-"), (503, "queue_timeout"), (503, "queue_timeout"), (503, "queue_full")]);
    let last = told.pop().unwrap();
    assert_eq!(last.header("retry-after"), Some("1"));
    assert_eq!(
        last.body,
        r#"{"detail":"the queue of web is full (its max is 2)","status":503,"title":"Service Unavailable","type":"urn:msx:queue-full"}"#
    );
    assert_eq!(clients[3].get("/").status, 200, "the connection is still good");
    assert_eq!(bench.report().meter.refused, 3);
}

#[test]
fn a_client_that_is_slow_with_its_body_holds_no_slot() {
    let server = Server::saying("");
    let bench = Bench::new(1, &[&server]);
    let mut slow = bench.connect();
    slow.send(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(bench.connect().get("/").status, 200);
    slow.send(b"ab");
    assert_eq!(slow.answer().unwrap().status, 200);
}

#[test]
fn an_instance_that_is_new_gets_one_request_until_it_has_answered() {
    let server = slow(Duration::from_millis(50));
    let bench = Bench::new(8, &[&server]);
    let mut clients: Vec<_> = (0..8).map(|_| bench.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n"));
    wait_for("the first answer", || (bench.report().busy > 1).then_some(()));
    assert!(bench.report().meter.completed >= 1);
    clients.iter_mut().for_each(|client| assert_eq!(client.answer().unwrap().status, 200));
    assert!(server.most() > 1);
}

#[test]
fn a_draining_instance_ends_what_it_has_and_gets_nothing_new() {
    let servers = [slow(Duration::from_millis(100)), Server::saying("other")];
    let bench = Bench::new(1, &[&servers[0]]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    wait_for("the request", || (servers[0].seen().len() == 1).then_some(()));
    bench.shard.event(Event::Drain { instance: instance(1), replay_now: false });
    bench.attach(2, 1, crate::model::Upstream::Tcp(servers[1].address));
    assert_eq!(bench.connect().get("/").body, "other");
    assert_eq!(client.answer().unwrap().body, "done");
    assert_eq!(client.get("/").body, "other");
}

#[test]
fn a_connection_rests_for_a_second_and_a_half_at_most() {
    let server = Server::saying("");
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.get("/");
    assert_eq!(server.connections(), 1);
    let start = std::time::Instant::now();
    wait_for("the connection to be closed", || (server.open() == 0).then_some(()));
    assert!(start.elapsed() < BOUND && start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(server.connections(), 2);
}
