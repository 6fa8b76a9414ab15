use crate::model::{ServiceId, WorkerKind};
use crate::registry::Offer;
use crate::registry::tests::{offer, ready_first};
use crate::supervisor::event::{Event, Failure};

use super::sim::{BROKEN, Habits, Sim, WELL, hello};

const A: ServiceId = ServiceId(0);

fn dependent(name: &str, on: &[&str]) -> Offer {
    let mut offer = offer(name);
    offer.spec.depends_on = on.iter().map(|name| ready_first(name)).collect();
    offer
}

/// A service `a` with this many ready instances, and an empty log.
fn ready(instances: u32, habits: Habits) -> Sim {
    let mut sim = Sim::of_one(0, 8);
    sim.habits.insert(A, habits);
    sim.tell(Event::Steer { service: A, instances });
    sim.pass(100);
    sim.take_log();
    sim
}

// ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn services_start_when_what_they_depend_on_is_ready() {
    let mut sim = Sim::new(vec![dependent("web.a", &["b", "db.c"]), dependent("b.b", &["c"]), offer("db.c")]);
    sim.ask(1, |ticket| Event::AwaitReady { ticket });
    sim.pass(1_000);
    let expected =
        ["0 spawn c-1", "50 ready c-1", "50 spawn b-1", "100 ready b-1", "100 spawn a-1", "150 ready a-1"];
    let log = sim.take_log();
    assert_eq!(log[..6], expected);
    assert_eq!(log[6..], ["150 reply 1: done"]);
}

#[test]
fn what_wants_no_instance_holds_nobody_up() {
    let mut idle = offer("db.c");
    idle.spec.instances.min = 0;
    let mut sim = Sim::new(vec![dependent("web.a", &["c"]), idle]);
    sim.pass(100);
    assert_eq!(sim.take_log(), ["0 spawn a-1", "50 ready a-1"]);
}

#[test]
fn waiting_for_ready_ends_with_the_first_failed_start() {
    let mut sim = Sim::new(vec![offer("a.a"), offer("b.b")]);
    sim.habits.insert(ServiceId(1), BROKEN);
    sim.dies(sim.instance(1, 1), "exit status 1");
    let early = sim.ask(1, |ticket| Event::AwaitReady { ticket });
    let Some(Err(Failure::Fell { instance, fall })) = sim.replies.get(&early).cloned() else {
        panic!("{:?}", sim.replies)
    };
    assert_eq!((instance.as_str(), fall.text().as_str()), ("b-1", "exit status 1\nlast line"));
}

#[test]
fn waiting_for_ready_sees_a_start_that_fails_later() {
    let mut sim = Sim::new(vec![offer("a.a"), offer("b.b")]);
    let ticket = sim.ask(1, |ticket| Event::AwaitReady { ticket });
    sim.pass(10);
    sim.dies(sim.instance(0, 1), "exit status 1");
    assert!(matches!(sim.replies[&ticket], Err(Failure::Fell { .. })));
}

#[test]
fn without_hello_within_a_minute_a_start_has_failed() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(200);
    sim.take_log();
    sim.pass(60_000);
    assert_eq!(
        sim.take_log(),
        ["60100 kill a-1", "60101 gone a-1: no hello within 60 s (killed by SIGKILL)", "60101 kill a-1"]
    );
    assert_eq!(
        sim.entries(0)[0].reason.as_deref(),
        Some("no hello within 60 s (killed by SIGKILL)\nlast line")
    );
}

// ── restart ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn what_was_killed_is_replaced_at_once() {
    let mut sim = ready(1, WELL);
    sim.dies(sim.instance(0, 1), "killed by SIGKILL");
    assert_eq!(sim.shown(0), "1 backoff");
    sim.pass(1_000);
    let expected = ["100 gone a-1: killed by SIGKILL", "100 kill a-1", "200 spawn a-1", "250 ready a-1"];
    assert_eq!(sim.take_log(), expected);
    assert_eq!(sim.entries(0)[0].restarts, 1);
}

