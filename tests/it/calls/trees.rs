//! Calls that call: in place, replayed whenever they wait, and with room for two waiting calls per instance.
//! Every service of the project has one instance with one slot.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{Project, Until, checks, in_three_ways};
use crate::support::Sandbox;
use crate::support::hub::{kill, wait_for};

const CHECKS: &[(&str, fn(&Project))] = checks![
    recursion_across_services,
    recursion_of_async_services,
    recursion_through_both_kinds,
    a_chain_costs_one_run_per_call,
    a_chain_of_an_async_service,
    five_thousand_at_once,
    five_thousand_at_once_of_an_async_service,
    tasks_of_an_async_service,
    tasks_that_wait_for_each_other,
    many_roots_at_once,
    the_same_arguments_twice_run_twice,
    none_is_an_answer,
    what_is_caught_around_a_call_changes_nothing,
    what_an_async_function_catches_changes_nothing,
    an_exception_from_three_services_deep,
    what_a_call_holds_while_it_waits,
    arguments_and_results_belong_to_the_attempt,
    a_memo_is_made_once,
    memos_of_an_async_service,
    futures_are_waited_for_late,
    children_end_with_their_parent,
    sets_are_walked_in_the_same_order,
];

in_three_ways!(Sandbox::project("trees"), CHECKS, replayed: checks![a_replay_that_differs_is_an_error]);

/// Whatever is killed, every call gets its answer or a clear error, and nothing is held for ever.
#[test]
fn while_instances_are_killed() {
    let sandbox = Sandbox::project("trees");
    sandbox.edit("services.toml", "max_parked = 256", "max_parked = 2");
    let project = Project::up(&sandbox);
    let (ended, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let _until = Until(&ended);
        for service in RECURSIVE {
            let (project, ended, answered) = (&project, &ended, &answered);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let output = project.sandbox.msx(&["call", service, "9"]).output().unwrap();
                    if output.status.success() {
                        assert_eq!(output.stdout, b"34\n");
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let stderr = String::from_utf8(output.stderr).unwrap();
                        assert!(stderr.contains("InstanceDied"), "{stderr}");
                    }
                }
            });
        }
        for round in 0..KILLS {
            let goal = answered.load(Ordering::Relaxed) + 6;
            wait_for("answers", || (answered.load(Ordering::Relaxed) >= goal).then_some(()));
            for service in RECURSIVE.into_iter().skip(round % 2).step_by(2) {
                project.hub.pids(service).into_iter().for_each(|pid| kill(pid, 9));
            }
        }
    });
    project.rests();
    for service in RECURSIVE {
        assert_eq!(project.call(&[service, "9"]), 34);
    }
}

const RECURSIVE: [&str; 6] = ["fib", "bif", "afib", "abif", "mix", "amix"];
/// Every service is hit half as often: five times would be a crash loop.
const KILLS: usize = 8;

// ---- many calls ----

fn recursion_across_services(project: &Project) {
    assert_eq!(project.call(&["fib", "15"]), 610);
    assert_eq!(project.call(&["fib", "15", "gathered=true"]), 610);
}

fn recursion_of_async_services(project: &Project) {
    assert_eq!(project.call(&["afib", "15"]), 610);
    assert_eq!(project.call(&["afib", "15", "gathered=true"]), 610);
}

fn recursion_through_both_kinds(project: &Project) {
    assert_eq!(project.call(&["mix", "13"]), 233);
    assert_eq!(project.call(&["amix", "13"]), 233);
}

fn a_chain_costs_one_run_per_call(project: &Project) {
    for n in [100, 300] {
        let name = format!("chain-{n}");
        assert_eq!(project.call(&["many", &n.to_string(), "false", &name]), n * (n - 1) / 2);
        assert_eq!(project.marks(&format!("{name}.tick")), n);
        assert_eq!(project.marks(&format!("{name}.begun")), project.attempts(n));
    }
}

fn a_chain_of_an_async_service(project: &Project) {
    assert_eq!(project.call(&["amany", "300", "one by one", "achain"]), 300 * 299 / 2);
    assert_eq!(project.marks("achain.tick"), 300);
    assert_eq!(project.marks("achain.begun"), project.attempts(300));
}

fn five_thousand_at_once(project: &Project) {
    assert_eq!(project.call(&["many", "5000", "true", "fan"]), 5_000 * 4_999 / 2);
    assert_eq!(project.marks("fan.tick"), 5_000);
    assert_eq!(project.marks("fan.begun"), project.attempts(1));
}

fn five_thousand_at_once_of_an_async_service(project: &Project) {
    assert_eq!(project.call(&["amany", "5000", "gathered", "afan"]), 5_000 * 4_999 / 2);
    assert_eq!(project.marks("afan.tick"), 5_000);
    assert_eq!(project.marks("afan.begun"), project.attempts(1));
}

fn tasks_of_an_async_service(project: &Project) {
    assert_eq!(project.call(&["amany", "50", "tasks", "tasks"]), 50 * 49);
    assert_eq!(project.marks("tasks.tick"), 100);
    assert!(project.marks("tasks.begun") <= project.attempts(100));
}

