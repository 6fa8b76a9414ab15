//! kill -9 of an instance, of the hub, of the guard, and of both.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::{SOON, all_end, call_at_gate, foreground, guard, open, send};
use crate::support::Sandbox;
use crate::support::hub::{Hub, is_alive, marked, wait_for};

#[test]
fn a_killed_instance_is_replaced() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let old = hub.call(&["pid"]);
    send(&[old.parse().unwrap()], Signal::SIGKILL);
    let since = Instant::now();
    let new = wait_for("the replacement to serve", || {
        // A call may have been sent before anybody knew.
        let output = sandbox.msx(&["call", "pid"]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_ne!(new.trim_end(), old);
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    assert_eq!(hub.service("pid")["instances"][0]["restarts"], 1);
}

#[test]
fn parked_calls_of_a_killed_instance_are_replayed() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let call = call_at_gate(&sandbox, "parks", "open");
    wait_for("the call to park", || (hub.service("parks")["instances"][0]["parked"] == 1).then_some(()));
    let old = hub.pids("parks")[0];
    send(&[old], Signal::SIGKILL);
    wait_for("the replacement", || hub.pids("parks").into_iter().find(|pid| *pid != old));
    open(&sandbox, "open");
    let (code, stdout, stderr) = call.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_ne!(stdout.trim_end(), old.to_string(), "it went on in the replacement");
}

#[test]
fn running_calls_of_a_killed_instance_fail_at_once() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let (direct, through) =
        (call_at_gate(&sandbox, "gate", "never"), call_at_gate(&sandbox, "parks", "neither"));
    let since = Instant::now();
    send(&hub.pids("gate"), Signal::SIGKILL);
    for call in [direct, through] {
        let (code, _, stderr) = call.end();
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("InstanceDied") && stderr.contains("SIGKILL"), "{stderr}");
    }
    assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
    assert_eq!(hub.call(&["pid"]).parse(), Ok(hub.pids("pid")[0]), "others were not disturbed");
}

/// What a service of the project `family` has started, and what the hub has.
struct Family<'a> {
    hub: Hub<'a>,
    guard: i32,
    /// Carry the mark of the project.
    children: Vec<i32>,
    /// Carries none.
    stranger: i32,
}

impl<'a> Family<'a> {
    fn of(hub: Hub<'a>) -> Self {
        let children: Vec<i32> = serde_json::from_str(&hub.call(&["family"])).unwrap();
        let stranger: i32 = hub.call(&["stranger"]).parse().unwrap();
        let family = Self { guard: guard(hub.sandbox), hub, children, stranger };
        let all: BTreeSet<i32> = family.everyone().into_iter().collect();
        assert_eq!(all.len(), 6 + family.instances().len(), "all are different: {all:?}");
        assert!(all.iter().all(|pid| is_alive(*pid)), "all are alive");
        family
    }

    fn instances(&self) -> Vec<i32> {
        ["family", "stranger", "many"].iter().flat_map(|name| self.hub.pids(name)).collect()
    }

    fn everyone(&self) -> Vec<i32> {
        let own = [self.hub.pid(), self.guard, self.stranger];
        own.into_iter().chain(self.instances()).chain(self.children.iter().copied()).collect()
    }

    /// Addresses that the hub listens on.
    fn addresses(&self) -> Vec<String> {
        let front = self.hub.call(&["msx.orchestrator.access", "family"]);
        let address = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        vec![address(&front), address(&self.hub.gateway())]
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        // Without a mark nobody else knows it for ours.
        if is_alive(self.stranger) {
            send(&[self.stranger], Signal::SIGKILL);
        }
    }
}

fn assert_free(addresses: &[String]) {
    for address in addresses {
        TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is not free: {error}"));
    }
}

#[test]
fn a_killed_hub_leaves_nothing() {
    let sandbox = Sandbox::project("family");
    let family = Family::of(Hub::up(&sandbox, &[]));
    let (everyone, addresses) = (family.everyone(), family.addresses());
    send(&[family.hub.pid()], Signal::SIGKILL);
    all_end(&everyone);
    assert_free(&addresses);
    let again = Hub::up(&sandbox, &[]);
    assert_eq!(family.addresses()[0], addresses[0], "the front has the port that it had");
    drop(again);
}

#[test]
fn a_killed_guard_takes_everything_along() {
    let sandbox = Sandbox::project("family");
    let (up, hub) = foreground(&sandbox, &[]);
    let family = Family::of(hub);
    let (everyone, addresses) = (family.everyone(), family.addresses());
    send(&[family.guard], Signal::SIGKILL);
    let (code, _, stderr) = up.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("error: the guard, which owns the instances, ended"), "{stderr}");
    assert!(stderr.contains("help: `msx up` starts it all again"), "{stderr}");
    all_end(&everyone);
    assert_free(&addresses);
}

#[test]
fn what_a_killed_hub_and_guard_left_is_ended_by_the_next_up() {
    let sandbox = Sandbox::project("family");
    let family = Family::of(Hub::up(&sandbox, &[]));
    let (hub, instances) = (family.hub.pid(), family.instances());
    // A stopped guard cannot notice the end of the hub before its own.
    send(&[family.guard], Signal::SIGSTOP);
    send(&[hub, family.guard], Signal::SIGKILL);
    all_end(&[hub, family.guard]);
    all_end(&instances);
    let left = &family.children;
    assert!(left.iter().all(|pid| is_alive(*pid)), "nobody could end them");

    let output = sandbox.msx(&["up", "-d", "--wait"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(left.iter().all(|pid| !is_alive(*pid)), "they are gone");
    let started = stderr.find("family.family: starting").unwrap();
    for pid in left {
        let told =
            stderr.find(&format!("ended process {pid} (")).unwrap_or_else(|| panic!("{pid}: {stderr}"));
        assert!(told < started, "before anything was started: {stderr}");
    }
    assert!(stderr.contains("left by an earlier hub"), "{stderr}");
}

#[test]
fn the_processes_of_a_service_go_with_its_instance() {
    let sandbox = Sandbox::project("family");
    let hub = Hub::up(&sandbox, &[]);
    let before = marked(&sandbox.root());
    hub.call(&["many", "50"]);
    // In the middle of its exec a process has no environment to know it by.
    let born = wait_for("fifty processes", || {
        let born: Vec<i32> = marked(&sandbox.root()).difference(&before).copied().collect();
        (born.len() >= 50).then_some(born)
    });
    hub.msx(&["down"]);
    assert!(born.iter().all(|pid| !is_alive(*pid)), "`down` returns when nothing is left");
    assert_eq!(marked(&sandbox.root()), BTreeSet::new());
}