#[test]
fn a_crash_loop_is_told_tried_again_and_ends() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, BROKEN);
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(40_000);
    let log = sim.take_log();
    let spawns: Vec<&str> = log.iter().filter_map(|line| line.strip_suffix(" spawn a-1")).collect();
    assert_eq!(spawns, ["0", "100", "320", "740", "1560", "31580"]);
    let down: Vec<&String> = log.iter().filter(|line| line.contains("down")).collect();
    assert_eq!(down, ["1580 down: a-1 keeps failing: exit status 1 / last line"]);
    assert_eq!(sim.shown(0), "1 crashloop");
    sim.habits.insert(A, WELL);
    sim.pass(30_000);
    assert_eq!(sim.take_log(), ["61600 spawn a-1", "61650 ready a-1", "61650 up again"]);
}

#[test]
fn a_service_that_never_says_hello_is_down() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(260_000);
    let log = sim.take_log();
    let down: Vec<&String> = log.iter().filter(|line| line.contains("down")).collect();
    let reason = "a-1 keeps failing: no hello within 60 s (killed by SIGKILL) / last line";
    assert_eq!(down, [&format!("241504 down: {reason}")]);
    assert_eq!(sim.shown(0), "1 crashloop");
}

#[test]
fn a_service_with_a_ready_instance_is_not_down() {
    let mut sim = ready(2, WELL);
    sim.habits.insert(A, BROKEN);
    sim.dies(sim.instance(0, 2), "exit status 1");
    sim.pass(40_000);
    assert_eq!(sim.shown(0), "1 ready, 2 crashloop");
    assert!(!sim.take_log().iter().any(|line| line.contains("down")));
    sim.dies(sim.instance(0, 1), "exit status 1");
    assert!(sim.take_log().iter().any(|line| line.contains("down: a-2 keeps failing")));
}

#[test]
fn the_autoscaler_does_not_multiply_what_keeps_failing() {
    let mut sim = Sim::of_one(1, 8);
    sim.habits.insert(A, BROKEN);
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(5_000);
    sim.tell(Event::Steer { service: A, instances: 4 });
    assert_eq!(sim.shown(0), "1 crashloop");
}