/// How many calls are made depends on the order of answers where `ticks` is `None`.
fn tasks_that_wait_for_each_other(project: &Project) {
    let cases = [
        ("gathers_errors", json!([1, "no 2", 3, 4]), Some(3)),
        ("first_error_of_gather", json!(["no 2", 1, 4, 5]), Some(3)),
        ("takes_the_first", json!([0, 2, 6, 12]), None),
        ("as_completed", json!([0, 2, 6, 12]), Some(14)),
        ("produces_and_consumes", json!([0, 10, 20, 30, 40]), Some(10)),
        ("takes_turns", json!([0, 0, 1, 1, 2, 2, 3, 3]), Some(8)),
        ("gives_up", json!([7, 8]), None),
        ("never_awaited", json!([1, true]), None),
        ("shielded", json!(8), Some(5)),
        ("awaited_by_many", json!([1, 1, 1, 1]), Some(1)),
        ("nested", json!(32), Some(32)),
        ("generates", json!([0, 1, 2, 3]), Some(8)),
        ("groups", json!([3, 1, 6]), None),
    ];
    for (how, result, ticks) in cases {
        assert_eq!(project.call(&["tangles", how, how]), result, "{how}");
        if let Some(ticks) = ticks {
            assert_eq!(project.marks(&format!("{how}.tick")), ticks, "{how}");
        }
        assert!(project.marks(&format!("{how}.begun")) <= project.attempts(40), "{how}");
    }
}

/// Trees of different age in the same instances.
fn many_roots_at_once(project: &Project) {
    thread::scope(|scope| {
        for service in RECURSIVE {
            for (n, result) in [(6, 8), (7, 13), (8, 21)] {
                scope.spawn(move || assert_eq!(project.call(&[service, &n.to_string()]), result));
            }
        }
    });
}

// ---- what a function does around a call ----

fn the_same_arguments_twice_run_twice(project: &Project) {
    assert_eq!(project.call(&["swallows", "twice", "twice"]), json!([1, 1]));
    assert_eq!(project.marks("twice.tick"), 2);
}

fn none_is_an_answer(project: &Project) {
    assert_eq!(project.call(&["nothing"]), Value::Null);
    assert_eq!(project.call(&["swallows", "none_answers", "none"]), json!([null, null, null]));
}

fn what_is_caught_around_a_call_changes_nothing(project: &Project) {
    let cases = [
        ("except_exception", json!(10), 5),
        ("bare_except", json!(10), 5),
        ("bare_except_returns", json!(2), 2),
        ("finally_returns", json!("finally 7"), 1),
        ("finally_calls", json!(1), 2),
        ("calls_in_except", json!(1), 1),
        ("tries_for_ever", json!(1), 1),
        ("owns_a_loop", json!([0, 2, 4]), 6),
        ("suppresses", json!([0, 1, 2]), 3),
        ("raises_instead", json!(3), 1),
        ("generator_closed", json!([1, 2]), 2),
    ];
    for (how, result, ticks) in cases {
        assert_eq!(project.call(&["swallows", how, how]), result, "{how}");
        assert_eq!(project.marks(&format!("{how}.tick")), ticks, "{how}");
        let (begun, attempts) = (project.marks(&format!("{how}.begun")), project.attempts(ticks));
        match how {
            // Its calls are sent before it waits for them: an answer that is there by then needs no wait.
            "owns_a_loop" => assert!((1..=attempts).contains(&begun), "{how}: {begun} of {attempts}"),
            _ => assert_eq!(begun, attempts, "{how}"),
        }
    }
    assert_eq!(project.marks("except_exception.caught"), 0);
}

fn what_an_async_function_catches_changes_nothing(project: &Project) {
    let cases = [
        ("a_bare_except", json!(10), 5),
        ("a_finally_returns", json!("finally 7"), 1),
        ("a_finally_calls", json!(1), 2),
    ];
    for (how, result, ticks) in cases {
        assert_eq!(project.call(&["aswallows", how, how]), result, "{how}");
        assert_eq!(project.marks(&format!("{how}.tick")), ticks, "{how}");
    }
}

