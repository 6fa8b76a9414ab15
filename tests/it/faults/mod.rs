//! Supervision against what goes wrong: processes that die, hang or misbehave, signals, and what other programs hold.
//!
//! The functions are those of `projects/`. Nothing here sleeps for a fixed time, and no bound is close.

mod deaths;
mod endings;
mod limits;
mod misdeeds;
mod neighbours;
mod pauses;
mod ports;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::hub::{Hub, is_alive, marked, wait_for};
use crate::support::{Running, Sandbox};

/// What takes no longer than the design says, times what a busy machine may add.
const SOON: Duration = Duration::from_secs(10);

/// `msx up` in the foreground, when every service is ready.
fn foreground<'a>(sandbox: &'a Sandbox, args: &[&str]) -> (Running, Hub<'a>) {
    let args: Vec<&str> = ["up"].iter().chain(args).copied().collect();
    let (running, hub) = (sandbox.start(&args), Hub { sandbox });
    wait_for("the services to be ready", || {
        let output = sandbox.msx(&["ps", "--json"]).output().unwrap();
        let ps: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let is_ready = |service: &serde_json::Value| {
            let instances = service["instances"].as_array().unwrap();
            !instances.is_empty() && instances.iter().all(|instance| instance["state"] == "ready")
        };
        ps["services"].as_array()?.iter().all(is_ready).then_some(())
    });
    (running, hub)
}

/// The guard of the hub that runs in this sandbox.
fn guard(sandbox: &Sandbox) -> i32 {
    let is_guard = |pid: &i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.ends_with(b"\0__guard\0")
    };
    let guards: Vec<i32> = marked(&sandbox.root()).into_iter().filter(is_guard).collect();
    assert_eq!(guards.len(), 1, "one guard: {guards:?}");
    guards[0]
}

pub fn send(pids: &[i32], signal: Signal) {
    for pid in pids {
        kill(Pid::from_raw(*pid), signal).unwrap();
    }
}

/// All of them end, within the bound.
fn all_end(pids: &[i32]) {
    let since = Instant::now();
    wait_for("processes to end", || pids.iter().all(|pid| !is_alive(*pid)).then_some(()));
    assert!(since.elapsed() < SOON, "{pids:?} took {:?}", since.elapsed());
}

/// A file that a service makes appears.
fn appears(file: impl AsRef<Path>) {
    let file = file.as_ref();
    wait_for(&format!("{} to be there", file.display()), || file.exists().then_some(()));
}

/// Lets through who waits at the gate of this name.
pub fn open(sandbox: &Sandbox, gate: &str) {
    std::fs::write(sandbox.path(gate), "").unwrap();
}

/// `msx call SERVICE NAME` that has begun to wait at the gate.
pub fn call_at_gate(sandbox: &Sandbox, service: &str, gate: &str) -> Running {
    let call = sandbox.start(&["call", service, gate]);
    appears(sandbox.path(format!("{gate}.waits")));
    call
}