#[test]
fn a_broken_control_channel_leaves_a_moment_to_end() {
    let mut sim = ready(1, WELL);
    sim.tell(Event::Severed { instance: sim.instance(0, 1), why: None });
    sim.pass(500);
    assert_eq!(sim.take_log(), [""; 0]);
    sim.dies(sim.instance(0, 1), "exit status 3");
    sim.pass(1_000);
    let expected = ["600 gone a-1: exit status 3", "600 kill a-1", "700 spawn a-1", "750 ready a-1"];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn a_broken_control_channel_ends_in_a_kill() {
    let mut sim = ready(1, WELL);
    sim.tell(Event::Severed { instance: sim.instance(0, 1), why: None });
    sim.pass(1_200);
    let log = sim.take_log();
    assert_eq!(log[0], "1100 kill a-1");
    assert_eq!(log[1], "1101 gone a-1: it closed its control channel (killed by SIGKILL)");
    assert_eq!(log[3], "1201 spawn a-1");
}

#[test]
fn an_instance_with_an_unusable_hello_is_replaced_without_blame() {
    let mut sim = ready(1, WELL);
    let roll = sim.restart(1, true);
    sim.pass(10);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.says_hello(sim.instance(0, 2), WorkerKind::Async, "second");
    sim.pass(300);
    assert_eq!(sim.signature(0), Some("first"), "one that cannot be used does not speak for the others");
    assert!(sim.take_log().contains(&"211 spawn a-2 async".to_owned()));
    sim.says_hello(sim.instance(0, 2), WorkerKind::Async, "second");
    sim.pass(300);
    assert_eq!(sim.replies[&roll], Ok(()));
    assert_eq!((sim.shown(0).as_str(), sim.signature(0)), ("2 ready", Some("second")));
}

#[test]
fn late_news_of_a_dead_process_does_not_touch_its_successor() {
    let mut sim = ready(1, WELL);
    let dead = sim.instance(0, 1);
    sim.dies(dead, "killed by SIGKILL");
    sim.pass(200);
    sim.take_log();
    for event in [
        Event::Severed { instance: dead, why: None },
        Event::Drained { instance: dead },
        Event::Hello { instance: dead, hello: hello(WorkerKind::Def, "late") },
        Event::Unresponsive { instance: dead, why: String::new() },
        Event::Emptied { instance: dead },
    ] {
        sim.tell(event);
    }
    sim.pass(5_000);
    assert_eq!(sim.take_log(), [""; 0]);
    assert_eq!(sim.shown(0), "1 ready");
}

#[test]
fn what_did_not_end_a_process_is_not_blamed_later() {
    let mut sim = Sim::of_one(1, 1);
    let why = "a call went on after its run_timeout".to_owned();
    sim.tell(Event::Unresponsive { instance: sim.instance(0, 1), why });
    sim.pass(1_000);
    sim.take_log();
    sim.dies(sim.instance(0, 1), "exit status 1");
    assert_eq!(sim.take_log()[0], "1000 gone a-1: exit status 1");
}

// ── a call that ignores its run_timeout ──────────────────────────────────────────────────────────────────────────────

#[test]
fn an_unresponsive_instance_is_replaced_at_once_and_killed_later() {
    let mut sim = ready(1, Habits { busy: None, ..WELL });
    sim.tell(Event::Unresponsive {
        instance: sim.instance(0, 1),
        why: "a call ignored its run_timeout".to_owned(),
    });
    assert_eq!(sim.take_log(), ["100 drain a-1 now", "100 spawn a-2"]);
    sim.pass(11_000);
    let expected = [
        "150 ready a-2",
        "10100 kill a-1",
        "10101 gone a-1: a call ignored its run_timeout (killed by SIGKILL)",
    ];
    assert_eq!(sim.take_log(), expected);
    assert_eq!(sim.shown(0), "2 ready");
}

#[test]
fn an_unresponsive_instance_is_killed_as_soon_as_it_is_drained() {
    let mut sim = ready(1, Habits { busy: Some(300), ..WELL });
    sim.tell(Event::Unresponsive { instance: sim.instance(0, 1), why: "it hangs".to_owned() });
    sim.pass(1_000);
    assert!(sim.take_log().contains(&"400 kill a-1".to_owned()));
}

// ── scale ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn scaling_up_answers_when_all_are_ready() {
    let mut sim = ready(1, WELL);
    sim.scale(1, 0, 3);
    sim.pass(100);
    let expected = ["100 spawn a-2", "100 spawn a-3", "150 ready a-2", "150 ready a-3", "150 reply 1: done"];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn scaling_down_takes_the_highest_number_and_answers_when_it_is_gone() {
    let mut sim = ready(3, WELL);
    sim.scale(1, 0, 2);
    sim.pass(100);
    let expected = [
        "100 drain a-3",
        "100 finish a-3",
        "101 gone a-3: exit status 0",
        "101 terminate a-3",
        "101 reply 1: done",
    ];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn a_busy_instance_is_never_stopped_by_a_scale_down() {
    let mut sim = ready(2, Habits { busy: None, ..WELL });
    sim.tell(Event::Steer { service: A, instances: 1 });
    sim.pass(3_600_000);
    assert_eq!(sim.take_log(), ["100 drain a-2", "30100 drain a-2 now"]);
    sim.tell(Event::Drained { instance: sim.instance(0, 2) });
    sim.pass(100);
    assert_eq!(sim.shown(0), "1 ready");
}

#[test]
fn a_place_that_is_leaving_is_not_used_again() {
    let mut sim = ready(2, Habits { busy: Some(5_000), ..WELL });
    sim.tell(Event::Steer { service: A, instances: 1 });
    sim.tell(Event::Steer { service: A, instances: 2 });
    sim.pass(100);
    assert_eq!(sim.shown(0), "1 ready, 2 draining, 3 ready");
    sim.pass(6_000);
    assert_eq!(sim.shown(0), "1 ready, 3 ready");
}

#[test]
fn scaling_reports_the_start_that_failed() {
    let mut sim = ready(1, WELL);
    sim.habits.insert(A, BROKEN);
    let ticket = sim.scale(1, 0, 2);
    sim.pass(100);
    let failure = sim.replies[&ticket].clone().expect_err("a failure");
    assert_eq!(failure.to_string(), "a-2 did not stay up: exit status 1");
    assert_eq!(failure.detail().as_deref(), Some("last line"));
    assert_eq!(
        failure.help().as_deref(),
        Some("`msx logs a` shows the whole log; msx keeps trying to start it")
    );
}

#[test]
fn scaling_does_not_wait_for_ever() {
    let mut sim = ready(2, Habits { busy: None, ..WELL });
    let ticket = sim.scale(1, 0, 1);
    sim.pass(119_000);
    assert!(!sim.replies.contains_key(&ticket));
    sim.pass(2_000);
    let failure = sim.replies[&ticket].clone().expect_err("a failure");
    assert_eq!(failure.to_string(), "a is not as it was asked for after 120 s: a-2 is draining");
}

#[test]
fn without_wait_scaling_answers_once_it_has_begun() {
    let mut sim = ready(1, WELL);
    sim.ask(1, |ticket| Event::Scale { service: A, target: Some(2), wait: false, ticket });
    assert_eq!(sim.take_log(), ["100 spawn a-2", "100 reply 1: done"]);
}

#[test]
fn zero_is_a_number_of_instances() {
    let mut sim = ready(1, WELL);
    let ticket = sim.scale(1, 0, 0);
    sim.pass(100);
    assert_eq!((sim.replies[&ticket].clone(), sim.shown(0).as_str()), (Ok(()), ""));
    sim.tell(Event::Steer { service: A, instances: 1 });
    assert_eq!(sim.desired(0), 0, "pinned");
}

#[test]
fn the_autoscaler_is_heard_unless_a_person_or_the_manifest_decided() {
    let mut sim = Sim::of_one(1, 4);
    let steer = |sim: &mut Sim, instances| {
        sim.tell(Event::Steer { service: A, instances });
        sim.desired(0)
    };
    assert_eq!(steer(&mut sim, 3), 3);
    assert_eq!(steer(&mut sim, 9), 4);
    assert_eq!(steer(&mut sim, 0), 1);
    sim.scale(1, 0, 6);
    assert_eq!(steer(&mut sim, 2), 6);
    sim.ask(2, |ticket| Event::Scale { service: A, target: None, wait: false, ticket });
    assert_eq!(sim.desired(0), 4, "back within the range");
    assert_eq!(steer(&mut sim, 2), 2);

    let mut fixed = Sim::of_one(2, 2);
    assert_eq!(steer(&mut fixed, 1), 2);
    fixed.scale(1, 0, 3);
    fixed.ask(2, |ticket| Event::Scale { service: A, target: None, wait: false, ticket });
    assert_eq!(fixed.desired(0), 2);
}

// ── rolling restart ──────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn instances_are_rolled_one_at_a_time() {
    let mut sim = ready(2, WELL);
    sim.restart(1, false);
    sim.pass(10_000);
    let log: Vec<String> = sim.take_log().into_iter().filter(|line| !line.contains("terminate")).collect();
    let expected = [
        "100 spawn a-3",
        "150 ready a-3",
        "2150 drain a-1",
        "2150 finish a-1",
        "2151 gone a-1: exit status 0",
        "2151 spawn a-1",
        "2201 ready a-1",
        "4201 drain a-2",
        "4201 finish a-2",
        "4202 gone a-2: exit status 0",
        "4202 reply 1: done",
    ];
    assert_eq!(log, expected);
    assert_eq!(sim.shown(0), "1 ready, 3 ready");
    assert_eq!(sim.entries(0)[0].restarts, 0, "a person's restart is no crash");
}

#[test]
fn when_a_file_changed_ready_is_enough_and_parked_calls_move_at_once() {
    let mut sim = ready(1, WELL);
    sim.restart(1, true);
    sim.pass(1_000);
    assert_eq!(sim.take_log()[..3], ["100 spawn a-2", "150 ready a-2", "150 drain a-1 now"]);
}

#[test]
fn a_new_instance_that_fails_keeps_the_old_ones() {
    let mut sim = ready(2, WELL);
    sim.habits.insert(A, BROKEN);
    let ticket = sim.restart(1, false);
    sim.pass(10_000);
    let failure = sim.replies[&ticket].clone().expect_err("a failure");
    assert_eq!(failure.to_string(), "a-3 did not stay up: exit status 1");
    assert_eq!(sim.shown(0), "1 ready, 2 ready");
    assert_eq!(sim.processes(), 2);
}

#[test]
fn a_new_instance_that_falls_before_it_is_stable_has_failed_too() {
    let mut sim = ready(1, WELL);
    sim.habits.insert(A, Habits { exits: Some(1_500), ..WELL });
    let ticket = sim.restart(1, false);
    sim.pass(10_000);
    assert!(matches!(sim.replies[&ticket], Err(Failure::Fell { .. })));
    assert_eq!(sim.shown(0), "1 ready");
}

#[test]
fn old_code_that_says_hello_late_does_not_change_the_signature() {
    let mut sim = ready(1, WELL);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.tell(Event::Steer { service: A, instances: 2 });
    sim.restart(1, false);
    sim.says_hello(sim.instance(0, 3), WorkerKind::Def, "second");
    assert_eq!(sim.signature(0), Some("second"));
    sim.says_hello(sim.instance(0, 2), WorkerKind::Def, "first");
    assert_eq!((sim.shown(0).as_str(), sim.signature(0)), ("1 ready, 2 ready, 3 ready", Some("second")));
}

#[test]
fn after_a_failed_restart_the_signature_is_that_of_what_stays() {
    let mut sim = ready(1, WELL);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    let roll = sim.restart(1, false);
    sim.says_hello(sim.instance(0, 2), WorkerKind::Def, "second");
    assert_eq!(sim.signature(0), Some("second"));
    sim.dies(sim.instance(0, 2), "exit status 1");
    assert!(matches!(sim.replies[&roll], Err(Failure::Fell { .. })));
    assert_eq!((sim.shown(0).as_str(), sim.signature(0)), ("1 ready", Some("first")));
}

#[test]
fn a_restart_asked_for_during_another_begins_after_it() {
    let mut sim = ready(1, WELL);
    let first = sim.restart(1, false);
    sim.pass(500);
    let (second, third) = (sim.restart(2, false), sim.restart(3, true));
    sim.pass(1_560);
    assert_eq!(sim.replies.get(&first), Some(&Ok(())));
    assert_eq!(sim.replies.get(&second), None);
    sim.pass(2_000);
    assert_eq!((&sim.replies[&second], &sim.replies[&third]), (&Ok(()), &Ok(())));
    let spawns = sim.take_log().iter().filter(|line| line.contains("spawn")).count();
    assert_eq!(spawns, 2, "the two that waited were one");
}

#[test]
fn a_restart_does_not_wait_for_one_whose_new_instance_hangs() {
    let mut sim = ready(1, WELL);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    let first = sim.restart(1, true);
    sim.pass(5_000);
    assert_eq!(sim.replies.get(&first), None);
    sim.habits.insert(A, WELL);
    let second = sim.restart(2, true);
    sim.pass(1_000);
    assert_eq!((&sim.replies[&first], &sim.replies[&second]), (&Ok(()), &Ok(())));
    assert_eq!((sim.shown(0).as_str(), sim.processes()), ("3 ready", 1));
}

#[test]
fn a_restart_does_not_wait_for_the_backoff() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, BROKEN);
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(5_000);
    assert_eq!(sim.shown(0), "1 crashloop");
    let failed = sim.restart(1, true);
    sim.pass(100);
    assert!(matches!(sim.replies[&failed], Err(Failure::Fell { .. })));
    assert_eq!(sim.shown(0), "1 crashloop", "what has no successor goes on being tried");
    sim.habits.insert(A, WELL);
    let healed = sim.restart(2, true);
    sim.pass(100);
    assert_eq!(sim.replies[&healed], Ok(()));
    assert_eq!(sim.shown(0), "1 ready");
}

