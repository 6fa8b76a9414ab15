//! A tree of 21,891 calls of one service that has one slot: while a call waits for its children it holds none.

use super::{Project, checks, in_three_ways};
use crate::support::Sandbox;

// Where it is replayed at every wait, each of the 753 calls of the smaller one is run three times.
in_three_ways!(Sandbox::project("trees"), checks![fib_of_13], in_place: checks![fib_of_20]);

fn fib_of_20(project: &Project) {
    assert_eq!(project.call(&["solo", "20"]), 6_765);
    assert_eq!(project.call(&["asolo", "20"]), 6_765);
}

fn fib_of_13(project: &Project) {
    assert_eq!(project.call(&["solo", "13"]), 233);
    assert_eq!(project.call(&["asolo", "13"]), 233);
}
