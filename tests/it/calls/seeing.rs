//! What is seen of calls: lists, chains of waiting, traces and stacks; and calls that are cancelled by their id.

use std::thread;

use serde_json::Value;

use super::{Project, checks};
use crate::support::http::Http;
use crate::support::hub::wait_for;
use crate::support::{Running, Sandbox};

type Checks = [(&'static str, fn(&Project))];

const CHECKS: &Checks = checks![
    a_parked_call_and_the_one_it_waits_for,
    a_queued_call_behind_a_busy_slot,
    a_trace_while_it_goes_on_and_afterwards,
    a_cancelled_tree_leaves_nothing,
    a_cancelled_fan_out_leaves_nothing,
    a_cancelled_child_tells_its_parent,
    a_cancelled_request_is_answered,
    a_queued_call_is_cancelled_before_it_has_begun,
    how_calls_ended,
];

#[test]
fn calls_are_seen() {
    let sandbox = Sandbox::project("seeing");
    Project::up(&sandbox).check(CHECKS);
}

#[test]
fn calls_are_seen_under_replay() {
    let sandbox = Sandbox::project("seeing");
    Project::up_replaying(&sandbox).check(CHECKS);
}

#[test]
fn calls_are_seen_where_few_are_parked() {
    let sandbox = Sandbox::project("seeing");
    sandbox.edit("services.toml", "threads = 1", "threads = 1\nmax_parked = 2");
    Project::up(&sandbox).check(CHECKS);
}

#[test]
fn stacks_are_seen() {
    let sandbox = Sandbox::project("seeing");
    Project::up(&sandbox)
        .check(checks![a_stuck_loop_shows_its_line, parked_threads_and_tasks_show_where_they_wait,]);
}

/// The JSON that an msx prints which must succeed.
fn seen(project: &Project, args: &[&str]) -> Value {
    let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&project.hub.msx(&all)).unwrap()
}

/// `msx call` under way, its gate reached.
fn start(project: &Project, service: &str, args: &[&str], gate: &str) -> Running {
    let all: Vec<&str> = ["call", service].into_iter().chain(args.iter().copied()).collect();
    let running = project.sandbox.start(&all);
    reached(project, gate);
    running
}

fn reached(project: &Project, gate: &str) {
    let file = project.sandbox.path(format!("{gate}.reached"));
    wait_for("the gate to be reached", || file.exists().then_some(()));
}

fn open(project: &Project, gate: &str) {
    std::fs::write(project.sandbox.path(format!("{gate}.open")), "").unwrap();
}

/// The one live call of a service, once it has settled in one of these states.
fn live(project: &Project, service: &str, statuses: &[&str]) -> Value {
    wait_for("the call to be listed", || {
        let listed = seen(project, &["calls", "--service", service]);
        let live = listed["live"].as_array().unwrap();
        live.first().filter(|call| statuses.iter().any(|status| call["status"] == *status)).cloned()
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value}"))
}

/// Where a call is that waits for others: under replay in no instance.
fn waiting(project: &Project) -> &'static [&'static str] {
    if project.replays { &["evicted"] } else { &["parked"] }
}

fn a_parked_call_and_the_one_it_waits_for(project: &Project) {
    let call = start(project, "passes", &["parked"], "parked");
    let root = live(project, "passes", waiting(project));
    let id = text(&root, "id");
    assert_eq!(id.len(), 8, "{id}");
    assert_eq!(root["summary"], "to parked  [31mnow", "one line without control characters");
    assert_eq!((&root["children"], &root["unfinished"]), (&1.into(), &1.into()));

    for name in [id, &id[..7]] {
        let why = seen(project, &["why", name]);
        let [first, last] = why["chain"].as_array().unwrap().as_slice() else { panic!("{why}") };
        assert_eq!(first["waits_for"]["calls"], 1);
        assert_eq!(text(&last["call"], "id"), format!("{id}.0"));
        assert_eq!((text(&last["call"], "status"), text(&last["call"], "instance")), ("running", "gate-1"));
        assert_eq!(last["call"]["summary"], "at parked");
    }
    let shown = project.hub.msx(&["why", id]);
    assert!(shown.contains(&format!("{id}.0  seen.gate (at parked): running in gate-1 for ")), "{shown}");

    open(project, "parked");
    let (code, stdout, _) = call.end();
    assert_eq!((code, stdout.as_str()), (Some(0), "parked\n"));
}

fn a_queued_call_behind_a_busy_slot(project: &Project) {
    let holds = start(project, "gate", &["holds"], "holds");
    let holder = text(&live(project, "gate", &["running"]), "id").to_owned();
    let behind: Vec<Running> = (0..2).map(|_| project.sandbox.start(&["call", "gate", "holds"])).collect();
    let queued = wait_for("both to be queued", || {
        let queued = seen(project, &["calls", "--status", "queued"]);
        let queued = queued["live"].as_array().unwrap().clone();
        (queued.len() == 2).then_some(queued)
    });
    let last = text(&queued[1], "id");

    let why = seen(project, &["why", last]);
    let queue = &why["chain"][0]["queue"];
    let numbers = ["position", "queued", "busy", "slots", "ready"].map(|name| queue[name].as_u64().unwrap());
    assert_eq!(numbers, [2, 2, 1, 1, 1], "{queue}");
    assert_eq!(
        (text(&queue["holders"][0], "id"), text(&queue["holders"][0], "instance")),
        (&*holder, "gate-1")
    );
    let shown = project.hub.msx(&["why", last]);
    assert!(
        shown.contains("number 2 of 2 in the queue\n  1 of 1 slots are busy, in one instance\n"),
        "{shown}"
    );

    let stack = project.sandbox.run(&["stack", last]);
    assert!(stack.contains(&format!("error: no instance runs the call {last}: it is queued")), "{stack}");

    open(project, "holds");
    [holds].into_iter().chain(behind).for_each(|call| assert_eq!(call.end().0, Some(0)));
}

fn a_trace_while_it_goes_on_and_afterwards(project: &Project) {
    let call = start(project, "dives", &["2", "traced"], "traced");
    let root = live(project, "dives", waiting(project));
    let id = text(&root, "id");
    let ids: Vec<String> = ["", ".0", ".0.0", ".0.0.0"].map(|path| format!("{id}{path}")).to_vec();
    let ids_of = |trace: &Value| -> Vec<String> {
        trace["calls"].as_array().unwrap().iter().map(|call| text(call, "id").to_owned()).collect()
    };

    let trace = seen(project, &["trace", id]);
    assert_eq!(ids_of(&trace), ids);
    assert_eq!(text(&trace["calls"][3], "status"), "running");
    assert!(trace["calls"][0]["waits"][0]["resumed_s"].is_null());
    assert_eq!(ids_of(&seen(project, &["trace", &ids[2]])), ids[2..], "what is below a call");

    open(project, "traced");
    assert_eq!(call.end().1, "traced..\n");
    let trace = seen(project, &["trace", id]);
    assert_eq!(ids_of(&trace), ids);
    for (depth, call) in trace["calls"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&call["depth"], text(call, "status")), (&depth.into(), "returned"));
        let time = |of: &Value, key: &str| of[key].as_f64().unwrap_or_else(|| panic!("no {key} in {of}"));
        let mut times = vec![time(call, "queued_s"), time(call, "started_s")];
        for wait in call["waits"].as_array().unwrap() {
            times.extend(["parked_s", "over_s", "resumed_s"].map(|key| time(wait, key)));
        }
        times.extend([time(call, "ended_s"), time(&trace, "took_s")]);
        assert!(times.is_sorted(), "{call}");
        assert_eq!(call["waits"].as_array().unwrap().len(), usize::from(depth < 3));
    }
    let shown = project.hub.msx(&["trace", id]);
    assert!(shown.lines().nth(1).unwrap().contains('·'), "parked time is a gap\n{shown}");
    assert_eq!(shown.lines().count(), 5, "{shown}");
}

