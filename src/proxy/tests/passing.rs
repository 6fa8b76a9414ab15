//! What passes, and how it looks on the other side.

use std::io::{Read, Write};

use super::bench::{Bench, Server, ok};

#[test]
fn a_request_and_its_response_pass_and_connections_are_kept_on_both_sides() {
    let server = Server::answering(|seen| ok(&format!("{} {}", seen.line(), seen.body.len())));
    let bench = Bench::new(4, &[&server]);
    let mut client = bench.connect();
    for path in ["/", "/a?b=c", "/%7Ex"] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.body), (200, format!("GET {path} HTTP/1.1 0")));
    }
    client.send(b"POST /p HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(client.answer().unwrap().body, "POST /p HTTP/1.1 5");
    assert_eq!(server.connections(), 1);
    bench.wait_idle();
}

#[test]
fn the_instance_is_told_who_asks_and_by_which_name() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    let mut client = bench.connect();
    client.get("/");
    client.send(
        b"GET / HTTP/1.1\r\nhost: shop.test:80\r\nx-forwarded-for: 10.0.0.1\r\nx-forwarded-proto: https\r\nforwarded: for=10.0.0.1\r\nx_forwarded_for: 6.6.6.6\r\n\r\n",
    );
    client.answer().unwrap();
    let seen = server.seen();
    let told = |at: usize| {
        ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x_forwarded_for"]
            .map(|name| seen[at].header(name).unwrap_or("-").to_owned())
    };
    assert_eq!(told(0), ["web", "127.0.0.1", "http", "web", "for=127.0.0.1;host=\"web\";proto=http", "-"]);
    assert_eq!(
        told(1),
        [
            "shop.test:80",
            "10.0.0.1, 127.0.0.1",
            "https",
            "shop.test:80",
            "for=10.0.0.1, for=127.0.0.1;host=\"shop.test:80\";proto=http",
            "-"
        ]
    );
}

