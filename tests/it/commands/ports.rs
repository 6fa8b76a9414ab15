//! Ports that strangers take.

use std::net::TcpListener;

use super::{instance, project, upstream, wait_state};
use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};

/// Says which port it has, and waits until it may go on; only the first process does.
fn waits_with_its_port(then: &str) -> Sandbox {
    let script = format!(
        "if ! test -f port; then echo $PORT > port.new; mv port.new port; until test -f go; do sleep 0.05; done; fi; {then}"
    );
    project(&format!("[services.web]\ncommand = [\"sh\", \"-c\", {script:?}]\nrestart = \"on-failure\"\n"))
}

/// Takes the port between its choice and the start of the server.
fn steal(sandbox: &Sandbox) -> TcpListener {
    let port = wait_for("the port of the first process", || {
        std::fs::read_to_string(sandbox.path("port")).ok()?.trim().parse::<u16>().ok()
    });
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::fs::write(sandbox.path("go"), "").unwrap();
    stranger
}

#[test]
fn a_port_that_was_taken_meanwhile_is_changed_for_another() {
    let sandbox = waits_with_its_port("exec python3 -m http.server -b 127.0.0.1 $PORT");
    let up = sandbox.start(&["up", "-d", "--wait"]);
    let hub = Hub { sandbox: &sandbox };
    let stranger = steal(&sandbox);
    let (code, _, error) = up.end();
    assert_eq!(code, Some(0), "a taken port is no failure of the program: {error}");
    let web = wait_state(&hub, "web", "ready");
    assert_ne!(upstream(&web), stranger.local_addr().unwrap().to_string());
    assert_eq!(web["restarts"], 1);
}

#[test]
fn a_strangers_answers_are_not_taken_for_the_programs() {
    let sandbox = waits_with_its_port("sleep 1000");
    let up = sandbox.start(&["up", "-d", "--wait"]);
    let hub = Hub { sandbox: &sandbox };
    let stranger = steal(&sandbox);
    let process = std::process::id();
    // The stranger listens, and the program lives: it must not be ready.
    wait_for("the probe to look again", || {
        let log = std::fs::read_to_string(sandbox.path("go")).ok();
        log.and_then(|_| (instance(&hub, "web")["age_s"].as_f64()? > 1.0).then_some(()))
    });
    assert_eq!(instance(&hub, "web")["state"], "starting", "{process} holds its port");
    drop(stranger);
    hub.msx(&["down"]);
    up.end();
}
