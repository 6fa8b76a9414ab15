//! `msx restart`: one instance at a time, the new one first.

use std::collections::BTreeSet;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;

#[test]
fn a_restart_under_load_replaces_every_process_and_fails_no_call() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &["--scale", "counted=2"]);
    wait_for("two instances", || (hub.pids("counted").len() == 2).then_some(()));
    let load = Load::start(&hub.gateway(), "counted", "{}", 6);
    wait_for("the load", || (load.answered() > 50).then_some(()));
    let old: BTreeSet<i32> = hub.pids("counted").into_iter().collect();
    hub.msx(&["restart", "counted"]);
    let new: BTreeSet<i32> = hub.pids("counted").into_iter().collect();
    let target = load.answered() + 50;
    wait_for("calls after it", || (load.answered() >= target).then_some(()));
    let tally = load.end();
    assert_eq!(tally.failures, Vec::<String>::new());
    assert_eq!(new.len(), 2);
    assert!(old.is_disjoint(&new), "{old:?} {new:?}");
}

#[test]
fn a_restart_whose_new_instance_fails_keeps_the_old_one() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    let old = hub.pids("counted");
    sandbox.edit("counted.py", "running = 0\n", "running = 0\nraise RuntimeError('no such table: orders')\n");
    let restart = sandbox.run(&["restart", "counted"]);
    assert!(restart.starts_with("exit: 1\n"), "{restart}");
    assert!(restart.contains("did not stay up"), "{restart}");
    assert!(restart.contains("RuntimeError: no such table: orders"), "with its log: {restart}");
    assert_eq!(hub.pids("counted"), old);
    hub.call(&["counted"]);
    wait_for("only the old one to be left", || {
        (hub.service("counted")["instances"].as_array().unwrap().len() == 1).then_some(())
    });
}

#[test]
fn a_restart_leaves_the_number_of_instances_as_it_was() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    let old = hub.pids("counted");
    // Longer than the autoscaler's period, so that it sees the old one beside the new one.
    hub.msx(&["restart", "counted"]);
    let service = hub.service("counted");
    assert_eq!((&service["desired"], &service["mode"]), (&1.into(), &"auto".into()), "{service:#}");
    assert_eq!(hub.pids("counted").len(), 1);
    assert_ne!(hub.pids("counted"), old);
}