#[test]
fn a_restart_that_waits_for_a_busy_instance_does_not_wait_for_ever() {
    let mut sim = ready(1, Habits { busy: None, ..WELL });
    let roll = sim.restart(1, false);
    sim.pass(100);
    let next = sim.restart(2, false);
    sim.pass(599_000);
    assert_eq!((sim.replies.len(), sim.shown(0).as_str()), (0, "1 draining, 2 ready"));
    sim.pass(2_000);
    let failure = sim.replies[&roll].clone().expect_err("a failure");
    assert_eq!(failure.to_string(), "a is not as it was asked for after 600 s: a-1 is draining");
    assert_eq!(sim.replies[&next], Err(failure));
    assert_eq!(sim.shown(0), "1 draining, 2 ready", "it goes on");
}

#[test]
fn a_process_that_kill_does_not_end_is_given_up_and_replaced() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, Habits { hello: None, survives_kill: true, ..WELL });
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(1_000);
    sim.habits.insert(A, WELL);
    sim.pass(100_000);
    assert_eq!(sim.shown(0), "1 draining, 2 ready");
}

#[test]
fn a_restart_waits_for_all_that_had_no_process() {
    let mut sim = ready(2, WELL);
    sim.dies(sim.instance(0, 1), "killed by SIGKILL");
    sim.dies(sim.instance(0, 2), "killed by SIGKILL");
    let ticket = sim.restart(1, false);
    sim.pass(60);
    sim.habits.insert(A, Habits { hello: Some(20_000), ..WELL });
    sim.dies(sim.instance(0, 2), "killed by SIGKILL");
    let failure = sim.replies[&ticket].clone().expect_err("a failure");
    assert_eq!(failure.to_string(), "a-2 did not stay up: killed by SIGKILL");
    let again = sim.restart(2, false);
    sim.pass(19_000);
    assert!(!sim.replies.contains_key(&again));
    sim.pass(60_000);
    assert_eq!((&sim.replies[&again], sim.entries(0).len()), (&Ok(()), 2));
}

