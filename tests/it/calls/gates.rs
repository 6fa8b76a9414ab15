//! Instances that are killed while calls are parked in them.

use std::thread;

use serde_json::json;

use super::Project;
use super::edges::sandbox;
use crate::support::hub::{kill, wait_for};

/// As many as the service has slots.
const SLOTS: u64 = 2;

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
            wait_for("all to be parked", || (counted(project, service, "parked") == CALLS).then_some(()));

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

/// A stopped process reads nothing: what it is given then has not begun when it is killed.
#[test]
fn what_an_instance_has_not_read_runs_on_another() {
    let sandbox = sandbox(&["plain", "gates"]);
    let project = Project::up(&sandbox);
    let words = json!((0..20).map(|i| format!("word {i}")).collect::<Vec<_>>()).to_string();
    thread::scope(|scope| {
        let parked = scope.spawn(|| project.call(&["waits", "parked", &words]));
        wait_for("the call to be parked", || (counted(&project, "waits", "parked") == 1).then_some(()));
        let old = project.hub.pids("waits");
        old.iter().for_each(|pid| kill(*pid, 19));
        open(&project, "parked");
        let new = scope.spawn(|| project.call(&["waits", "new", &words]));
        open(&project, "new");
        wait_for("its slots to be taken", || (counted(&project, "waits", "busy") == SLOTS).then_some(()));
        old.iter().for_each(|pid| kill(*pid, 9));
        assert_eq!(parked.join().unwrap(), json!([true, 20]));
        assert_eq!(new.join().unwrap(), json!([true, 20]));
    });
    assert_eq!((project.marks("parked.begun"), project.marks("new.begun")), (2, 1));
    assert_eq!((project.marks("parked.waiting"), project.marks("new.waiting")), (1, 1));
    project.rests();
}

fn counted(project: &Project, service: &str, what: &str) -> u64 {
    let instances = project.hub.service(service)["instances"].as_array().unwrap().clone();
    instances.iter().filter_map(|instance| instance[what].as_u64()).sum()
}

/// Lets the call at the gate of this name pass.
pub fn open(project: &Project, name: &str) {
    std::fs::write(project.sandbox.path("marks").join(format!("{name}.open")), ".").unwrap();
}
