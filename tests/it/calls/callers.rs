//! Callers that do not wait for the answer: their call is cancelled, and everything that it called.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::edges::sandbox;
use super::{Project, checks};
use crate::support::hub::wait_for;

#[test]
fn who_leaves_cancels_the_call() {
    let sandbox = sandbox(&["plain", "gates"]);
    Project::up(&sandbox).check(checks![
        ctrl_c_cancels_the_call,
        the_command_line_gives_up,
        a_connection_that_closes_cancels_the_call,
        the_gateway_gives_up,
    ]);
}

/// Services that wait at a gate: running, or waiting for one that runs.
const SERVICES: [&str; 4] = ["gate", "agate", "passes", "apasses"];

/// Calls that wait at the gate of their name have ended; whatever had begun was told.
fn is_cancelled(project: &Project, name: &str) {
    project.rests();
    let told = || project.marks(&format!("{name}.cancelled")) == project.marks(&format!("{name}.waiting"));
    wait_for("the code to be told", || told().then_some(()));
}

fn waits(project: &Project, name: &str) {
    wait_for("the call to run", || (project.marks(&format!("{name}.waiting")) == 1).then_some(()));
}

fn ctrl_c_cancels_the_call(project: &Project) {
    for service in SERVICES {
        let name = format!("interrupted-{service}");
        let running = project.sandbox.start(&["call", service, &name]);
        waits(project, &name);
        running.interrupt();
        let (code, stdout, _) = running.end();
        assert_eq!((code, stdout.as_str()), (Some(130), ""));
        is_cancelled(project, &name);
    }
}

fn the_command_line_gives_up(project: &Project) {
    for service in SERVICES {
        let name = format!("late-{service}");
        let (code, stderr) = project.hub.call_fails(&[service, &name, "--timeout", "300ms"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("300ms") || stderr.contains("0.3"), "{stderr}");
        is_cancelled(project, &name);
    }
}

/// Sends a request with these headers, and answers its connection.
fn request(project: &Project, service: &str, name: &str, headers: &str) -> TcpStream {
    let gateway = project.hub.gateway();
    let host = gateway.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).unwrap();
    let body = format!("{{\"name\": \"{name}\"}}");
    let head = format!(
        "POST /call/{service} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{headers}connection: close\r\n"
    );
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream
}

fn a_connection_that_closes_cancels_the_call(project: &Project) {
    for service in SERVICES {
        let name = format!("closed-{service}");
        let stream = request(project, service, &name, "");
        waits(project, &name);
        drop(stream);
        is_cancelled(project, &name);
    }
}

fn the_gateway_gives_up(project: &Project) {
    for service in SERVICES {
        let name = format!("slow-{service}");
        let mut answer = String::new();
        request(project, service, &name, "x-request-timeout: 0.3\r\n").read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        is_cancelled(project, &name);
    }
}