fn a_cancelled_tree_leaves_nothing(project: &Project) {
    let call = start(project, "dives", &["20", "deep"], "deep");
    let root = live(project, "dives", waiting(project));
    let said = project.sandbox.run(&["cancel", text(&root, "id")]);
    assert!(said.starts_with("exit: 0"), "{said}");
    let (code, stdout, stderr) = call.end();
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "who asked gets an answer");
    assert_eq!(stderr, "msx.Cancelled: the call was cancelled by `msx cancel`\n");
    project.rests();

    let again = project.sandbox.run(&["cancel", text(&root, "id")]);
    assert!(again.starts_with("exit: 1") && again.contains("it was cancelled"), "{again}");
    let trace = seen(project, &["trace", text(&root, "id")]);
    let calls = trace["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 22);
    assert!(calls.iter().all(|call| call["status"] == "cancelled"), "{trace}");
}

fn a_cancelled_fan_out_leaves_nothing(project: &Project) {
    let call = start(project, "spreads", &["30", "wide"], "wide0");
    let root = live(project, "spreads", waiting(project));
    assert_eq!((&root["children"], &root["unfinished"]), (&30.into(), &30.into()));
    let why = seen(project, &["why", text(&root, "id")]);
    assert_eq!(
        why["chain"][0]["waits_for"]["by_status"],
        serde_json::json!([["queued", 29], ["running", 1]])
    );
    project.hub.msx(&["cancel", text(&root, "id")]);
    assert_eq!(call.end().0, Some(1));
    project.rests();
    let reached = (1..30).filter(|part| project.sandbox.path(format!("wide{part}.reached")).exists());
    assert_eq!(reached.count(), 0, "what was queued never began");
}

