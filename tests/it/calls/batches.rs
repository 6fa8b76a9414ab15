//! Functions that take several calls at once.

use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use super::{Project, checks, in_three_ways};
use crate::support::Sandbox;
use crate::support::hub::wait_for;

const CHECKS: &[(&str, fn(&Project))] = checks![
    a_thousand_calls_come_in_few_runs,
    each_parameter_is_a_list,
    what_waits_is_taken_when_the_slot_is_free,
    a_call_alone_is_a_batch_of_one,
    an_exception_in_the_list_is_of_one_caller,
    arguments_that_do_not_fit_are_of_one_caller,
    a_list_of_another_length_is_an_error_for_all,
    what_a_run_raises_is_raised_at_all,
    each_call_has_its_own_retries,
    a_killed_instance_takes_a_whole_batch_with_it,
    who_leaves_takes_nobody_with_it,
    a_batch_that_nobody_waits_for_is_cancelled,
    a_batch_waits_for_calls_of_its_own,
    batches_wait_for_batches,
    a_batch_whose_instance_dies_while_it_waits_goes_on_elsewhere,
    people_see_the_batch_of_a_call,
];

in_three_ways!(Sandbox::project("batches"), CHECKS);

fn a_thousand_calls_come_in_few_runs(project: &Project) {
    let before = project.marks("squares.runs");
    let got = project.call(&["many", "1000"]);
    let got = got.as_array().unwrap();
    assert_eq!(got.len(), 1000);
    for (n, pair) in got.iter().enumerate() {
        assert_eq!(pair[0], n * n);
        assert!(pair[1].as_u64().is_some_and(|size| (1..=32).contains(&size)), "{pair}");
    }
    // Each is full or has waited for 50 ms.
    let runs = project.marks("squares.runs") - before;
    assert!((32..=200).contains(&runs), "{runs} runs");
}

fn each_parameter_is_a_list(project: &Project) {
    let expected: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    assert_eq!(project.call(&["joined"]), json!(expected));
}

fn what_waits_is_taken_when_the_slot_is_free(project: &Project) {
    let runs = project.call(&["counted", "200"]);
    let runs = runs.as_array().unwrap().len();
    assert!((4..=100).contains(&runs), "{runs} runs for 200 calls, of up to 64 each");
}

fn a_call_alone_is_a_batch_of_one(project: &Project) {
    assert_eq!(project.call(&["squares", "7"]), json!([49, 1]));
}

fn an_exception_in_the_list_is_of_one_caller(project: &Project) {
    let odd = |n: u32| json!(["ValueError", format!("{n} is odd")]);
    assert_eq!(project.call(&["judged"]), json!([0, odd(1), 2, odd(3)]));
}

fn arguments_that_do_not_fit_are_of_one_caller(project: &Project) {
    let bad = json!(["TypeError", "squares(): too many positional arguments"]);
    assert_eq!(project.call(&["refused"]), json!([4, bad, 9]));
}

fn a_list_of_another_length_is_an_error_for_all(project: &Project) {
    let error = json!([
        "ValueError",
        "taken.forgets runs batches: for its 3 calls it must return a list of 3, in their order, but it returned 2"
    ]);
    assert_eq!(project.call(&["forgotten"]), json!([error, error, error]));
}

fn what_a_run_raises_is_raised_at_all(project: &Project) {
    let error = json!(["KeyError", "'all of them'"]);
    assert_eq!(project.call(&["exploded"]), json!([error, error]));
}

fn each_call_has_its_own_retries(project: &Project) {
    assert_eq!(project.call(&["healed", "healed"]), json!([2, 2, 2]));
}

fn a_killed_instance_takes_a_whole_batch_with_it(project: &Project) {
    let lost = project.call(&["killed", "lost", "0"]);
    for error in lost.as_array().unwrap() {
        assert_eq!(error[0], "InstanceDied", "{lost}");
    }
    assert_eq!(project.call(&["killed", "saved", "3"]), json!([2, 2, 2]));
}

fn who_leaves_takes_nobody_with_it(project: &Project) {
    assert_eq!(project.call(&["leaves", "left"]), json!(["TimeoutError", "LEFT.OTHER"]));
}

fn a_batch_that_nobody_waits_for_is_cancelled(project: &Project) {
    let late = json!("TimeoutError");
    assert_eq!(project.call(&["abandons", "abandoned"]), json!([late, late, late]));
    wait_for("the end of the run", || (project.marks("abandoned.0.cancelled") > 0).then_some(()));
}

fn a_batch_waits_for_calls_of_its_own(project: &Project) {
    let expected: Vec<u32> = (0..10).map(|x| 2 * x + 1).collect();
    assert_eq!(project.call(&["summed", "10"]), json!(expected));
    assert_eq!(project.call(&["asummed", "10"]), json!(expected));
}

fn batches_wait_for_batches(project: &Project) {
    assert_eq!(project.call(&["factorials", "5"]), json!([1, 2, 6, 24, 120]));
}

fn a_batch_whose_instance_dies_while_it_waits_goes_on_elsewhere(project: &Project) {
    let pid = || {
        let instance = project.hub.service("holds")["instances"][0].clone();
        instance["pid"].as_u64().map(|pid| pid.to_string())
    };
    let got = thread::scope(|scope| {
        let caller = scope.spawn(|| project.call(&["held", "gated"]));
        wait_for("the call of the batch", || (project.marks("gated.asked") > 0).then_some(()));
        let first = pid().unwrap();
        assert!(Command::new("kill").args(["-9", &first]).status().unwrap().success());
        wait_for("another instance", || pid().filter(|pid| *pid != first));
        std::fs::write(project.sandbox.path("marks/gated.open"), ".").unwrap();
        (caller.join().unwrap(), first)
    });
    let (got, first) = got;
    for pair in got.as_array().unwrap() {
        assert_eq!(pair[1], 3, "the same batch: {got}");
        assert_ne!(pair[0].to_string(), first, "{got}");
    }
    assert_eq!(project.marks("gated.asked"), 1);
}

fn people_see_the_batch_of_a_call(project: &Project) {
    let calls = |project: &Project| -> Vec<Value> {
        let calls: Value =
            serde_json::from_str(&project.hub.msx(&["calls", "--service", "lasts", "--json"])).unwrap();
        calls["live"].as_array().unwrap().clone()
    };
    thread::scope(|scope| {
        let callers = ["seen", "seen"].map(|name| scope.spawn(move || project.call(&["lasts", name])));
        let (member, batch) = wait_for("the batch", || {
            let calls = calls(project);
            let member = calls.iter().find(|call| call["status"] == "batched")?.clone();
            let batch = calls.iter().find(|call| call["id"] == member["batch"]["id"])?.clone();
            (batch["status"] == "running").then_some((member, batch))
        });
        let size = member["batch"]["size"].as_u64().unwrap();
        assert_eq!(batch["batch"], json!({"size": size, "id": null}));
        assert_eq!((&member["instance"], &batch["instance"]), (&json!("lasts-1"), &json!("lasts-1")));
        let id = member["id"].as_str().unwrap();
        let why = project.hub.msx(&["why", id]);
        let batch = batch["id"].as_str().unwrap();
        assert!(
            why.contains(&format!("in the batch {batch} of {size}:\n{batch}  taken.lasts: running")),
            "{why}"
        );
        std::fs::write(project.sandbox.path("marks/seen.open"), ".").unwrap();
        callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), "SEEN"));
        let trace = project.hub.msx(&["trace", id]);
        assert!(trace.contains(&format!("{id} taken.lasts in the batch {batch}")), "{trace}");
    });
}
