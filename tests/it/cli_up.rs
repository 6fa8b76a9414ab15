//! `msx up` with a real hub: in the foreground, in the background, and a second time.

use crate::support::Sandbox;
use crate::support::hub::{Hub, marked, wait_for};

const GREETER: &str = "\
import sys
from msx import microservice

print('imported')

@microservice
def greet(name: str):
    print('greeting', name, file=sys.stderr)
    return 'hello ' + name
";

/// Runs in instances, not where services are looked for.
const START_FAILS: &str = "\
import os
import msx

@msx.on_start
def start():
    print('no database', flush=True)
    os._exit(3)
";

const MANIFEST: &str = "\
[python]
modules = [\"greeter\"]

[gateway]
listen = \"127.0.0.1:0\"
";

fn greeter() -> Sandbox {
    Sandbox::with_manifest(MANIFEST).file("greeter.py", GREETER)
}

#[test]
fn in_the_foreground_it_shows_the_logs_until_ctrl_c() {
    let sandbox = greeter();
    let mut up = sandbox.start(&["up"]);
    let mut lines = up.lines();
    assert_eq!(lines.next().unwrap().unwrap(), "greet-1 | imported");
    let answer = wait_for("an answer", || {
        let output = sandbox.msx(&["call", "greet", "Ada"]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_eq!(answer, "hello Ada\n");
    assert_eq!(lines.next().unwrap().unwrap(), "greet-1 | greeting Ada");
    let second = sandbox.run(&["up"]);
    assert!(second.starts_with("exit: 1\n") && second.contains("a hub is already running for"), "{second}");
    up.interrupt();
    let (code, _, stderr) = up.end();
    assert!(matches!(code, Some(0 | 130)), "{code:?}: {stderr}");
    assert!(stderr.contains("greeter.greet: ready (1/1)") && stderr.contains("stopping"), "{stderr}");
    assert!(marked(&sandbox.root()).is_empty());
}

#[test]
fn in_the_background_it_shows_the_same_failure() {
    let sandbox = Sandbox::with_manifest("[python]\nmodule = [\"greeter\"]\n");
    let foreground = sandbox.run(&["up"]);
    assert!(foreground.starts_with("exit: 2\n") && foreground.contains("modules"), "{foreground}");
    assert_eq!(sandbox.run(&["up", "-d"]), foreground);
    assert_eq!(sandbox.run(&["up", "--wait"]), foreground);
    wait_for("the hub to end", || marked(&sandbox.root()).is_empty().then_some(()));
}

#[test]
fn a_service_that_keeps_ending_fails_wait_but_not_the_hub() {
    let crashing = format!(
        "{GREETER}
{START_FAILS}"
    );
    let sandbox = Sandbox::with_manifest(MANIFEST).file("greeter.py", &crashing);
    let _hub = Hub { sandbox: &sandbox };
    let output = sandbox.run(&["up", "--wait"]);
    assert!(output.starts_with("exit: 1\n") && output.contains("greeter.greet does not start"), "{output}");
    let ps = sandbox.run(&["ps"]);
    assert!(ps.contains("crashloop") && ps.contains("no database"), "{ps}");
}
