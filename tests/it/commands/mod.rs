//! Services with a `command`: programs that know nothing of msx, as real processes.

mod dependencies;
mod ends;
mod ports;
mod probes;
mod servers;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::http::{Http, Response};
use crate::support::hub::{Hub, wait_for};

/// A project with these services and no functions.
fn project(services: &str) -> Sandbox {
    Sandbox::with_manifest(&format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{services}"))
}

/// The first instance of a service.
fn instance(hub: &Hub<'_>, service: &str) -> Value {
    hub.service(service)["instances"][0].clone()
}

/// Waits until the first instance of a service is in this state.
fn wait_state(hub: &Hub<'_>, service: &str, state: &str) -> Value {
    wait_for(&format!("{service} to be {state}"), || {
        Some(instance(hub, service)).filter(|instance| instance["state"] == state)
    })
}

/// Where an instance takes connections.
fn upstream(instance: &Value) -> String {
    instance["upstream"].as_str().unwrap().to_owned()
}

fn get(address: &str, path: &str) -> Response {
    let mut http = Http::connect(address);
    http.ask("GET", path, &[("connection", "close")], "");
    http.response().unwrap()
}
