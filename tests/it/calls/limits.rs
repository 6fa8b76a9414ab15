//! Calls that take too long, go too deep, or carry too much.

use std::thread;
use std::time::{Duration, Instant};

use super::edges::{sandbox, text};
use super::gates::open;
use super::{Project, checks};
use crate::support::hub::{is_alive, wait_for};

#[test]
fn of_time() {
    let sandbox = sandbox(&["plain", "limits", "gates"]);
    Project::up(&sandbox).check(checks![
        waiting_is_not_running,
        a_call_that_runs_too_long,
        an_async_call_that_runs_too_long,
        a_call_that_does_not_end_costs_its_instance,
        an_async_call_that_blocks_its_loop_costs_its_instance,
    ]);
}

const SIZES: &[(&str, fn(&Project))] = checks![
    recursion_without_end,
    recursion_to_the_limit,
    large_payloads,
    payloads_over_the_limit,
    several_large_results_at_once,
];

#[test]
fn of_depth_and_size() {
    let sandbox = sandbox(&["plain", "limits"]);
    Project::up(&sandbox).check(SIZES);
}

#[test]
fn of_depth_and_size_when_replayed_at_every_wait() {
    let sandbox = sandbox(&["plain", "limits"]);
    Project::up_replaying(&sandbox).check(SIZES);
}

// ---- time ----

/// Of the services that run too long, or wait for longer.
const RUN_TIMEOUT: Duration = Duration::from_secs(1);

/// A TimeoutError that shows the line of the running code.
fn times_out(project: &Project, args: &[&str], line: &str) {
    let error = project.call(args);
    assert_eq!(error["type"], "TimeoutError", "{args:?}: {error}");
    assert!(text(&error, "message").contains("ran for more than 1 s (its run_timeout)"), "{error}");
    let stack = text(&error, "traceback");
    assert!(stack.contains(line) && !stack.contains("_bootstrap"), "{stack}");
}

fn waiting_is_not_running(project: &Project) {
    thread::scope(|scope| {
        let calls =
            ["patient", "apatient"].map(|service| scope.spawn(move || project.call(&[service, service])));
        for name in ["patient", "apatient"] {
            wait_for("both to wait", || (project.marks(&format!("{name}.waiting")) == 1).then_some(()));
        }
        let since = Instant::now();
        wait_for("more than their run_timeout", || (since.elapsed() > RUN_TIMEOUT * 2).then_some(()));
        for name in ["patient", "apatient"] {
            open(project, name);
        }
        calls.into_iter().for_each(|call| assert_eq!(call.join().unwrap(), "open"));
    });
}

fn a_call_that_runs_too_long(project: &Project) {
    let before = project.hub.pids("spins");
    times_out(project, &["watches", "naps", "naps"], "time.sleep(0.01)");
    times_out(project, &["watches", "computes", "computes"], "while True");
    times_out(project, &["watches", "catches", "catches"], "naps(name)");
    wait_for("the code to be told", || (project.marks("catches.cancelled") == 1).then_some(()));
    let (code, stderr) = project.hub.call_fails(&["spins", "naps", "root"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("TimeoutError") && stderr.contains("time.sleep(0.01)"), "{stderr}");
    project.rests();
    assert_eq!(project.hub.pids("spins"), before, "code that ends when it is told keeps its instance");
}

fn an_async_call_that_runs_too_long(project: &Project) {
    let before = project.hub.pids("aspins");
    times_out(project, &["watches", "awaits", "awaits", "aspins"], "await asyncio.sleep(60)");
    project.rests();
    assert_eq!(project.hub.pids("aspins"), before);
}

fn a_call_that_does_not_end_costs_its_instance(project: &Project) {
    let old = project.hub.pids("spins");
    times_out(project, &["watches", "swallows", "swallows"], "time.sleep(0.01)");
    is_replaced(project, "spins", &old);
    assert!(project.marks("swallows.swallowed") >= 1);
}

fn an_async_call_that_blocks_its_loop_costs_its_instance(project: &Project) {
    let old = project.hub.pids("aspins");
    times_out(project, &["watches", "computes", "blocks", "aspins"], "while True");
    is_replaced(project, "aspins", &old);
}

/// Other calls go on: of an `async def`, which share one event loop, in the new instance at the latest.
fn is_replaced(project: &Project, service: &str, old: &[i32]) {
    let replaced = || {
        let pids = project.hub.pids(service);
        (pids.len() == 1 && pids != old).then_some(())
    };
    if service == "spins" {
        assert_eq!(project.call(&[service, "counts", "beside it"]), "beside it");
    }
    wait_for("the instance to be replaced", replaced);
    assert_eq!(project.call(&[service, "counts", "after it"]), "after it");
    wait_for("the old instance to end", || old.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

// ---- depth ----

fn recursion_without_end(project: &Project) {
    for service in ["down", "adown"] {
        let (code, stderr) = project.hub.call_fails(&[service, "0"]);
        assert_eq!(code, 1);
        assert!(stderr.contains("LimitExceeded: more than 1000 calls would wait for each other"), "{stderr}");
        assert!(stderr.len() < 100_000, "{} bytes of traceback", stderr.len());
    }
}

fn recursion_to_the_limit(project: &Project) {
    assert_eq!(project.call(&["reaches", "1000"]), 1000);
    let (_, stderr) = project.hub.call_fails(&["reaches", "1001"]);
    assert!(stderr.contains("LimitExceeded"), "{stderr}");
}

// ---- size ----

const MEBIBYTE: u64 = 1024 * 1024;

fn large_payloads(project: &Project) {
    for how in ["argument", "result", "async_result"] {
        assert_eq!(project.call(&["carries", how, "8"]), 8 * MEBIBYTE, "{how}");
        assert_eq!(project.call(&["carries", how, "31"]), 31 * MEBIBYTE, "{how}");
    }
}

fn payloads_over_the_limit(project: &Project) {
    let refused = |how: &str, what: &str| {
        let error = project.call(&["carries", how, "33"]);
        assert_eq!(error["type"], "LimitExceeded", "{how}: {error}");
        let message = text(&error, "message");
        assert!(message.contains(what) && message.contains("the limit is 33554432"), "{message}");
    };
    refused("argument", "plain.echo: its arguments take 34603016 bytes");
    refused("result", "limits.makes: its result takes 34603013 bytes");
    refused("async_result", "limits.amakes: its result takes");
}

/// Each fits into a message, all of them do not.
fn several_large_results_at_once(project: &Project) {
    for how in ["several", "one_after_another", "memos"] {
        assert_eq!(project.call(&["carries", how, "8"]), 48 * MEBIBYTE, "{how}");
    }
    for how in ["arguments", "results"] {
        assert_eq!(project.call(&["acarries", how, "8"]), 48 * MEBIBYTE, "{how}");
    }
    let (code, stderr) = project.hub.call_fails(&["carries", "too_many", "20"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("LimitExceeded: the recorded results of this call exceed 256 MiB"), "{stderr}");
    assert_eq!(project.call(&["carries", "result", "1"]), MEBIBYTE);
}
