//! Programs behind their fronts: what a client sees while instances die, come, go and are replaced.

mod bodies;
mod load;
mod programs;
mod slots;
mod upgrades;

use std::net::SocketAddr;

use crate::support::Sandbox;
use crate::support::hub::Hub;

/// The address of the front of `web`, `127.0.0.1:PORT`.
fn front(hub: &Hub<'_>) -> SocketAddr {
    front_of(hub, "web")
}

fn front_of(hub: &Hub<'_>, service: &str) -> SocketAddr {
    let address = hub.service(service)["address"].as_str().unwrap().to_owned();
    address.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

fn project() -> Sandbox {
    Sandbox::project("proxied")
}
