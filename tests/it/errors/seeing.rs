//! `calls`, `why`, `trace`, `stack` and `cancel`, used wrongly or too late.

use serde_json::Value;

use crate::support::hub::{Hub, kill, wait_for};
use crate::support::{Sandbox, assert_output};

const SERVICES: &str = "\
import time
from msx import microservice


@microservice
def work(x: int = 1):
    return x


@microservice
def waits():
    time.sleep(60)
";

fn project() -> Sandbox {
    let manifest = "[python]\nmodules = [\"jobs\"]\n\n[gateway]\nlisten = \"127.0.0.1:0\"\n\n[defaults]\nthreads = 1\ninstances = 1\n";
    Sandbox::with_manifest(manifest).file("jobs.py", SERVICES)
}

/// The id and the times differ from run to run.
fn with_filters(id: &str, test: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(id, "[ID]");
    settings.add_filter(r"\b\d+(\.\d+)? s ago", "[TIME] ago");
    settings.add_filter(r" for \d+s", " for [TIME]");
    settings.bind(test);
}

/// The first call that is listed so.
fn listed(hub: &Hub<'_>, args: &[&str], list: &str) -> Option<String> {
    let all: Vec<&str> = ["calls", "--json"].iter().chain(args).copied().collect();
    let calls: Value = serde_json::from_str(&hub.msx(&all)).unwrap();
    calls[list][0]["id"].as_str().map(str::to_owned)
}

