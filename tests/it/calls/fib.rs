//! A tree of 21,891 calls of one service that has one slot: while a call waits for its children it holds none.

use super::{Project, checks};
use crate::support::Sandbox;

const WHOLE: &[(&str, fn(&Project))] = checks![fib_of_20];
const SMALLER: &[(&str, fn(&Project))] = checks![fib_of_13];

#[test]
fn in_place() {
    let sandbox = Sandbox::project("trees");
    Project::up(&sandbox).check(WHOLE);
}

/// Each of the 753 calls is run three times.
#[test]
fn replayed_at_every_wait() {
    let sandbox = Sandbox::project("trees");
    Project::up_replaying(&sandbox).check(SMALLER);
}

#[test]
fn with_room_for_two_waiting_calls() {
    let sandbox = Sandbox::project("trees");
    sandbox.edit("services.toml", "max_parked = 256", "max_parked = 2");
    Project::up(&sandbox).check(SMALLER);
}

fn fib_of_20(project: &Project) {
    assert_eq!(project.call(&["solo", "20"]), 6_765);
    assert_eq!(project.call(&["asolo", "20"]), 6_765);
}

fn fib_of_13(project: &Project) {
    assert_eq!(project.call(&["solo", "13"]), 233);
    assert_eq!(project.call(&["asolo", "13"]), 233);
}
