//! Services that harm their own process: it is replaced, its caller is told, and nobody else notices.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::{SOON, send};
use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};

#[test]
fn what_a_service_does_to_its_own_process_ends_that_process() {
    let sandbox = Sandbox::project("hostile");
    let hub = Hub::up(&sandbox, &[]);
    let bystander = hub.call(&["bystander"]);
    let deeds = [
        ("garbage on the control channel", "it sent garbage on its control channel"),
        ("an endless message", "it sent garbage on its control channel"),
        ("garbage on its lanes", "it sent garbage on a lane"),
        ("exit", "exit status 7"),
        ("abort", "SIGABRT"),
    ];
    for (deed, why) in deeds {
        let since = Instant::now();
        let before = hub.call(&["hostile", "nothing"]);
        let (code, stderr) = hub.call_fails(&["hostile", deed]);
        assert_eq!(code, 1, "{deed}: {stderr}");
        assert!(stderr.contains("InstanceDied") && stderr.contains(why), "{deed}: {stderr}");
        let after = wait_for("the replacement to serve", || {
            let output = sandbox.msx(&["call", "hostile", "nothing"]).output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        });
        assert_ne!(after.trim_end(), before, "{deed}");
        assert!(since.elapsed() < SOON, "{deed} took {:?}", since.elapsed());
        // More deeds in a row would count as a crash loop.
        hub.msx(&["restart", "hostile"]);
    }
    assert_eq!(hub.call(&["bystander"]), bystander);
    assert_eq!(hub.service("bystander")["instances"][0]["restarts"], 0);
}

#[test]
fn a_service_that_closes_its_channels_is_replaced() {
    let sandbox = Sandbox::project("hostile");
    let hub = Hub::up(&sandbox, &[]);
    let before = hub.call(&["hostile", "nothing"]);
    let (code, stderr) = hub.call_fails(&["hostile", "close everything"]);
    assert!(code == 1 && stderr.contains("InstanceDied"), "{stderr}");
    let after = wait_for("the replacement to serve", || {
        let output = sandbox.msx(&["call", "hostile", "nothing"]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_ne!(after.trim_end(), before);
}

const CRASHES: &str = "
import os
import sys
import msx

@msx.on_start
def start():
    print('no database on port 5432', file=sys.stderr, flush=True)
    os._exit(3)

@msx.microservice
def crashes(x):
    return x

";

const CALLER: &str = "
from msx import microservice
from crashes import crashes

@microservice
def caller(x):
    return crashes(x)
";

/// `crashes` fails at each start, and `caller` calls it.
fn crashing() -> Sandbox {
    let manifest = "[python]\nmodules = [\"crashes\", \"caller\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    // Where services are looked for no instance starts, so that the caller's process must not run the hook either.
    let caller = format!("import sys\nimport types\n{CALLER}").replace("from crashes import crashes", CALLEE);
    Sandbox::with_manifest(manifest).file("crashes.py", CRASHES).file("caller.py", &caller)
}

/// The stub of `crashes` without its module, whose hook would run in the caller as well.
const CALLEE: &str = "";

#[test]
fn a_crash_loop_is_told_to_whoever_calls() {
    let sandbox = crashing();
    let hub = Hub { sandbox: &sandbox };
    let (code, _, stderr) = sandbox.start(&["up", "-d"]).end();
    assert_eq!(code, Some(0), "{stderr}");
    let reason = wait_for("the crash loop", || {
        let instance = hub.service("crashes")["instances"][0].clone();
        (instance["state"] == "crashloop").then(|| instance["reason"].as_str().unwrap().to_owned())
    });
    assert!(reason.contains("exit status 3") && reason.contains("no database on port 5432"), "{reason}");
    assert!(hub.msx(&["ps"]).contains("no database on port 5432"), "{}", hub.msx(&["ps"]));
    let since = Instant::now();
    let (code, stderr) = hub.call_fails(&["crashes", "1"]);
    assert!(code == 1 && stderr.contains("no database on port 5432"), "{stderr}");
    assert!(since.elapsed() < SOON);
}

#[test]
fn down_does_not_wait_for_an_instance_that_hangs_in_its_start() {
    let hangs = "
import time
import msx

@msx.on_start
def start():
    time.sleep(3600)

@msx.microservice
def hangs():
    pass
";
    let manifest = "[python]\nmodules = [\"hangs\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    let sandbox = Sandbox::with_manifest(manifest).file("hangs.py", hangs);
    let hub = Hub::up_unready(&sandbox);
    wait_for("the instance to start", || {
        (hub.service("hangs")["instances"][0]["state"] == "starting").then_some(())
    });
    let since = Instant::now();
    hub.msx(&["down"]);
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
}

#[test]
fn down_ends_a_hub_that_hangs_while_it_looks_for_services() {
    let hangs = "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(3600)\n";
    let sandbox = Sandbox::with_manifest("[python]\nmodules = [\"hangs\"]\n").file("hangs.py", hangs);
    let up = sandbox.start(&["up", "-d"]);
    super::appears(sandbox.path("importing"));
    let since = Instant::now();
    let down = sandbox.run(&["down"]);
    assert!(down.starts_with("exit: 0\n"), "{down}");
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    let (code, _, stderr) = up.end();
    assert!(code == Some(1) || code == Some(130), "{code:?} {stderr}");
}

#[test]
fn a_stopped_instance_holds_up_nobody_else() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &["--scale", "pid=2"]);
    let all = hub.pids("pid");
    assert_eq!(all.len(), 2);
    send(&all[..1], Signal::SIGSTOP);
    // It is alive for all that is known, so that it gets as many calls as it has slots, and no more.
    let stuck: Vec<_> = (0..2).map(|_| sandbox.start(&["call", "pid", "--timeout", "2s"])).collect();
    for _ in 0..20 {
        let output = sandbox.msx(&["call", "pid", "--timeout", "2s"]).output().unwrap();
        if output.status.success() {
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), all[1].to_string());
        }
    }
    drop(stuck);
    let (code, _) = (0, ());
    assert_eq!(code, 0);
}
