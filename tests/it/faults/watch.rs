//! `up --watch`: changed files restart their services, and only those.

use std::time::Instant;

use super::{SOON, appears, call_at_gate, open};
use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};

const MANIFEST: &str = "\
[python]
modules = [\"changing\", \"steady\", \"gates\"]

[gateway]
listen = \"127.0.0.1:0\"

[defaults]
stop = { grace = \"1s\" }
";

const CHANGING: &str = "\
from gates import gate
from msx import microservice

VERSION = 1

@microservice
def version():
    return VERSION

@microservice
def parks(name: str):
    gate(name)
    return VERSION
";

const STEADY: &str = "\
import os
from msx import microservice

@microservice
def steady():
    return os.getpid()
";

fn project() -> Sandbox {
    let gates = Sandbox::project("gates");
    let gates = std::fs::read_to_string(gates.path("gates.py")).unwrap();
    let gates = gates.replace("def pid", "def _pid").replace("def parks", "def other_parks");
    Sandbox::with_manifest(MANIFEST)
        .file("changing.py", CHANGING)
        .file("steady.py", STEADY)
        .file("gates.py", &gates)
}

#[test]
fn a_changed_module_serves_its_new_code_and_parked_calls_move_to_it() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &["--watch"]);
    let steady = hub.call(&["steady"]);
    assert_eq!(hub.call(&["version"]), "1");
    let parked = call_at_gate(&sandbox, "parks", "open");
    wait_for("the call to park", || (hub.service("parks")["suspended"] == 1).then_some(()));
    sandbox.edit("changing.py", "VERSION = 1", "VERSION = 2");
    wait_for("the new code", || (hub.call(&["version"]) == "2").then_some(()));
    wait_for("the old instances to be gone", || {
        let service = hub.service("parks");
        let instances = service["instances"].as_array().unwrap();
        (instances.len() == 1 && instances[0]["restarts"] == 0 && service["suspended"] == 0).then_some(())
    });
    open(&sandbox, "open");
    let (code, stdout, stderr) = parked.end();
    assert_eq!((code, stdout.trim_end()), (Some(0), "2"), "{stderr}");
    assert_eq!(hub.call(&["steady"]), steady, "what did not change was left alone");
}

#[test]
fn an_edit_that_leaves_length_and_time_as_they_were_is_not_missed() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &["--watch"]);
    assert_eq!(hub.call(&["version"]), "1");
    let file = sandbox.path("changing.py");
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    for version in 2..4 {
        sandbox.edit("changing.py", &format!("VERSION = {}", version - 1), &format!("VERSION = {version}"));
        std::fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
        wait_for("the new code", || (hub.call(&["version"]) == version.to_string()).then_some(()));
    }
}

#[test]
fn a_module_that_hangs_is_given_up_for_its_next_edit() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &["--watch"]);
    let hangs = "VERSION = 2\nimport pathlib, time\npathlib.Path('hangs').touch()\ntime.sleep(3600)";
    sandbox.edit("changing.py", "VERSION = 1", hangs);
    appears(sandbox.path("hangs"));
    assert_eq!(hub.call(&["version"]), "1");
    let since = Instant::now();
    sandbox.edit("changing.py", hangs, "VERSION = 3");
    wait_for("the new code", || (hub.call(&["version"]) == "3").then_some(()));
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
}

#[test]
fn a_broken_module_keeps_its_old_code_and_says_so() {
    let sandbox = project();
    let (mut up, hub) = super::foreground(&sandbox, &["--watch"]);
    let pids = [hub.pids("version"), hub.pids("parks"), hub.pids("steady")];
    sandbox.edit("changing.py", "VERSION = 1", "VERSION = = 1");
    // An instance that does not start is not shown for long; what it printed is.
    let mut lines = up.lines();
    let error = lines.find(|line| line.as_ref().unwrap().contains("SyntaxError")).unwrap().unwrap();
    assert!(error.contains("| SyntaxError: invalid syntax"), "{error}");
    assert_eq!(hub.call(&["version"]), "1");
    sandbox.edit("changing.py", "VERSION = = 1", "VERSION = 3");
    wait_for("the repaired code", || (hub.call(&["version"]) == "3").then_some(()));
    assert_eq!(hub.pids("steady"), pids[2]);
    drop(lines);
    hub.msx(&["down"]);
    let (_, _, stderr) = up.end();
    assert!(stderr.contains("changing.py changed: restarting its services"), "{stderr}");
    assert!(stderr.contains("the old code goes on: ") && stderr.contains("did not stay up"), "{stderr}");
}
