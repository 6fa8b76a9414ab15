//! Programs of others, unchanged, each used as it is meant to be: gunicorn, httpbin, uvicorn with Starlette, Node.js, and
//! Python's own file server.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::front_of;
use super::load::{Clients, answer, connect};
use crate::node::with_node;
use crate::support::Sandbox;
use crate::support::hub::Hub;
use crate::support::tools::{self, run};

const PACKAGES: [&str; 6] = [
    "gunicorn>=25,<28",
    "httpbin>=0.10,<1",
    "starlette>=0.40,<2",
    "uvicorn>=0.30,<1",
    "websockets>=14,<17",
    "h11",
];

fn environment() -> PathBuf {
    tools::venv("programs-venv", &PACKAGES)
}

fn sandbox() -> Sandbox {
    with_node(Sandbox::project("programs")).first_on_path(&environment().join("bin"))
}

/// Whatever is passed on is one and the same request for all of them.
fn all_read_the_same(hub: &Hub<'_>) {
    let requests = [
        (
            "GET /a%2Fb;c?x=1&y=%20 HTTP/1.1\r\nhost: shop.test\r\n\r\n",
            "GET",
            "/a%2Fb;c?x=1&y=%20",
            "",
            "shop.test",
        ),
        ("GET http://shop.test:8/p HTTP/1.1\r\nhost: other\r\n\r\n", "GET", "/p", "", "shop.test:8"),
        (
            "POST /l HTTP/1.1\r\nhost: s\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            "POST",
            "/l",
            "0\r\n\r\n",
            "s",
        ),
        (
            "POST /c HTTP/1.1\r\nhost: s\r\ntransfer-encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n003\r\n, w\r\n0\r\nx-trailer: 1\r\n\r\n",
            "POST",
            "/c",
            "hello, w",
            "s",
        ),
        (
            "PUT /b HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "PUT",
            "/b",
            "ab",
            "s",
        ),
        ("DELETE /d HTTP/1.1\r\nhost: s\r\nconnection: x-mine\r\nx-mine: 1\r\n\r\n", "DELETE", "/d", "", "s"),
        ("GET /n HTTP/1.1\nhost: s\n\n", "GET", "/n", "", "s"),
        ("OPTIONS /o HTTP/1.0\r\nhost: s\r\n\r\n", "OPTIONS", "/o", "", "s"),
    ];
    for (request, method, target, body, host) in requests {
        let expected = json!({ "method": method, "target": target, "body": body, "host": host, "x": null, "for": "127.0.0.1" });
        for service in ["wsgi", "asgi", "node"] {
            let text = exchange(front_of(hub, service), request);
            let seen: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{service}: {text}"));
            assert_eq!(seen, expected, "{service} of {request:?}");
        }
    }
}

/// The body of the answer.
fn exchange(front: SocketAddr, request: &str) -> String {
    let url = format!("http://{front}");
    let mut http = crate::support::http::Http::connect(&url);
    http.send(request.as_bytes());
    http.response().expect("an answer").body
}

fn get(front: SocketAddr, path: &str) -> String {
    exchange(front, &format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n"))
}

#[test]
fn programs_of_others_are_used_as_they_are() {
    let sandbox = sandbox();
    let hub = Hub::up(&sandbox, &[]);
    all_read_the_same(&hub);
    let httpbin = front_of(&hub, "httpbin");
    assert_eq!(
        serde_json::from_str::<Value>(&get(httpbin, "/get?a=b")).unwrap()["args"],
        json!({ "a": "b" })
    );
    assert_eq!(get(httpbin, "/stream/20").lines().count(), 20);
    let mut connection = connect(httpbin);
    for _ in 0..3 {
        std::io::Write::write_all(connection.get_mut(), b"GET /status/418 HTTP/1.1\r\nhost: web\r\n\r\n")
            .unwrap();
        assert_eq!(answer(&mut connection).map(|(status, _)| status), Some(418));
    }
    assert!(get(front_of(&hub, "files"), "/").contains("server.mjs"));
    assert_eq!(
        get(front_of(&hub, "files"), "/server.mjs"),
        fs::read_to_string(sandbox.path("server.mjs")).unwrap()
    );
    let asgi = front_of(&hub, "asgi");
    assert_eq!(get(asgi, "/count"), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    let mut talk = Command::new(environment().join("bin/python"));
    assert_eq!(run(talk.arg(sandbox.path("talk.py")).arg(asgi.to_string())), "closed with 1000\n");
}

#[test]
fn programs_of_others_are_scaled_and_rolled_under_load() {
    let sandbox = sandbox();
    let hub = Hub::up(&sandbox, &[]);
    let services = ["wsgi", "asgi", "node"];
    let clients = services.map(|service| Clients::start(front_of(&hub, service), "GET /x", 4));
    clients.iter().for_each(|clients| clients.answer(50));
    for service in services {
        hub.msx(&["scale", &format!("{service}=2")]);
        hub.msx(&["restart", service]);
        hub.msx(&["scale", &format!("{service}=1")]);
    }
    clients.iter().for_each(|clients| clients.answer(50));
    for (service, clients) in services.into_iter().zip(clients) {
        assert_eq!(clients.end(), [""; 0], "{service}");
    }
}