#[test]
fn one_that_is_ready_before_the_others_does_not_keep_the_task_awake() {
    let mut sim = ready(2, Habits { hello: Some(50), ..WELL });
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.dies(sim.instance(0, 1), "killed by SIGKILL");
    sim.dies(sim.instance(0, 2), "killed by SIGKILL");
    let ticket = sim.restart(1, false);
    sim.says_hello(sim.instance(0, 1), WorkerKind::Def, "first");
    sim.pass(30_000);
    assert!(!sim.replies.contains_key(&ticket));
    sim.says_hello(sim.instance(0, 2), WorkerKind::Def, "first");
    sim.pass(2_000);
    assert_eq!(sim.replies[&ticket], Ok(()));
}

#[test]
fn scaling_during_a_roll_counts() {
    let mut sim = ready(4, WELL);
    let roll = sim.restart(1, false);
    sim.pass(1_000);
    let scale = sim.scale(2, 0, 2);
    sim.pass(20_000);
    assert_eq!((&sim.replies[&roll], &sim.replies[&scale]), (&Ok(()), &Ok(())));
    assert_eq!(sim.entries(0).len(), 2);
    let to_zero = sim.restart(3, false);
    sim.pass(1_000);
    sim.scale(4, 0, 0);
    sim.pass(20_000);
    assert_eq!(sim.replies[&to_zero], Ok(()));
    assert_eq!((sim.shown(0).as_str(), sim.processes()), ("", 0));
}

