//! Instances that are killed while calls are parked in them.

use std::thread;

use serde_json::json;

use super::Project;
use super::edges::sandbox;
use crate::support::hub::{kill, wait_for};

/// More than fit into the slots of the instance; each walks a set, and waits at its gate in the middle.
const CALLS: u64 = 4;

#[test]
fn parked_calls_finish_on_another_instance() {
    let sandbox = sandbox(&["plain", "gates"]);
    let project = Project::up(&sandbox);
    for service in ["waits", "awaits"] {
        let words = json!((0..20).map(|i| format!("word {i}")).collect::<Vec<_>>()).to_string();
        let names: Vec<String> = (0..CALLS).map(|i| format!("{service}-{i}")).collect();
        thread::scope(|scope| {
            let (project, words) = (&project, &words);
            let call = |name| scope.spawn(move || project.call(&[service, name, words]));
            let calls: Vec<_> = names.iter().map(|name| call(name)).collect();
            all_are_parked(project, service);

            let old = project.hub.pids(service);
            old.iter().for_each(|pid| kill(*pid, 9));
            wait_for("the replacement", || {
                let pids = project.hub.pids(service);
                (!pids.is_empty() && pids != old).then_some(())
            });
            names.iter().for_each(|name| open(project, name));
            for call in calls {
                assert_eq!(call.join().unwrap(), json!([true, 20]));
            }
        });
        for name in &names {
            assert_eq!(project.marks(&format!("{name}.begun")), 2, "{name} began once in each instance");
            assert_eq!(project.marks(&format!("{name}.waiting")), 1, "what it waited for was asked for once");
        }
    }
    project.rests();
}

fn all_are_parked(project: &Project, service: &str) {
    wait_for("all calls to be parked", || {
        let instances = project.hub.service(service)["instances"].as_array().unwrap().clone();
        let parked = instances.iter().filter_map(|instance| instance["parked"].as_u64()).sum::<u64>();
        (parked == CALLS).then_some(())
    });
}

fn open(project: &Project, name: &str) {
    std::fs::write(project.sandbox.path("marks").join(format!("{name}.open")), ".").unwrap();
}