fn a_cancelled_child_tells_its_parent(project: &Project) {
    for service in ["catches", "acatches"] {
        let call = start(project, service, &[service], service);
        let root = live(project, service, waiting(project));
        project.hub.msx(&["cancel", &format!("{}.0", text(&root, "id"))]);
        assert_eq!(call.end().1, "Cancelled: the call was cancelled by `msx cancel`\n");
    }
}

fn a_cancelled_request_is_answered(project: &Project) {
    thread::scope(|scope| {
        let mut http = Http::connect(&project.hub.gateway());
        let asked = scope.spawn(move || http.post("/call/passes", r#"{"name": "asked"}"#));
        reached(project, "asked");
        let root = live(project, "passes", waiting(project));
        project.hub.msx(&["cancel", text(&root, "id")]);
        let answer = asked.join().unwrap();
        assert_eq!(answer.status, 500);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(text(&problem, "type"), "urn:msx:cancelled");
        assert_eq!(text(&problem, "detail"), "msx.Cancelled: the call was cancelled by `msx cancel`");
    });
}

fn a_queued_call_is_cancelled_before_it_has_begun(project: &Project) {
    let holds = start(project, "gate", &["before"], "before");
    let queued = project.sandbox.start(&["call", "gate", "never"]);
    let id = wait_for("it to be queued", || {
        let queued = seen(project, &["calls", "--status", "queued"]);
        queued["live"][0]["id"].as_str().map(str::to_owned)
    });
    project.hub.msx(&["cancel", &id]);
    assert_eq!(queued.end().0, Some(1));
    open(project, "before");
    assert_eq!(holds.end().0, Some(0));
    assert!(!project.sandbox.path("never.reached").exists());
    let trace = seen(project, &["trace", &id]);
    assert!(trace["calls"][0]["started_s"].is_null(), "{trace}");
}

fn how_calls_ended(project: &Project) {
    project.hub.call_fails(&["fails"]);
    let listed = seen(project, &["calls", "--service", "fails"]);
    assert_eq!(listed["live"], serde_json::json!([]));
    assert_eq!(
        (text(&listed["ended"][0], "status"), text(&listed["ended"][0], "instance")),
        ("raised", "fails-1")
    );
    let only = seen(project, &["calls", "--status", "returned", "--limit", "1"]);
    assert_eq!(only["ended"].as_array().unwrap().len(), 1);
    assert!(only["more_ended"].as_u64().unwrap() > 0, "{only}");
}

fn a_stuck_loop_shows_its_line(project: &Project) {
    let call = start(project, "spins", &["spun"], "spun");
    let id = text(&live(project, "spins", &["running"]), "id").to_owned();
    for target in ["spins", "spins-1", &id] {
        let stacks = seen(project, &["stack", target]);
        let stack = &stacks["instances"][0]["stacks"][0];
        assert_eq!((text(stack, "call"), text(stack, "state")), (&*id, "running"));
        assert!(text(stack, "text").contains("while not Path("), "{stack}");
    }
    project.hub.msx(&["cancel", &id]);
    assert_eq!(call.end().0, Some(1));
    project.rests();
}

fn parked_threads_and_tasks_show_where_they_wait(project: &Project) {
    thread::scope(|scope| {
        let calls = [("passes", "thread"), ("apasses", "task")];
        let calls = calls.map(|(service, name)| scope.spawn(move || project.call(&[service, name])));
        live(project, "passes", &["parked"]);
        live(project, "apasses", &["parked"]);
        let shown = project.hub.msx(&["stack", "passes"]);
        assert!(shown.contains(" parked\n") && shown.contains("return gate(name)"), "{shown}");
        let stacks = seen(project, &["stack", "apasses"]);
        let stacks = stacks["instances"][0]["stacks"].as_array().unwrap();
        let lines: Vec<&str> =
            stacks.iter().map(|stack| text(stack, "text").lines().last().unwrap().trim()).collect();
        let one = "return await gate.aio(f\"{name}{part}\")";
        assert_eq!(lines, ["return await asyncio.gather(one(0), one(1))", one, one]);
        ["thread", "task0", "task1"].iter().for_each(|gate| open(project, gate));
        calls.into_iter().for_each(|call| drop(call.join().unwrap()));
    });
}
