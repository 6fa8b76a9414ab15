//! `msx pause` and `msx resume`.

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;

fn is_paused(hub: &Hub) -> bool {
    hub.service("gate")["paused"].is_object()
}

fn queue(hub: &Hub, name: &str, calls: u64) {
    wait_for("calls to wait", || (hub.service(name)["queue"] == calls).then_some(()));
}

#[test]
fn what_runs_ends_and_what_comes_waits() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let runs = sandbox.start(&["call", "gate", "first"]);
    wait_for("a call to run", || sandbox.path("first.waits").exists().then_some(()));
    let pause = sandbox.start(&["pause", "gate"]);
    wait_for("the pause", || is_paused(&hub).then_some(()));
    std::fs::write(sandbox.path("second"), "").unwrap();
    // Who calls a paused service waits as for a slow one.
    let waits = sandbox.start(&["call", "parks", "second"]);
    queue(&hub, "gate", 1);
    std::fs::write(sandbox.path("first"), "").unwrap();
    assert_eq!(runs.end().0, Some(0));
    let (code, _, stderr) = pause.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("gate: paused; it goes on with `msx resume gate`, or by itself in 60 s"),
        "{stderr}"
    );

    assert!(!sandbox.path("second.waits").exists() && hub.service("gate")["queue"] == 1);
    assert!(hub.msx(&["ps"]).contains("paused for "), "{}", hub.msx(&["ps"]));
    let calls = hub.msx(&["calls", "--status", "queued"]);
    let id = calls.lines().nth(1).unwrap().split(' ').next().unwrap();
    let why = hub.msx(&["why", id]);
    assert!(why.contains("paused for ") && why.contains("; it goes on by itself in "), "{why}");
    assert!(hub.msx(&["metrics"]).contains("msx_paused{service=\"gates.gate\"} 1"));

    assert_eq!(sandbox.run(&["resume", "gate"]), "exit: 0\n--- stdout\n--- stderr\ngate: goes on\n");
    assert_eq!(waits.end().0, Some(0));
    let again = sandbox.run(&["resume", "gate"]);
    assert!(
        again.starts_with("exit: 1\n") && again.contains("cannot resume gate: it is not paused"),
        "{again}"
    );
    let events = hub.msx(&["events", "--service", "gate"]);
    let of_gate: Vec<&str> =
        events.lines().filter(|line| line.contains("paused") || line.contains("resumed")).collect();
    assert!(of_gate.len() == 2 && of_gate[0].ends_with("for at most 60 s"), "{events}");
    assert!(of_gate[1].ends_with("by `msx resume`"), "{events}");
}

#[test]
fn a_pause_ends_by_itself_also_if_its_calls_do_not() {
    let sandbox = Sandbox::project("gates");
    let hub = Hub::up(&sandbox, &[]);
    let runs = sandbox.start(&["call", "gate", "first"]);
    wait_for("a call to run", || sandbox.path("first.waits").exists().then_some(()));
    let pause = sandbox.run(&["pause", "gate", "--max", "300ms"]);
    assert!(pause.starts_with("exit: 1\n"), "{pause}");
    assert!(pause.contains("gate goes on: 1 of its calls had not ended when its pause did"), "{pause}");
    std::fs::write(sandbox.path("first"), "").unwrap();
    assert_eq!(runs.end().0, Some(0));
    hub.msx(&["pause", "gate", "--max", "300ms"]);
    hub.call(&["gate", "first"]);
    wait_for("the record of it", || {
        let events = hub.msx(&["events", "--service", "gate"]);
        (events.matches("by itself, because its time was over").count() == 2).then_some(())
    });
    let long = sandbox.run(&["pause", "gate", "--max", "1h"]);
    assert!(long.starts_with("exit: 2\n") && long.contains("pause for at most 600 s"), "{long}");
}

#[test]
fn no_call_fails_for_a_pause() {
    let sandbox = Sandbox::project("counted");
    let hub = Hub::up(&sandbox, &[]);
    let load = Load::start(&hub.gateway(), "counted", "{}", 4);
    for _ in 0..3 {
        let target = load.answered() + 20;
        wait_for("answers", || (load.answered() >= target).then_some(()));
        hub.msx(&["pause", "counted"]);
        queue(&hub, "counted", 4);
        assert!(hub.service("counted")["instances"][0]["busy"] == 0);
        hub.msx(&["resume", "counted"]);
    }
    assert_eq!(load.end().failures, Vec::<String>::new());
}
