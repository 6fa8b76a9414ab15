//! How a hub ends: signals, `down`, processes that are stopped, and what its callers get.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::{SOON, all_end, call_at_gate, foreground, guard, open, send};
use crate::support::hub::{Hub, is_alive, marked, wait_for};
use crate::support::{Running, Sandbox};

/// Waits until the hub takes no more calls: it drains.
fn drains(sandbox: &Sandbox) {
    wait_for("new calls to be refused", || {
        let call = sandbox.run(&["call", "pid"]);
        call.contains("is stopping and takes no new calls").then_some(())
    });
}

fn assert_answered(call: Running) {
    let (code, stdout, stderr) = call.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.trim_end().parse::<i32>().is_ok(), "{stdout}");
}

#[test]
fn the_first_signal_lets_calls_end_with_all_that_they_call() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sandbox = Sandbox::project("gates");
        let (up, hub) = foreground(&sandbox, &[]);
        let calls = ["gate", "parks", "asks_late"].map(|service| call_at_gate(&sandbox, service, service));
        up.signal(signal);
        drains(&sandbox);
        ["gate", "parks", "asks_late"].iter().for_each(|gate| open(&sandbox, gate));
        calls.into_iter().for_each(assert_answered);
        let (code, _, stderr) = up.end();
        assert_eq!(code, Some(0), "{signal}: {stderr}");
        assert!(marked(&sandbox.root()).is_empty(), "{signal}");
        drop(hub);
    }
}

#[test]
fn the_second_signal_ends_everything_at_once() {
    let sandbox = Sandbox::project("gates");
    let (up, hub) = foreground(&sandbox, &[]);
    let calls = [call_at_gate(&sandbox, "gate", "never"), call_at_gate(&sandbox, "parks", "neither")];
    up.signal(Signal::SIGINT);
    drains(&sandbox);
    let since = Instant::now();
    up.signal(Signal::SIGINT);
    let (code, _, stderr) = up.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("killed: calls that ran were not waited for"), "{stderr}");
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    for call in calls {
        let (code, _, stderr) = call.end();
        assert!(code == Some(1) && stderr.contains("msx stopped before the call had ended"), "{stderr}");
    }
    assert!(marked(&sandbox.root()).is_empty());
    drop(hub);
}

#[test]
fn down_lets_calls_end_and_returns_when_nothing_is_left() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let call = call_at_gate(&sandbox, "parks", "open");
    let down = sandbox.start(&["down"]);
    drains(&sandbox);
    open(&sandbox, "open");
    assert_answered(call);
    let (code, stdout, stderr) = down.end();
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(marked(&sandbox.root()).is_empty());
    let again = sandbox.run(&["down"]);
    assert!(again.starts_with("exit: 0\n") && again.contains("no hub is running for"), "{again}");
    drop(hub);
}

#[test]
fn a_stopped_guard_does_not_keep_down_from_ending_everything() {
    let sandbox = Sandbox::project("family");
    let hub = Hub::up(&sandbox, &[]);
    let children: Vec<i32> = serde_json::from_str(&hub.call(&["family"])).unwrap();
    let guard = guard(&sandbox);
    send(&[guard], Signal::SIGSTOP);
    hub.msx(&["down"]);
    assert!(children.iter().chain(&[guard]).all(|pid| !is_alive(*pid)));
    assert!(marked(&sandbox.root()).is_empty());
}

#[test]
fn a_stopped_instance_is_ended_within_its_bounds() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let stopped = hub.pids("pid")[0];
    send(&[stopped], Signal::SIGSTOP);
    let since = Instant::now();
    hub.msx(&["down"]);
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    assert!(!is_alive(stopped));
}

#[test]
fn a_hub_in_the_background_is_not_hit_by_the_terminals_signals() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let session = |pid: i32| nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap().as_raw();
    assert_eq!(session(hub.pid()), hub.pid());
    assert_eq!(session(guard(&sandbox)), guard(&sandbox));
    let (pid, instances) = (hub.pid(), hub.pids("pid"));
    send(&[pid], Signal::SIGTERM);
    all_end(&[pid]);
    all_end(&instances);
}

#[test]
fn a_start_that_is_interrupted_leaves_nothing() {
    let hangs = "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(3600)\n";
    let sandbox = Sandbox::with_manifest("[python]\nmodules = [\"hangs\"]\n").file("hangs.py", hangs);
    let up = sandbox.start(&["up"]);
    super::appears(sandbox.path("importing"));
    let second = sandbox.run(&["up"]);
    assert!(second.starts_with("exit: 1\n") && second.contains("a hub is already running for"), "{second}");
    let ps = sandbox.run(&["ps"]);
    assert!(ps.starts_with("exit: 1\n") && ps.contains("the hub is starting"), "{ps}");
    let since = Instant::now();
    up.interrupt();
    let (code, _, stderr) = up.end();
    assert!(code == Some(130) && stderr.contains("stopped while starting"), "{code:?}: {stderr}");
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    assert!(marked(&sandbox.root()).is_empty());
    assert!(!sandbox.path(".msx/hub.json").exists());
}

/// Tells in a file of its name that it stops, and, if it is told to, does not come to an end with that.
const HOOKED: &str = "
import os
import pathlib
import time
import msx

@msx.on_stop
def stop():
    pathlib.Path(f'stopped-{os.getpid()}').touch()
    while pathlib.Path('hang').exists():
        time.sleep(0.01)

@msx.microservice
def hooked():
    return os.getpid()
";

#[test]
fn stop_hooks_run_whenever_an_instance_is_stopped() {
    let manifest = "[python]\nmodules = [\"hooked\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    let manifest = format!("{manifest}[defaults]\nstop = {{ grace = \"1s\" }}\n");
    let sandbox = Sandbox::with_manifest(&manifest).file("hooked.py", HOOKED);
    let hub = Hub::up(&sandbox, &[]);
    let told = |pids: &[i32]| pids.iter().all(|pid| sandbox.path(format!("stopped-{pid}")).exists());
    let first = hub.pids("hooked");
    hub.msx(&["restart"]);
    assert!(told(&first), "restarted");
    hub.msx(&["scale", "hooked=2"]);
    let both = hub.pids("hooked");
    hub.msx(&["scale", "hooked=1"]);
    let stays = hub.pids("hooked");
    let gone: Vec<i32> = both.into_iter().filter(|pid| !stays.contains(pid)).collect();
    all_end(&gone);
    assert!(told(&gone) && !told(&stays), "scaled down");
    std::fs::write(sandbox.path("hang"), "").unwrap();
    let since = Instant::now();
    hub.msx(&["down"]);
    assert!(told(&stays), "stopped");
    assert!(since.elapsed() < SOON, "a hook that hangs has its grace: {:?}", since.elapsed());
}
