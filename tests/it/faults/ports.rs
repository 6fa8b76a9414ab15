//! Ports: kept over restarts, taken by others, named by the manifest.

use std::net::TcpListener;

use nix::sys::signal::Signal;

use super::{all_end, send};
use crate::support::Sandbox;
use crate::support::hub::Hub;

const SERVICE: &str = "from msx import microservice\n\n@microservice\ndef one():\n    return 1\n";

fn project(manifest: &str) -> Sandbox {
    Sandbox::with_manifest(&format!("[python]\nmodules = [\"one\"]\n{manifest}")).file("one.py", SERVICE)
}

/// A port that another program holds as long as the listener lives.
fn taken() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_front_keeps_its_port() {
    let sandbox = Sandbox::project("gates");
    let access =
        |hub: &Hub| ["pid", "gate", "parks"].map(|name| hub.call(&["msx.orchestrator.access", name]));
    let hub = Hub::up(&sandbox, &[]);
    let before = access(&hub);
    hub.msx(&["restart", "pid"]);
    hub.msx(&["scale", "gate=2"]);
    assert_eq!(access(&hub), before, "while it runs");
    hub.msx(&["down"]);
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(access(&hub), before, "over a stop");
    let pids = [hub.pid()];
    send(&pids, Signal::SIGKILL);
    all_end(&pids);
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(access(&hub), before, "over a crash");
}

#[test]
fn a_front_whose_port_was_taken_meanwhile_gets_another() {
    let sandbox = project("[gateway]\nlisten = \"127.0.0.1:0\"\n");
    let hub = Hub::up(&sandbox, &[]);
    let before = hub.call(&["msx.orchestrator.access", "one"]);
    hub.msx(&["down"]);
    let address = before.trim_start_matches("http://").trim_end_matches('/');
    let thief = TcpListener::bind(address).unwrap();
    let hub = Hub::up(&sandbox, &[]);
    assert_ne!(hub.call(&["msx.orchestrator.access", "one"]), before);
    assert_eq!(hub.call(&["one"]), "1");
    drop(thief);
}

#[test]
fn a_taken_port_that_the_manifest_names_is_an_error() {
    let (_held, port) = taken();
    let address = format!("127.0.0.1:{port}");
    let gateway = project(&format!("[gateway]\nlisten = \"{address}\"\n"));
    let front =
        project(&format!("[gateway]\nlisten = \"127.0.0.1:0\"\n[services.one]\nlisten = \"{address}\"\n"));
    for (sandbox, what) in [(&gateway, "the gateway"), (&front, "the front of one.one")] {
        for args in [&["up"][..], &["up", "-d"]] {
            let up = sandbox.run(args);
            assert!(up.starts_with("exit: 1\n--- stdout\n--- stderr\n"), "{up}");
            assert!(up.contains(&format!("{what} cannot listen on {address}: ")), "{up}");
            assert!(up.contains(&format!("another program holds port {port} ")), "{up}");
            assert!(up.contains("listen = \"127.0.0.1:"), "with the line of the manifest: {up}");
        }
        assert!(crate::support::hub::marked(&sandbox.root()).is_empty());
    }
}

#[test]
fn the_default_port_of_the_gateway_gives_way() {
    // Whoever holds it, another test or this one, it is taken now.
    let _held = TcpListener::bind("127.0.0.1:8080");
    let sandbox = project("");
    let output = sandbox.msx(&["up", "-d", "--wait"]).output().unwrap();
    let hub = Hub { sandbox: &sandbox };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let gateway = hub.gateway();
    let port: u16 = gateway.rsplit(':').next().unwrap().parse().unwrap();
    assert!((8081..8180).contains(&port), "{gateway}");
    let note = format!(
        "port 8080 is taken, so the gateway listens on {port} (`[gateway] listen` names a fixed one)"
    );
    assert!(stderr.contains(&note), "{stderr}");
}
