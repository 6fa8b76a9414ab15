//! WebSockets and streams of events.

use std::io::{BufRead, Read, Write};

use super::load::connect;
use super::{front, project};
use crate::support::hub::{Hub, wait_for};

#[test]
fn a_websocket_and_a_stream_of_events_pass() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let mut socket = connect(front(&hub));
    socket
        .get_mut()
        .write_all(
            b"GET / HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let head: Vec<String> =
        socket.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert_eq!(head[0], "HTTP/1.1 101 Switching Protocols");
    assert!(head.contains(&"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()), "{head:?}");
    for round in 0..20_u8 {
        let text = [round; 100];
        let mask = [1, 2, round, 4];
        let masked: Vec<u8> = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let message = [&[0x82, 0x80 | 100][..], &mask, &masked].concat();
        socket.get_mut().write_all(&message).unwrap();
        let mut echo = [0; 102];
        socket.read_exact(&mut echo).unwrap();
        assert_eq!((&echo[..2], &echo[2..]), (&[0x82, 100][..], &text[..]));
    }
    assert_eq!(busy(&hub), 1, "it holds a slot");
    let mut events = connect(front(&hub));
    events.get_mut().write_all(b"GET /events?3 HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    events.read_to_string(&mut text).unwrap();
    assert!(
        text.ends_with("9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        "{text}"
    );
    drop(socket);
    wait_for("the slot to be free", || (busy(&hub) == 0).then_some(()));
}

fn busy(hub: &Hub<'_>) -> u64 {
    let service = hub.service("web");
    service["instances"].as_array().unwrap().iter().map(|instance| instance["busy"].as_u64().unwrap()).sum()
}
