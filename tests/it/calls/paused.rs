//! Replays that do something else than before: they name both calls, and are paused where their service says so.

use serde_json::{Value, json};

use super::{Project, checks};
use crate::support::hub::wait_for;
use crate::support::typist::Typist;
use crate::support::{Running, Sandbox};

type Checks = [(&'static str, fn(&Project))];

const CHECKS: &Checks = checks![
    a_paused_call_goes_on_when_its_code_is_right_again,
    one_that_differs_again_stays_paused,
    with_force_it_goes_on_with_what_it_asks_for_now,
    on_a_terminal_force_asks_first,
    a_call_without_a_result_differs,
    a_call_of_a_task_differs,
    a_memo_in_place_of_a_call_differs,
    a_caller_waits_and_a_cancel_ends_it,
    a_deadline_ends_it,
    where_the_service_says_so_the_call_fails,
    what_is_not_paused_is_not_retried,
];

#[test]
fn calls_are_paused_under_replay() {
    let sandbox = Sandbox::project("paused");
    Project::up_replaying(&sandbox).check(CHECKS);
}

#[test]
fn calls_are_paused_where_none_are_parked() {
    let sandbox = Sandbox::project("paused");
    sandbox.edit("services.toml", "instances = 1", "instances = 1\nmax_parked = 0");
    Project::up(&sandbox).check(CHECKS);
}

fn item(project: &Project, item: u32) {
    std::fs::write(project.sandbox.path("item"), item.to_string()).unwrap();
}

fn open(project: &Project, gate: &str) {
    std::fs::write(project.sandbox.path(format!("{gate}.open")), "").unwrap();
}

/// A call that has asked for item 1, and whose replay asks for item 2 once the gate is open.
fn differs(project: &Project, service: &str, gate: &str, more: &[&str]) -> Running {
    item(project, 1);
    let args: Vec<&str> = ["call", service, gate].into_iter().chain(more.iter().copied()).collect();
    let running = project.sandbox.start(&args);
    let reached = project.sandbox.path(format!("{gate}.reached"));
    wait_for("the gate to be reached", || reached.exists().then_some(()));
    item(project, 2);
    open(project, gate);
    running
}

fn seen(project: &Project, args: &[&str]) -> Value {
    let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&project.hub.msx(&all)).unwrap()
}

/// The id of the one call of a service that is paused.
fn paused(project: &Project, service: &str) -> String {
    wait_for("the call to be paused", || {
        let listed = seen(project, &["calls", "--status", "paused", "--service", service]);
        listed["live"].as_array().unwrap().first().map(|call| call["id"].as_str().unwrap().to_owned())
    })
}

fn result(running: Running) -> Value {
    let (code, stdout, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// What a call that must fail says.
fn failure(running: Running) -> String {
    let (code, _, stderr) = running.end();
    assert_eq!(code, Some(1), "{stderr}");
    stderr
}

/// What an msx that must fail says.
fn fails(project: &Project, args: &[&str]) -> String {
    let output = project.sandbox.msx(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stderr
}

fn a_paused_call_goes_on_when_its_code_is_right_again(project: &Project) {
    let running = differs(project, "recorded", "right", &[]);
    let id = paused(project, "recorded");
    let why = project.hub.msx(&["why", &id]);
    for part in [
        "orders.recorded: paused",
        "did something else than before at its call number 0:",
        "before: orders.double(1) at orders.py:35 in recorded",
        "now:    orders.double(2) at orders.py:35 in recorded",
        &format!("msx calls retry {id}"),
        "it fails in 23h",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let trace = seen(project, &["trace", &id]);
    assert_eq!(trace["calls"][0]["status"], "paused");
    item(project, 1);
    let retried = seen(project, &["calls", "retry", &id]);
    assert!(["goes_on", "ended"].contains(&retried["outcome"].as_str().unwrap()), "{retried}");
    assert_eq!(result(running), json!([2, 2]));
}

fn one_that_differs_again_stays_paused(project: &Project) {
    let running = differs(project, "recorded", "again", &[]);
    let id = paused(project, "recorded");
    let again = fails(project, &["calls", "retry", &id]);
    for part in [
        "differs again at its call number 0, and is paused",
        "before: orders.double(1)",
        "now:    orders.double(2)",
    ] {
        assert!(again.contains(part), "{part}: {again}");
    }
    assert_eq!(paused(project, "recorded"), id);
    item(project, 1);
    project.hub.msx(&["calls", "retry", &id]);
    assert_eq!(result(running), json!([2, 2]));
}

fn with_force_it_goes_on_with_what_it_asks_for_now(project: &Project) {
    let running = differs(project, "recorded", "force", &[]);
    let id = paused(project, "recorded");
    let refused = fails(project, &["calls", "retry", &id, "--force"]);
    assert!(refused.contains("error: nothing was changed"), "{refused}");
    let plan = "what is forgotten, and happens once more if the code asks for it again:\n  \
                orders.double(1) at orders.py:35 in recorded\n  orders.gated(\"force\", 2) at orders.py:36 in recorded\n";
    assert!(refused.contains(plan), "{refused}");
    assert_eq!(paused(project, "recorded"), id);
    project.hub.msx(&["calls", "retry", &id, "--force", "--yes"]);
    assert_eq!(result(running), json!([4, 4]));
}

fn on_a_terminal_force_asks_first(project: &Project) {
    let running = differs(project, "recorded", "asks", &[]);
    let id = paused(project, "recorded");
    let answered = |answer: &str| {
        let mut retry = Typist::start(project.sandbox, &["calls", "retry", &id, "--force"]);
        let asked = retry.read_until("go on from there? [y/N]\n");
        assert!(asked.contains("what is forgotten, and happens once more"), "{asked}");
        retry.type_line(answer);
        retry.end()
    };
    for no in ["", "n", "Y es"] {
        let (code, said) = answered(no);
        assert_eq!((code, said.contains("error: nothing was changed")), (Some(1), true), "{no}: {said}");
    }
    assert_eq!(paused(project, "recorded"), id);
    let (code, said) = answered("y");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("replayed {id}, a call of orders.recorded: ")), "{said}");
    assert_eq!(result(running), json!([4, 4]));
}

/// The hub finds it, and the attempt has to leave its worker first.
fn a_call_without_a_result_differs(project: &Project) {
    let running = differs(project, "pending", "fast", &["slow"]);
    let id = paused(project, "pending");
    let why = project.hub.msx(&["why", &id]);
    for part in [
        "before: orders.gated(\"slow\", 1) at orders.py:52 in pending",
        "now:    orders.gated(\"slow\", 2) at orders.py:52 in pending",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    project.hub.msx(&["calls", "retry", &id, "--force", "--yes"]);
    open(project, "slow");
    assert_eq!(result(running), json!([2]));
}

fn a_call_of_a_task_differs(project: &Project) {
    let running = differs(project, "arecorded", "task", &[]);
    let id = paused(project, "arecorded");
    let why = project.hub.msx(&["why", &id]);
    assert!(why.contains("before: orders.double(1) at orders.py:46 in asked"), "{why}");
    item(project, 1);
    project.hub.msx(&["calls", "retry", &id]);
    assert_eq!(result(running), json!([2, 2]));
}

fn a_memo_in_place_of_a_call_differs(project: &Project) {
    let running = differs(project, "memo", "memo", &[]);
    let id = paused(project, "memo");
    let why = project.hub.msx(&["why", &id]);
    assert!(why.contains("now:    msx.run(item) at orders.py:60 in memo"), "{why}");
    project.hub.msx(&["calls", "retry", &id, "--force", "--yes"]);
    assert_eq!(result(running), json!([2, 2]));
}

fn a_caller_waits_and_a_cancel_ends_it(project: &Project) {
    let running = differs(project, "caller", "cancel", &[]);
    let id = paused(project, "recorded");
    let why = seen(project, &["why", id.split('.').next().unwrap()]);
    assert_eq!(why["chain"][1]["call"]["status"], "paused", "{why}");
    project.hub.msx(&["cancel", &id]);
    let stderr = failure(running);
    assert!(stderr.contains("msx.Cancelled"), "{stderr}");
}

fn a_deadline_ends_it(project: &Project) {
    let running = differs(project, "recorded", "late", &["--timeout", "4s"]);
    paused(project, "recorded");
    let stderr = failure(running);
    assert!(stderr.contains("did not answer within 4 s"), "{stderr}");
}

fn where_the_service_says_so_the_call_fails(project: &Project) {
    let stderr = failure(differs(project, "fails", "fail", &[]));
    let message = "msx.NonDeterminismError: orders.fails was run again and did something else than before at its call number 0:\n  \
                   before: orders.double(1) at orders.py:66 in fails\n  now:    orders.double(2) at orders.py:66 in fails\n";
    assert!(stderr.contains(message), "{stderr}");
}

fn what_is_not_paused_is_not_retried(project: &Project) {
    item(project, 1);
    let running = project.sandbox.start(&["call", "recorded", "live"]);
    let reached = project.sandbox.path("live.reached");
    wait_for("the gate to be reached", || reached.exists().then_some(()));
    let live = seen(project, &["calls", "--service", "recorded"]);
    let id = live["live"][0]["id"].as_str().unwrap().to_owned();
    for force in [&["calls", "retry", &id][..], &["calls", "retry", &id, "--force", "--yes"]] {
        let refused = fails(project, force);
        let message =
            format!("error: the call {id} is not paused: it is evicted\nhelp: `msx why {id}` shows");
        assert!(refused.contains(&message), "{refused}");
    }
    open(project, "live");
    assert_eq!(result(running), json!([2, 2]));
    let ended = fails(project, &["calls", "retry", &id]);
    assert!(ended.contains("has ended"), "{ended}");
}
