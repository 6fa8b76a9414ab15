//! Short calls are sent to a lane before it is free. One that turns long must not keep those behind it.

use std::fs;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::{Load, Tally};

const CALLERS: usize = 40;
/// Answers after which the service is known to be short, on a busy machine, too.
const MANY: usize = 3000;

#[test]
fn a_call_that_turns_long_keeps_nobody_behind_it() {
    nobody_waits_for("long", &[]);
}

#[test]
fn a_call_that_parks_keeps_nobody_behind_it() {
    nobody_waits_for("parked", &[]);
    nobody_waits_for("parked", &[("MSX_REPLAY", "always")]);
}

/// While one call does not end, all those of the load do: the last ones of each caller, too.
fn nobody_waits_for(turns: &str, env: &[(&str, &str)]) {
    let sandbox = Sandbox::project("short");
    let hub = Hub::up_with(&sandbox, &[], env);
    let load = Load::start(&hub.gateway(), "short", "{}", CALLERS);
    wait_for("calls to be sent ahead", || (load.answered() > MANY).then_some(()));
    let call = sandbox.start(&["call", "short", turns, "open"]);
    wait_for("the call to wait", || sandbox.path("open.waits").exists().then_some(()));
    let Tally { results, failures } = load.end();
    assert_eq!(failures, [""; 0]);
    assert!(results.keys().any(|behind| behind != "0"), "none was sent ahead: {results:?}");
    fs::write(sandbox.path("open"), "").unwrap();
    assert_eq!(call.end(), (Some(0), "0\n".into(), String::new()));
}
