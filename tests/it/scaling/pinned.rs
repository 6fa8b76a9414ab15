//! `msx scale` under load, and what it refuses.

use std::time::Instant;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;

#[test]
fn scaling_under_load_fails_no_call_and_never_exceeds_the_slots() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &["--scale", "counted=1"]);
    let load = Load::start(&hub.gateway(), "counted", "{}", 8);
    let on = |calls: usize| {
        let target = load.answered() + calls;
        wait_for("calls to be answered", || (load.answered() >= target).then_some(()));
    };
    for _ in 0..2 {
        for instances in [4, 1, 3, 2, 1] {
            hub.msx(&["scale", &format!("counted={instances}")]);
            assert_eq!(hub.pids("counted").len(), instances);
            on(50);
        }
    }
    let tally = load.end();
    assert_eq!(tally.failures, Vec::<String>::new());
    let results: Vec<(i32, u32)> =
        tally.results.keys().map(|text| serde_json::from_str(text).unwrap()).collect();
    let most = results.iter().map(|(_, running)| *running).max();
    assert_eq!(most, Some(2), "as many as there are slots, and both are used");
    let processes: std::collections::BTreeSet<i32> = results.iter().map(|(pid, _)| *pid).collect();
    assert!(processes.len() >= 4, "{processes:?} served");
}

#[test]
fn zero_instances_refuse_at_once_and_auto_brings_one_back() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    hub.msx(&["scale", "counted=0"]);
    assert_eq!(hub.service("counted")["instances"], serde_json::json!([]));
    let since = Instant::now();
    let (code, stderr) = hub.call_fails(&["counted"]);
    assert!(code == 1 && stderr.contains("counted.counted is scaled to 0 instances"), "{stderr}");
    let load = Load::start(&hub.gateway(), "counted", "{}", 1);
    wait_for("an answer", || (load.answered() > 0).then_some(()));
    let tally = load.end();
    assert!(tally.results.is_empty() && tally.failures[0].starts_with("503"), "{tally:?}");
    assert!(since.elapsed().as_secs() < 10, "it took {:?}", since.elapsed());
    hub.msx(&["scale", "counted=auto"]);
    assert_eq!(hub.service("counted")["mode"], "auto");
    hub.call(&["counted"]);
}

#[test]
fn what_waits_when_a_service_is_scaled_to_zero_is_refused() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let running: Vec<_> = (0..2).map(|n| sandbox.start(&["call", "gate", &format!("open-{n}")])).collect();
    for n in 0..2 {
        wait_for("both slots to be taken", || sandbox.path(format!("open-{n}.waits")).exists().then_some(()));
    }
    let waiting = sandbox.start(&["call", "gate", "never"]);
    wait_for("a call to wait", || (hub.service("gate")["queue"] == 1).then_some(()));
    hub.msx(&["scale", "--no-wait", "gate=0"]);
    let (code, _, stderr) = waiting.end();
    assert!(code == Some(1) && stderr.contains("scaled to 0 instances"), "{stderr}");
    for (n, call) in running.into_iter().enumerate() {
        std::fs::write(sandbox.path(format!("open-{n}")), "").unwrap();
        let (code, _, stderr) = call.end();
        assert_eq!(code, Some(0), "what runs may end: {stderr}");
    }
    wait_for("no instance", || hub.pids("gate").is_empty().then_some(()));
}

#[test]
fn auto_gives_a_pinned_service_back() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    let mode = || hub.service("counted")["mode"].as_str().unwrap().to_owned();
    assert_eq!(mode(), "auto");
    hub.msx(&["scale", "counted=3"]);
    assert_eq!((mode().as_str(), hub.pids("counted").len()), ("pinned", 3));
    hub.msx(&["scale", "counted=auto"]);
    assert_eq!(mode(), "auto");
}

#[test]
fn more_than_max_needs_force() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    let refused = sandbox.run(&["scale", "counted=5"]);
    assert!(refused.starts_with("exit: 2\n"), "{refused}");
    assert!(refused.contains("error: cannot scale counted to 5 instances: its max is 4"), "{refused}");
    assert!(refused.contains("or use --force"), "{refused}");
    let (code, by_program) = hub.call_fails(&["msx.orchestrator.scale", "counted", "5"]);
    assert_eq!(code, 1);
    assert!(by_program.contains("cannot scale counted to 5 instances: its max is 4"), "{by_program}");
    let forced = sandbox.run(&["scale", "--force", "counted=1025"]);
    assert!(forced.starts_with("exit: 2\n") && forced.contains("msx runs at most 1024"), "{forced}");
    hub.msx(&["scale", "--force", "counted=5"]);
    assert_eq!(hub.pids("counted").len(), 5);
}

#[test]
fn without_wait_scale_returns_before_the_instances_are_there() {
    let slow = "\
import pathlib
import time
import msx

@msx.on_start
def start():
    while not pathlib.Path('go').exists():
        time.sleep(0.01)

@msx.microservice
def slow():
    pass
";
    let manifest = "[python]\nmodules = [\"slow\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    let sandbox = Sandbox::with_manifest(manifest).file("slow.py", slow).file("go", "");
    let hub = Hub::up(&sandbox, &[]);
    std::fs::remove_file(sandbox.path("go")).unwrap();
    hub.msx(&["scale", "--no-wait", "slow=3"]);
    assert_eq!(hub.service("slow")["desired"], 3);
    assert_eq!(hub.pids("slow").len(), 1, "the others wait for the file");
    std::fs::write(sandbox.path("go"), "").unwrap();
    wait_for("three instances", || (hub.pids("slow").len() == 3).then_some(()));
}
