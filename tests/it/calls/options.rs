//! Options of single calls.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Project, checks, in_three_ways};
use crate::support::Sandbox;
use crate::support::hub::wait_for;

const CHECKS: &[(&str, fn(&Project))] = checks![
    a_timeout_is_an_error_at_the_call_site,
    a_call_in_time_is_not_touched,
    a_deadline_shrinks_on_its_way,
    a_queued_call_that_has_expired_is_not_begun,
    a_failed_call_is_tried_again_where_its_service_says_so,
    a_call_is_tried_again_where_its_caller_says_so,
    only_some_errors_are_worth_another_attempt,
    a_call_whose_instance_died_is_tried_again,
    a_call_that_ran_too_long_is_tried_again,
    a_retry_drops_what_was_recorded_from_the_first_error_on,
    calls_with_the_same_key_are_one_call,
    a_key_from_outside,
    a_key_belongs_to_its_arguments,
    an_error_is_not_kept_under_a_key,
    calls_under_one_key_take_turns,
    a_call_that_waits_for_its_own_turn_is_an_error,
];

in_three_ways!(Sandbox::project("options"), CHECKS);

fn a_timeout_is_an_error_at_the_call_site(project: &Project) {
    let late = |service: &str| {
        let message = "did not answer within 0.2 s, the timeout of this call, so it was cancelled";
        json!([true, format!("deadlines.{service}"), format!("deadlines.{service} {message}")])
    };
    let begun = Instant::now();
    let got = project.call(&["gives", "0.2", "60", "late"]);
    assert_eq!(got, json!([late("passes"), late("passes"), late("asleeps")]));
    let got = project.call(&["agives", "0.2", "60", "alate"]);
    assert_eq!(got, json!([late("passes"), late("asleeps")]));
    assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for the callee");
    wait_for("the cancellation of what ran", || {
        (project.marks("late.cancelled") >= 3 && project.marks("alate.cancelled") >= 2).then_some(())
    });
}

fn a_call_in_time_is_not_touched(project: &Project) {
    assert_eq!(project.call(&["gives", "60", "0", "early"]), json!(["done", "done", "done"]));
    assert_eq!(project.call(&["agives", "60", "0", "early"]), json!(["done", "done"]));
}

fn a_deadline_shrinks_on_its_way(project: &Project) {
    let (code, stderr) = project.hub.call_fails(&["longer", "shrunk", "--timeout", "500ms"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("longer did not answer within 0.5 s, so the call was cancelled"), "{stderr}");
    wait_for("the end of the child", || {
        (project.marks("shrunk.begun") == project.marks("shrunk.cancelled")).then_some(())
    });
}

fn a_queued_call_that_has_expired_is_not_begun(project: &Project) {
    assert_eq!(project.call(&["behind", "queued"]), json!(["late", "done"]));
    assert_eq!(project.marks("queued.second.begun"), 0);
}

/// Fails, and the function was begun so often.
fn fails(project: &Project, args: &[&str], name: &str, error: &str, begun: u64) {
    let (_, stderr) = project.hub.call_fails(args);
    assert!(stderr.contains(error), "{args:?}: {stderr}");
    assert_eq!(project.marks(name), begun, "{args:?}");
}

fn a_failed_call_is_tried_again_where_its_service_says_so(project: &Project) {
    assert_eq!(project.call(&["stubborn", "own", "3"]), 4);
    fails(project, &["stubborn", "spent", "4"], "spent", "ConnectionError: attempt 4", 4);
    fails(project, &["fails", "once", "1"], "once", "ConnectionError: attempt 1", 1);
}

fn a_call_is_tried_again_where_its_caller_says_so(project: &Project) {
    assert_eq!(project.call(&["asks", "asked", "2", "2"]), 3);
    assert_eq!(project.call(&["aasks", "aasked", "2", "2"]), 3);
    fails(project, &["asks", "never", "1", "0"], "never", "ConnectionError: attempt 1", 1);
}

fn only_some_errors_are_worth_another_attempt(project: &Project) {
    fails(project, &["hopeless", "fatal"], "fatal", "no attempt can help", 1);
    fails(project, &["others", "others"], "others", "ConnectionError: attempt 1", 1);
}

fn a_call_whose_instance_died_is_tried_again(project: &Project) {
    assert_eq!(project.call(&["dies", "dead"]), 2);
}

fn a_call_that_ran_too_long_is_tried_again(project: &Project) {
    assert_eq!(project.call(&["hangs", "hung"]), 2);
}

fn a_retry_drops_what_was_recorded_from_the_first_error_on(project: &Project) {
    assert_eq!(project.call(&["heals", "healed"]), json!([1, 2, 1]));
}

fn calls_with_the_same_key_are_one_call(project: &Project) {
    assert_eq!(project.call(&["twice", "two"]), json!([[1, 1], [1, 1], [1, 1]]));
    assert_eq!(project.call(&["atwice", "atwo"]), json!([[1, 1], [1, 1]]));
}

/// Two callers from outside while it runs, one after it.
fn a_key_from_outside(project: &Project) {
    let args = ["charge", "outside", "5", "--idempotency-key", "order-5"];
    thread::scope(|scope| {
        let callers = [(); 2].map(|()| scope.spawn(|| project.call(&args)));
        wait_for("the call", || (project.marks("outside.charged") > 0).then_some(()));
        std::fs::write(project.sandbox.path("marks/outside.open"), ".").unwrap();
        callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), json!([5, 1])));
    });
    assert_eq!(project.call(&args), json!([5, 1]));
}

fn a_key_belongs_to_its_arguments(project: &Project) {
    let message = project.call(&["conflicts", "one"]);
    let expected = "keyed.charge was called under the idempotency key of another call, and that call has other arguments";
    assert!(message.as_str().is_some_and(|text| text.starts_with(expected)), "{message}");
}

fn an_error_is_not_kept_under_a_key(project: &Project) {
    std::fs::write(project.sandbox.path("marks/wrong.open"), ".").unwrap();
    for attempts in 1..=2 {
        let args = ["charge", "wrong", "-1", "--idempotency-key", "wrong"];
        fails(project, &args, "wrong.charged", "a negative amount", attempts);
    }
}

fn calls_under_one_key_take_turns(project: &Project) {
    assert_eq!(project.call(&["one_by_one", "ann"]), json!([1, 1, 1, 1, 1]));
    assert_eq!(project.call(&["side_by_side", "bob"]), json!([1, 1, 1, 1]));
}

fn a_call_that_waits_for_its_own_turn_is_an_error(project: &Project) {
    let message = project.call(&["circles", "eve"]);
    let expected =
        "all 1 turns under the key \"eve\" (its concurrency_key) are taken by calls that wait for this one";
    assert_eq!(message, expected);
}