#[test]
fn what_concerns_one_connection_does_not_pass() {
    let server = Server::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\nx-yours: 2\r\n\r\n"
            .to_vec()
    });
    let bench = Bench::new(4, &[&server]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: x-mine, host\r\nx-mine: 1\r\nkeep-alive: 5\r\nproxy-authorization: secret\r\nx-yours: 2\r\n\r\n");
    let answer = client.answer().unwrap();
    let names = ["connection", "x-mine", "keep-alive", "proxy-authorization", "x-yours", "host"];
    let seen = &server.seen()[0];
    assert_eq!(names.map(|name| seen.header(name)), [None, None, None, None, Some("2"), Some("web")]);
    assert_eq!(names.map(|name| answer.header(name)), [None, None, None, None, Some("2"), None]);
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let server = Server::talking(|peer| {
        let seen = peer.read().unwrap();
        assert_eq!(seen.body, b"hello world");
        peer.done();
        peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n");
    });
    let bench = Bench::new(4, &[&server]);
    let answer = bench.ask("POST / HTTP/1.1\r\nhost: web\r\nte: trailers\r\nconnection: close, te\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    assert!(answer.ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    assert_eq!(server.seen()[0].header("te"), Some("trailers"));
}

#[test]
fn responses_without_a_body_have_none() {
    let server = Server::answering(|seen| match seen.line().split(' ').nth(1).unwrap() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n".to_vec(),
        _ if seen.line().starts_with("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec(),
        _ => ok("body"),
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    for (path, status) in [("/204", 204), ("/304", 304)] {
        let answer = client.get(path);
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
    }
    client.send(b"HEAD /h HTTP/1.1\r\nhost: web\r\n\r\nGET /g HTTP/1.1\r\nhost: web\r\n\r\n");
    let mut text = vec![0; 400];
    let mut length = 0;
    while !text[..length].ends_with(b"body") {
        length += client.stream.read(&mut text[length..]).unwrap();
    }
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    assert!(text.contains("content-length: 1234\r\n") && text.contains("content-length: 4\r\n"), "{text}");
    assert_eq!((server.connections(), server.most()), (1, 1));
}

#[test]
fn a_server_of_http_1_0_is_passed_on_as_1_1() {
    let server = Server::talking(|peer| {
        peer.read().unwrap();
        peer.done();
        peer.say(b"HTTP/1.0 200 Fine\r\nserver: old\r\n\r\nuntil the end");
    });
    let bench = Bench::new(4, &[&server]);
    for _ in 0..2 {
        let answer = bench.ask("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 Fine\r\n"), "{answer}");
        assert!(answer.ends_with("D\r\nuntil the end\r\n0\r\n\r\n"), "{answer}");
    }
    assert_eq!(server.connections(), 2);
    let answer = bench.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 Fine\r\n") && answer.ends_with("until the end"), "{answer}");
}

#[test]
fn the_whole_address_of_a_request_becomes_a_path_and_a_host() {
    let server = Server::saying("");
    let bench = Bench::new(4, &[&server]);
    bench.ask("GET http://u@shop.test:81/a?b HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n");
    bench.ask("OPTIONS * HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    let seen = server.seen();
    assert_eq!((seen[0].line(), seen[0].header("host")), ("GET /a?b HTTP/1.1", Some("shop.test:81")));
    assert_eq!(seen[1].line(), "OPTIONS * HTTP/1.1");
}

#[test]
fn the_client_is_asked_for_its_body_when_the_instance_wants_it() {
    let server = Server::talking(|peer| {
        let head = peer.head().unwrap();
        assert!(head.contains(&"expect: 100-continue".to_owned()), "{head:?}");
        peer.say(b"HTTP/1.1 100 Continue\r\n\r\n");
        let mut body = [0; 5];
        peer.stream.read_exact(&mut body).unwrap();
        peer.done();
        peer.say(&ok(std::str::from_utf8(&body).unwrap()));
    });
    let bench = Bench::new(4, &[&server]);
    let mut client = bench.connect();
    client.send(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 100);
    client.send(b"hello");
    assert_eq!(client.answer().unwrap().body, "hello");
}

#[test]
fn a_body_that_the_instance_does_not_want_is_never_asked_for() {
    let server = Server::talking(|peer| {
        peer.head().unwrap();
        peer.done();
        peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
        // Not closed before the client's side: it must not be sent a body all the same.
        let mut nothing = Vec::new();
        peer.stream.read_to_end(&mut nothing).unwrap();
        assert!(nothing.is_empty(), "{nothing:?}");
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    bench.wait_idle();
}

#[test]
fn an_upgrade_is_made_when_the_instance_agrees() {
    let server = Server::talking(|peer| {
        let head = peer.head().unwrap();
        assert!(
            head.contains(&"upgrade: echo".to_owned()) && head.contains(&"connection: upgrade".to_owned()),
            "{head:?}"
        );
        peer.say(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nfirst ");
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = peer.stream.read(&mut buffer) {
            peer.say(&buffer[..length]);
        }
        peer.done();
    });
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(
        b"GET / HTTP/1.1\r\nhost: web\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\nearly ",
    );
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.status, answer.header("upgrade"), answer.header("connection")),
        (101, Some("echo"), Some("upgrade"))
    );
    let mut read = |wanted: &str| {
        let mut bytes = vec![0; wanted.len()];
        client.stream.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
        client.stream.get_mut().write_all(b"more").unwrap();
    };
    read("first early ");
    read("more");
    assert_eq!(bench.report().busy, 1, "it holds its slot");
    drop(client);
    bench.wait_idle();
}

#[test]
fn an_upgrade_that_is_refused_is_a_response() {
    let server = Server::saying("no");
    let bench = Bench::new(1, &[&server]);
    let mut client = bench.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "no"));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn nobody_gets_an_upgrade_that_was_not_asked_for() {
    let server = Server::answering(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()
    });
    let bench = Bench::new(1, &[&server]);
    assert!(
        bench.ask("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 502 ")
    );
    bench.ask("GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n");
    assert_eq!(server.seen()[1].header("upgrade"), None, "a request is not passed on as HTTP/2");
    bench.wait_idle();
}