#[test]
fn no_such_call() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);

    assert_output!(sandbox, ["calls"], @r"
    exit: 0
    --- stdout
    no calls
    --- stderr
    ");
    insta::allow_duplicates! { for verb in ["why", "trace", "cancel"] {
        assert_output!(sandbox, [verb, "9k2m4xq7.0"], @r"
        exit: 2
        --- stdout
        --- stderr
        error: there is no call 9k2m4xq7.0
        help: `msx calls` shows the ids; the hub remembers the last 10,000 root calls that ended, for 24 h
        ");
        assert_output!(sandbox, [verb, "jobs.work"], @r"
        exit: 2
        --- stdout
        --- stderr
        error: `jobs.work` is not the id of a call
        help: an id looks like 9k2m4xq7 or 9k2m4xq7.0.3; `msx calls` shows those of all calls
        ");
    } }
    assert_output!(sandbox, ["stack", "wrk"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: `wrk` is neither a service nor an instance nor a call
    help: did you mean `work`?; `msx calls` shows the ids of calls
    ");
    insta::allow_duplicates! { for more in [&[][..], &["--json"], &["--force"], &["--force", "--yes"]] {
        let args = [&["calls", "retry", "9k2m4xq7"], more].concat();
        assert_output!(sandbox, args, @r"
        exit: 2
        --- stdout
        --- stderr
        error: there is no call 9k2m4xq7
        help: `msx calls` shows the ids; the hub remembers the last 10,000 root calls that ended, for 24 h
        ");
    } }
    assert_output!(sandbox, ["calls", "retry", "9k2m4xq7", "--yes"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --force

    Usage: msx calls retry --force --yes <ID>

    For more information, try '--help'.
    ");
    assert_output!(sandbox, ["calls", "--service", "wrk"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `wrk`
    help: did you mean `work`?
    ");
    assert_output!(sandbox, ["calls", "--status", "waiting"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'waiting' for '--status <STATUS>'
      [possible values: queued, running, parked, resuming, unwinding, evicted, backoff, held, following, batched, paused, returned, raised, refused, cancelled]

    For more information, try '--help'.
    ");
    drop(hub);
    assert_output!(sandbox, ["calls"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: no hub is running for [ROOT]
    help: start it with `msx up`
    ");
}

#[test]
fn calls_that_have_ended() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    hub.call(&["work"]);
    let ended = listed(&hub, &[], "ended").unwrap();
    with_filters(&ended, || {
        assert_output!(sandbox, ["why", &ended], @r"
        exit: 1
        --- stdout
        --- stderr
        error: the call [ID] has ended [TIME] ago: it returned
        help: `msx trace [ID]` shows its course
        ");
        assert_output!(sandbox, ["cancel", &ended], @r"
        exit: 1
        --- stdout
        --- stderr
        error: the call [ID] has ended [TIME] ago: it returned
        help: `msx trace [ID]` shows its course
        ");
        assert_output!(sandbox, ["calls", "retry", &ended], @r"
        exit: 1
        --- stdout
        --- stderr
        error: the call [ID] has ended [TIME] ago: it returned
        help: `msx trace [ID]` shows its course
        ");
        assert_output!(sandbox, ["stack", &ended], @r"
        exit: 1
        --- stdout
        --- stderr
        error: the call [ID] has ended [TIME] ago: it returned
        help: `msx trace [ID]` shows its course
        ");
    });
}

#[test]
fn a_beginning_that_two_calls_have() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    // More calls than there are first letters.
    let calls: Vec<_> = (0..33).map(|n| sandbox.start(&["call", "work", &n.to_string()])).collect();
    calls.into_iter().for_each(|call| assert_eq!(call.end().0, Some(0)));
    let calls: Value = serde_json::from_str(&hub.msx(&["calls", "--json"])).unwrap();
    let ids: Vec<&str> =
        calls["ended"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
    let shared = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1).unwrap();
    let printed = sandbox.run(&["why", &shared[..1]]);
    let first = &shared[..1];
    assert!(printed.starts_with("exit: 2"), "{printed}");
    assert!(
        printed.contains(&format!("error: `{first}` is the beginning of more than one call: {first}")),
        "{printed}"
    );
    assert!(printed.contains("help: write more of the id"), "{printed}");
}

#[test]
fn a_service_without_instances_has_no_stacks() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    hub.msx(&["scale", "waits=0"]);
    assert_output!(sandbox, ["stack", "waits"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot see the stacks of waits: it has no instance that serves
    help: `msx ps` shows its instances; `py-spy dump --pid PID` sees a process without its help
    ");
}

#[test]
fn what_is_queued_has_no_stack_and_what_waits_too_long_says_why() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let _running = sandbox.start(&["call", "waits"]);
    wait_for("a decision", || hub.service("waits")["decision"].is_string().then_some(()));
    let holder = wait_for("it to run", || listed(&hub, &["--status", "running"], "live"));
    let queued = sandbox.start(&["call", "waits"]);
    let id = wait_for("one to be queued", || listed(&hub, &["--status", "queued"], "live"));
    with_filters(&id, || {
        assert_output!(sandbox, ["stack", &id], @r"
        exit: 1
        --- stdout
        --- stderr
        error: no instance runs the call [ID]: it is queued
        help: `msx why [ID]` shows what it waits for
        ");
        with_filters(&holder, || {
            assert_output!(sandbox, ["why", &id], @r"
            exit: 0
            --- stdout
            [ID]  jobs.waits: queued for [TIME]
              number 1 of 1 in the queue
              1 of 1 slots are busy, in one instance
                [ID] holds one in waits-1 for [TIME]
              autoscaler: fixed at 1 in the manifest
            --- stderr
            ");
        });
        assert_output!(sandbox, ["cancel", &id], @r"
        exit: 0
        --- stdout
        --- stderr
        cancelled [ID], a call of jobs.waits that was queued
        ");
    });
    assert_eq!(
        queued.end(),
        (Some(1), String::new(), "msx.Cancelled: the call was cancelled by `msx cancel`\n".into())
    );
}

#[test]
fn a_process_that_is_stopped_does_not_answer() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let pid = hub.pids("work")[0];
    kill(pid, 19);
    assert_output!(sandbox, ["stack", "work"], @r"
    exit: 1
    --- stdout
    work-1
      it did not answer within 2 s: some code holds Python's interpreter lock, such as a long call into a C library, or the process is stopped
    --- stderr
    error: cannot see the stacks of work: it did not answer within 2 s: some code holds Python's interpreter lock, such as a long call into a C library, or the process is stopped
    help: `msx ps` shows its instances; `py-spy dump --pid PID` sees a process without its help
    ");
    kill(pid, 18);
}