fn an_exception_from_three_services_deep(project: &Project) {
    let caught = project.call(&["customer", "apple"]);
    assert_eq!(caught["type"], "OutOfStock");
    let bases = caught["bases"].as_array().unwrap();
    assert!(["ValueError", "RemoteError"].iter().all(|base| bases.contains(&json!(base))), "{bases:?}");
    assert_eq!(caught["message"], "only 2 of apple left");
    assert_eq!(caught["attributes"], json!({"item": "apple", "left": 2}));
    assert_eq!(caught["service"], "hops.shelf");
    assert_eq!(caught["via"], json!(["hops.store", "hops.shop"]));
    assert_eq!(caught["cause"]["type"], "KeyError");
    every_hop_is_in(caught["traceback"].as_str().unwrap());

    let (code, stderr) = project.hub.call_fails(&["shop", "apple"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("hops.OutOfStock: only 2 of apple left"), "{stderr}");
    every_hop_is_in(&stderr);
}

/// The line of the user's code in each service, innermost first, and no line of the SDK.
fn every_hop_is_in(traceback: &str) {
    let lines = [
        "{}[item]",
        "raise OutOfStock(item, 2) from error",
        "await shelf.aio(item)",
        "store.start(item).result()",
    ];
    let places: Vec<usize> = lines
        .iter()
        .map(|line| traceback.find(line).unwrap_or_else(|| panic!("no `{line}` in {traceback}")))
        .collect();
    assert!(places.is_sorted(), "{traceback}");
    assert!(!traceback.contains("/msx/"), "{traceback}");
}

/// The inner call of the same service runs in the same process while the outer one waits.
fn what_a_call_holds_while_it_waits(project: &Project) {
    let outer = project.call(&["holder", "outer"]);
    let inner = &outer[5];
    assert_eq!((&outer[1], &outer[2]), (&json!("outer"), &json!("outer")));
    assert_eq!((&inner[1], &inner[2]), (&json!("inner"), &json!("inner")));
    assert_eq!((&outer[4], &inner[4]), (&json!(["unset", "unset"]), &json!(["unset", "unset"])));
    if project.replays {
        // The outer call gives its place up, and the lock with it: before the inner one begins, or a little later.
        assert_eq!(outer[0], json!(true));
    } else {
        assert_eq!((&outer[0], &inner[0]), (&json!(true), &json!(false)));
        assert_ne!(outer[3], inner[3], "each has a thread of its own");
    }
}

/// What an attempt does to its arguments and to results is not seen by the next one.
fn arguments_and_results_belong_to_the_attempt(project: &Project) {
    assert_eq!(project.call(&["mutates", "[]", "mutates"]), json!([[0, 1], [1, 1], [1, 1]]));
    assert_eq!(project.marks("mutates.tick"), 5);
}

// ---- memos ----

fn a_memo_is_made_once(project: &Project) {
    assert_eq!(project.call(&["pays", "between_calls", "between"]), json!([true, true, true, true]));
    assert_eq!(project.marks("between.charged"), 2);
    assert_eq!(project.marks("between.begun"), project.attempts(3));

    assert_eq!(project.call(&["pays", "failing", "failing"]), "the card was refused");
    assert_eq!(project.marks("failing.failed"), 1);

    assert_eq!(project.call(&["pays", "behind_starts", "behind"]), json!([0, 1, 2, true]));
    assert_eq!(project.marks("behind.charged"), 1);
    assert_eq!(project.marks("behind.tick"), 4);

    let refused = project.call(&["pays", "calls_inside", "inside"]);
    assert!(refused.as_str().unwrap().contains("was called inside of msx.run"), "{refused}");
    assert_eq!(project.marks("inside.tick"), 0);
}

fn memos_of_an_async_service(project: &Project) {
    assert_eq!(project.call(&["apays", "behind_started", "abehind"]), json!([true, true, true, 0]));
    assert_eq!(project.marks("abehind.charged"), 2);
    assert_eq!(project.marks("abehind.tick"), 3);

    assert_eq!(project.call(&["apays", "beside_calls", "abeside"]), json!([true, [0, 1, 2, 3, 4]]));
    assert_eq!(project.marks("abeside.charged"), 1);
    assert_eq!(project.marks("abeside.tick"), 6);
}

// ---- children ----

fn futures_are_waited_for_late(project: &Project) {
    let results = project.call(&["parent", "waits_late", "late"]);
    assert_eq!(results, json!([100, [3, 2, 1, 0], [0, 1, 2, 3]]));
    assert_eq!(project.marks("late.tick"), 5);
}

/// One child is cancelled while it runs, the other before it does; the instance stays.
fn children_end_with_their_parent(project: &Project) {
    let before = project.hub.pids("napper");
    assert_eq!(project.call(&["parent", "leaves", "leaves"]), "left");
    wait_for("the child to be cancelled", || (project.marks("leaves.cancelled") == 1).then_some(()));
    project.rests();
    assert_eq!(project.marks("leaves.napping"), 1);
    assert_eq!(project.hub.pids("napper"), before);
}

fn sets_are_walked_in_the_same_order(project: &Project) {
    let words = json!((0..20).map(|i| format!("word {i}")).collect::<Vec<_>>()).to_string();
    assert_eq!(project.call(&["sets", &words]), json!([true, true]));
}

fn a_replay_that_differs_is_an_error(project: &Project) {
    let hows = [
        "other_arguments",
        "other_service",
        "one_more",
        "one_less",
        "memo_for_call",
        "call_for_memo",
        "pending_differs",
        "swallowed",
    ];
    for how in hows {
        let (code, stderr) = project.hub.call_fails(&["parent", how, how]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("NonDeterminismError"), "{how}: {stderr}");
        assert!(project.marks(&format!("{how}.begun")) <= 3, "{how} does not go round in circles");
    }
}