#[test]
fn a_service_without_instances_is_restarted_at_once() {
    let mut sim = Sim::of_one(0, 1);
    let ticket = sim.restart(1, false);
    assert_eq!(sim.replies[&ticket], Ok(()));
}

// ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn dependents_stop_before_what_they_depend_on() {
    let mut sim =
        Sim::new(vec![dependent("web.a", &["c"]), dependent("b.b", &["c"]), dependent("db.c", &[])]);
    sim.pass(1_000);
    sim.take_log();
    sim.tell(Event::Shutdown);
    sim.pass(1_000);
    let log: Vec<String> = sim.take_log().into_iter().filter(|line| !line.contains("terminate")).collect();
    let expected = [
        "1000 drain a-1",
        "1000 drain b-1",
        "1000 finish a-1",
        "1000 finish b-1",
        "1001 gone a-1: exit status 0",
        "1001 gone b-1: exit status 0",
        "1001 drain c-1",
        "1001 finish c-1",
        "1002 gone c-1: exit status 0",
        "1002 ended, survivors []",
    ];
    assert_eq!(log, expected);
    assert_eq!(sim.processes(), 0);
}

#[test]
fn every_step_of_a_stop_has_a_bound() {
    let stubborn = Habits { busy: None, hooks: None, ignores_stop_signal: true, survives_kill: true, ..WELL };
    let mut sim = ready(1, stubborn);
    sim.tell(Event::Shutdown);
    sim.pass(600_000);
    let expected = [
        "100 drain a-1",
        "30100 finish a-1",
        "40100 terminate a-1",
        "50100 kill a-1",
        "55100 ended, survivors [1001]",
    ];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn a_drain_that_had_lost_its_bound_gets_one_at_the_end() {
    let mut sim = ready(2, Habits { busy: None, ..WELL });
    sim.tell(Event::Steer { service: A, instances: 1 });
    sim.pass(100_000);
    sim.take_log();
    sim.tell(Event::Shutdown);
    sim.pass(100_000);
    assert!(sim.ended.is_some(), "{:?}", sim.take_log());
}

#[test]
fn no_more_patience_means_kill() {
    let mut sim = ready(2, Habits { busy: None, ..WELL });
    sim.tell(Event::Shutdown);
    sim.pass(100);
    sim.take_log();
    sim.tell(Event::Kill);
    sim.pass(100);
    let log = sim.take_log();
    assert_eq!(log[..2], ["200 kill a-1", "200 kill a-2"]);
    assert_eq!(log.last().map(String::as_str), Some("201 ended, survivors []"));
}

#[test]
fn what_has_no_process_does_not_delay_the_end() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, BROKEN);
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.tell(Event::Shutdown);
    assert_eq!(sim.ended, Some(vec![]));
}

