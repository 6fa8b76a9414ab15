//! Services that scale themselves, under a load that comes and goes.

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;

/// What `ps` told while the load came and went: the reasons of the autoscaler, oldest first.
fn reasons(service: &Value) -> Vec<String> {
    let reasons = service["why"].as_array().unwrap().iter().rev();
    reasons.map(|reason| reason["text"].as_str().unwrap().to_owned()).collect()
}

/// From one instance to `max` and back to one, with no failed call. Answers the reasons.
fn up_and_down(hub: &Hub, name: &str, max: usize, callers: usize) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut until = |instances: usize| {
        wait_for(&format!("{instances} instances of {name}"), || {
            let service = hub.service(name);
            for reason in reasons(&service) {
                if !seen.contains(&reason) {
                    seen.push(reason);
                }
            }
            let all = service["instances"].as_array().unwrap();
            (all.len() == instances && all.iter().all(|one| one["state"] == "ready")).then_some(())
        });
    };
    until(1);
    let load = Load::start(&hub.gateway(), name, "{}", callers);
    until(max);
    let tally = load.end();
    assert_eq!(tally.failures, Vec::<String>::new());
    until(1);
    seen
}

#[test]
fn a_service_that_sleeps_scales_itself() {
    let sandbox = Sandbox::project("auto");
    let hub = Hub::up(&sandbox, &[]);
    let reasons = up_and_down(&hub, "sleeps", 4, 16);
    let tells = |text: &str| reasons.iter().any(|reason| reason.contains(text));
    assert!(tells(" → 4: ") && tells("offered "), "{reasons:#?}");
    assert!(tells("over the last 2 s never more than "), "{reasons:#?}");
    let why = hub.msx(&["ps", "--why"]);
    assert!(why.contains("over the last 2 s never more than "), "{why}");
    assert_eq!(hub.pids("burns").len(), 1, "without load nothing happens");
}

#[test]
fn a_service_that_burns_cpu_scales_itself() {
    let sandbox = Sandbox::project("auto");
    let hub = Hub::up(&sandbox, &[]);
    let reasons = up_and_down(&hub, "burns", 2, 6);
    assert!(reasons.iter().any(|reason| reason.starts_with("1 → 2: ")), "{reasons:#?}");
    assert!(reasons.iter().any(|reason| reason.starts_with("2 → 1: ")), "{reasons:#?}");
}

#[test]
fn a_pinned_service_does_not_scale_itself() {
    let sandbox = Sandbox::project("auto");
    let hub = Hub::up(&sandbox, &[]);
    hub.msx(&["scale", "sleeps=1"]);
    let load = Load::start(&hub.gateway(), "sleeps", "{}", 16);
    wait_for("the reason", || {
        let service = hub.service("sleeps");
        let decision = service["decision"].as_str().unwrap_or_default();
        decision.starts_with("pinned at 1 by `msx scale`").then_some(())
    });
    let target = load.answered() + 100;
    wait_for("calls", || (load.answered() >= target).then_some(()));
    assert_eq!(hub.pids("sleeps").len(), 1);
    hub.msx(&["scale", "sleeps=auto"]);
    wait_for("more instances", || (hub.pids("sleeps").len() > 1).then_some(()));
    assert_eq!(load.end().failures, Vec::<String>::new());
}
