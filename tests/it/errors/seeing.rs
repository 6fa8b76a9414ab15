//! `calls`, `why`, `trace`, `stack` and `cancel`, used wrongly or too late.

use serde_json::Value;

use crate::support::hub::{Hub, wait_for};
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

/// Ids and times differ from run to run.
fn with_filters(test: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b[0-9a-hjkmnp-tv-z]{4}[0-9][0-9a-hjkmnp-tv-z]{3}\b", "[ID]");
    settings.add_filter(r"\b\d+(\.\d+)? s ago", "[TIME] ago");
    settings.bind(test);
}

/// An id that the filter knows: with a digit in its middle.
fn id(hub: &Hub<'_>, list: &str) -> String {
    let calls: Value = serde_json::from_str(&hub.msx(&["calls", "--json"])).unwrap();
    let ids = calls[list].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned());
    ids.into_iter().find(|id| id.as_bytes()[4].is_ascii_digit()).unwrap_or_default()
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
      [possible values: queued, running, parked, resuming, unwinding, evicted, returned, raised, refused, cancelled]

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
    let ended = wait_for("an id", || {
        hub.call(&["work"]);
        Some(id(&hub, "ended")).filter(|id| !id.is_empty())
    });
    with_filters(|| {
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