#[test]
fn a_process_that_is_still_starting_is_stopped_by_its_signal() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(A, Habits { hello: None, ..WELL });
    sim.dies(sim.instance(0, 1), "exit status 1");
    sim.pass(1_000);
    sim.take_log();
    sim.tell(Event::Shutdown);
    sim.pass(100);
    let expected = ["1000 terminate a-1", "1001 gone a-1: killed by SIGTERM", "1001 ended, survivors []"];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn requests_under_way_and_new_ones_are_told_that_msx_stops() {
    let mut sim = ready(1, Habits { busy: None, hello: None, ..WELL });
    let scale = sim.scale(1, 0, 3);
    let (roll, next) = (sim.restart(2, false), sim.restart(3, false));
    sim.tell(Event::Shutdown);
    let late = sim.scale(4, 0, 5);
    for ticket in [scale, roll, next, late] {
        assert_eq!(sim.replies[&ticket], Err(Failure::Stopping), "{ticket:?}");
    }
}

#[test]
fn what_happens_is_told_with_its_numbers() {
    let mut sim = Sim::of_one(1, 4);
    sim.pass(20_000);
    let one = sim.instance(0, 1);
    sim.dies(one, "killed by SIGKILL");
    sim.pass(1_000);
    sim.scale(1, 0, 2);
    sim.pass(1_000);
    let two = sim.instance(0, 2);
    sim.tell(Event::Unresponsive { instance: two, why: "its control thread did not answer for 30 s".into() });
    sim.pass(20_000);
    sim.restart(2, false);
    sim.pass(10_000);
    sim.habits.insert(ServiceId(0), BROKEN);
    sim.restart(3, false);
    sim.pass(10_000);
    assert_eq!(
        sim.happenings,
        [
            "a-1 exited: killed by SIGKILL; started again in 0.1 s",
            "a-1 recovered: ready again",
            "a pinned: 1 → 2: asked for",
            "a-2 replaced: its control thread did not answer for 30 s",
            "a rolled: all its instances are new",
            "a roll failed: a-3 did not stay up: exit status 1",
        ]
    );
}

#[test]
fn a_crash_loop_is_told_when_it_begins_and_when_it_is_over() {
    let mut sim = Sim::of_one(1, 1);
    sim.habits.insert(ServiceId(0), BROKEN);
    sim.tell(Event::Tick);
    let one = sim.instance(0, 1);
    sim.dies(one, "exit status 1");
    sim.pass(10_000);
    sim.habits.clear();
    sim.pass(40_000);
    let kinds: Vec<&str> = sim.happenings.iter().map(|told| told.split(':').next().unwrap()).collect();
    assert_eq!(kinds[..5], ["a-1 exited", "a-1 exited", "a-1 exited", "a-1 exited", "a-1 crashloop"]);
    assert!(sim.happenings[4].ends_with("exit status 1; started again in 30.0 s"), "{:#?}", sim.happenings);
    assert_eq!(kinds.last(), Some(&"a-1 recovered"));
}
