//! Services that harm their own process: it is replaced, its caller is told, and nobody else notices.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::{SOON, appears, send};
use crate::support::Sandbox;
use crate::support::hub::{Hub, is_alive, wait_for};

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

/// `crashes` ends at each start; `caller` calls it, and imports its module.
const CRASHES: &str = "
import os
import msx

@msx.on_start
def start():
    if os.environ['MSX_SERVICE'] == 'crashes.crashes':
        print('no database on port 5432', flush=True)
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

#[test]
fn a_crash_loop_is_told_to_whoever_calls() {
    let sandbox = of_modules(&[("crashes", CRASHES), ("caller", CALLER)]);
    let hub = up_unready(&sandbox);
    let reason = wait_for("the crash loop", || {
        let instance = hub.service("crashes")["instances"][0].clone();
        (instance["state"] == "crashloop").then(|| instance["reason"].as_str().unwrap().to_owned())
    });
    assert!(reason.contains("exit status 3") && reason.contains("no database on port 5432"), "{reason}");
    assert!(hub.msx(&["ps"]).contains("no database on port 5432"), "{}", hub.msx(&["ps"]));
    let since = Instant::now();
    for service in ["crashes", "caller"] {
        let (code, stderr) = hub.call_fails(&[service, "1"]);
        assert!(code == 1 && stderr.contains("no database on port 5432"), "{service}: {stderr}");
    }
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
}

const HANGS_AT_START: &str = "
import time
import msx

@msx.on_start
def start():
    time.sleep(3600)

@msx.microservice
def hangs():
    pass
";

#[test]
fn down_does_not_wait_for_an_instance_that_hangs_at_its_start() {
    let sandbox = of_modules(&[("hangs", HANGS_AT_START)]);
    let hub = up_unready(&sandbox);
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
    let sandbox = of_modules(&[("hangs", hangs)]);
    let up = sandbox.start(&["up", "-d"]);
    appears(sandbox.path("importing"));
    let since = Instant::now();
    let down = sandbox.run(&["down"]);
    assert!(down.starts_with("exit: 0\n"), "{down}");
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    let (code, _, stderr) = up.end();
    assert!(matches!(code, Some(1 | 130)) && stderr.contains("stopped while starting"), "{code:?}: {stderr}");
}

#[test]
fn a_stopped_instance_holds_up_nobody_else() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &["--scale", "pid=2"]);
    wait_for("two instances", || (hub.pids("pid").len() == 2).then_some(()));
    let (stopped, other) = (hub.pids("pid")[0], hub.pids("pid")[1]);
    send(&[stopped], Signal::SIGSTOP);
    // For all that is known it is alive, so that it gets as many calls as it has slots; and not one more.
    let mut stuck = 0;
    for _ in 0..20 {
        let output = sandbox.msx(&["call", "pid", "--timeout", "1s"]).output().unwrap();
        match output.status.success() {
            true => assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), other.to_string()),
            false => stuck += 1,
        }
    }
    assert!(stuck <= 2, "{stuck} calls were given to two slots");
    assert_eq!(hub.call(&["asks_late", "services.toml"]), other.to_string(), "other services go on");
    // Its calls were given up, so that there is nothing to wait for; it does not hear that it should end.
    let since = Instant::now();
    hub.msx(&["down"]);
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    assert!(!is_alive(stopped));
}

/// A project of these modules.
fn of_modules(modules: &[(&str, &str)]) -> Sandbox {
    let names: Vec<&str> = modules.iter().map(|(name, _)| *name).collect();
    let manifest = format!("[python]\nmodules = {names:?}\n[gateway]\nlisten = \"127.0.0.1:0\"\n");
    let manifest = format!("{manifest}[defaults]\nstop = {{ grace = \"1s\" }}\n");
    let add = |sandbox: Sandbox, (name, text): &(&str, &str)| sandbox.file(&format!("{name}.py"), text);
    modules.iter().fold(Sandbox::with_manifest(&manifest), add)
}

/// `msx up -d`, whatever becomes of the services.
fn up_unready(sandbox: &Sandbox) -> Hub<'_> {
    let hub = Hub { sandbox };
    let up = sandbox.run(&["up", "-d"]);
    assert!(up.starts_with("exit: 0\n"), "{up}");
    hub
}
