//! Large bodies: they pass, and the hub stays as small as it was.

use std::io::{Read, Write};

use super::load::{answer, connect};
use super::{front, project};
use crate::support::hub::Hub;

const MIB: usize = 1 << 20;
const BODY_MIB: usize = 256;
/// Buffers of both sides, and what the allocator keeps.
const GROWTH_MIB_MAX: usize = 24;

fn resident_mib(pid: i32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096 / MIB
}

#[test]
fn large_bodies_pass_in_little_memory() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let (front, pid) = (front(&hub), hub.pid());
    let before = resident_mib(pid);
    let mut most = before;
    let part = vec![7; MIB];
    for head in [format!("content-length: {}", BODY_MIB * MIB), "transfer-encoding: chunked".to_owned()] {
        let mut connection = connect(front);
        let stream = connection.get_mut();
        write!(stream, "POST /upload HTTP/1.1\r\nhost: web\r\n{head}\r\n\r\n").unwrap();
        for _ in 0..BODY_MIB {
            if head.starts_with('t') {
                write!(stream, "{MIB:x}\r\n").unwrap();
            }
            stream.write_all(&part).unwrap();
            if head.starts_with('t') {
                stream.write_all(b"\r\n").unwrap();
            }
            most = most.max(resident_mib(pid));
        }
        if head.starts_with('t') {
            stream.write_all(b"0\r\n\r\n").unwrap();
        }
        assert_eq!(answer(&mut connection), Some((200, (BODY_MIB * MIB).to_string())));
    }
    let mut connection = connect(front);
    // In parts of 64 KiB.
    write!(
        connection.get_mut(),
        "GET /download?{} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n",
        BODY_MIB * 16
    )
    .unwrap();
    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let length = connection.read(&mut buffer).unwrap();
        read += length;
        most = most.max(resident_mib(pid));
        if length == 0 {
            break;
        }
    }
    assert!(read > BODY_MIB * MIB && read < BODY_MIB * MIB + 1000, "{read}");
    assert!(most < before + GROWTH_MIB_MAX, "from {before} to {most} MiB");
}
