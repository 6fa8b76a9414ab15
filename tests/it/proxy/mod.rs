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
    let address = hub.service("web")["address"].as_str().unwrap().to_owned();
    address.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

fn project() -> Sandbox {
    Sandbox::project("proxied")
}
