//! Calls that call, while the services they run in are scaled, restarted and killed.

use crate::support::Sandbox;
use crate::support::hub::{Hub, kill, wait_for};
use crate::support::load::Load;

const SERVICES: [&str; 4] = ["leaf", "branch", "waves", "trunk"];

/// So many calls are answered from now on.
fn go_on(load: &Load, calls: usize) {
    let target = load.answered() + calls;
    wait_for("calls to be answered", || (load.answered() >= target).then_some(()));
}

fn is_at_rest(hub: &Hub) -> bool {
    let ps = hub.ps();
    let idle = |service: &serde_json::Value| {
        let instances = service["instances"].as_array().unwrap();
        service["queue"] == 0 && instances.iter().all(|i| i["busy"] == 0 && i["parked"] == 0)
    };
    ps["services"].as_array().unwrap().iter().all(idle)
}

#[test]
fn trees_of_calls_survive_scaling_and_restarts() {
    let sandbox = Sandbox::project("trunk");
    let hub = Hub::up(&sandbox, &[]);
    let load = Load::start(&hub.gateway(), "trunk", "{\"x\": 5}", 8);
    go_on(&load, 20);
    for instances in [3, 1, 2] {
        for name in SERVICES {
            hub.msx(&["scale", &format!("{name}={instances}")]);
            go_on(&load, 5);
        }
        let restarted = SERVICES.map(|name| sandbox.start(&["restart", name]));
        for restart in restarted {
            let (code, _, stderr) = restart.end();
            assert_eq!(code, Some(0), "{stderr}");
        }
        go_on(&load, 5);
    }
    let tally = load.end();
    assert_eq!(tally.failures, Vec::<String>::new());
    assert_eq!(tally.results.keys().collect::<Vec<_>>(), ["22"]);
    assert!(is_at_rest(&hub));
}

#[test]
fn a_killed_instance_costs_the_calls_that_ran_in_it_and_no_others() {
    let sandbox = Sandbox::project("trunk");
    let hub = Hub::up(&sandbox, &[]);
    for name in SERVICES {
        hub.msx(&["scale", &format!("{name}=2")]);
    }
    let load = Load::start(&hub.gateway(), "trunk", "{\"x\": 5}", 8);
    for name in SERVICES {
        go_on(&load, 20);
        kill(hub.pids(name)[0], 9);
        wait_for("the replacement", || (hub.pids(name).len() == 2).then_some(()));
    }
    go_on(&load, 20);
    let tally = load.end();
    assert_eq!(tally.results.keys().collect::<Vec<_>>(), ["22"]);
    let is_death = |failure: &String| failure.starts_with("502: ") && failure.contains("killed by SIGKILL");
    assert!(tally.failures.iter().all(is_death), "{:#?}", tally.failures);
    // Each has two slots, and the `async def` one runs what all callers have in flight.
    assert!(tally.failures.len() <= 2 + 2 + 8 + 2, "{:#?}", tally.failures);
    assert!(is_at_rest(&hub));
}
