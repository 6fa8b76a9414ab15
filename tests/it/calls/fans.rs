//! Fan-out: `map`, `as_completed`, `first`, nested gathers, `msx.context`. In place, replayed whenever they wait, and
//! with room for two waiting calls per instance; every service of the project has one instance with one slot.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Project, checks, in_three_ways};
use crate::support::Sandbox;

const CHECKS: &[(&str, fn(&Project))] =
    checks![each_form_as_def, each_form_as_async_def, threads_of_its_own, a_call_knows_itself, a_long_map];

in_three_ways!(
    Sandbox::project("fans"),
    CHECKS,
    in_place: checks![a_map_of_ten_thousand],
    replayed: checks![a_thread_that_asks_otherwise_is_an_error]
);

/// Case, its result, and how many calls it makes.
fn run(project: &Project, service: &str, cases: &[(&str, serde_json::Value, u64)]) {
    for (how, result, ticks) in cases {
        let name = format!("{service}-{how}");
        assert_eq!(project.call(&[service, how, &name]), *result, "{name}");
        assert_eq!(project.marks(&format!("{name}.tick")), *ticks, "{name}");
        // Besides its ticks it waits for calls that fail or take long.
        assert!(project.marks(&format!("{name}.begun")) <= project.attempts(ticks + 3), "{name}");
    }
}

fn each_form_as_def(project: &Project) {
    run(
        project,
        "fans",
        &[
            ("maps", json!((0..12).collect::<Vec<_>>()), 24),
            ("map_fails", json!(["no a", 1]), 1),
            ("as_completed", json!([0, 1, 2, 3, 4, 5, 6, 7]), 16),
            ("first", json!([true, [1, 2]]), 3),
            ("nested", json!([[1, 1, 1], [2, 2, 2], 1]), 6),
            ("on_its_own_loop", json!([[1], 2, [3, 4]]), 5),
        ],
    );
}

fn each_form_as_async_def(project: &Project) {
    run(
        project,
        "afans",
        &[
            ("maps", json!((0..12).collect::<Vec<_>>()), 24),
            ("map_fails", json!(["no a", 1]), 1),
            ("as_completed", json!([0, 1, 2, 3, 4, 5, 6, 7]), 16),
            ("first", json!([true, [1, 2]]), 3),
            ("nested", json!([[1, 1, 1], [2, 2, 2], 1]), 6),
            ("beside_each_other", json!([4, 8, 3, 4]), 22),
            ("in_a_group", json!([[1, 2], 3]), 3),
            ("times_out", json!([["late", "late"], "slow"]), 4),
            ("waits", json!([[1], ["slow"], 0]), 2),
        ],
    );
}

fn threads_of_its_own(project: &Project) {
    let five = json!([0, 1, 2, 3, 4]);
    run(
        project,
        "guests",
        &[
            ("pool", json!([190, "own"]), 21),
            ("beside", json!([five, five, five]), 20),
            ("without_context", json!([true, 1]), 1),
        ],
    );
}

fn a_thread_that_asks_otherwise_is_an_error(project: &Project) {
    let (code, stderr) = project.hub.call_fails(&["guests", "asks_otherwise", "otherwise"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("NonDeterminismError") && stderr.contains("now:    no such call"), "{stderr}");
}

fn a_call_knows_itself(project: &Project) {
    let rest = |via: serde_json::Value| {
        let attempt = if project.replays { 2 } else { 1 };
        // `msx call` is given a time by the tests.
        json!([true, via, project.replays, attempt, true, true])
    };
    assert_eq!(project.call(&["fans", "knows_its_call", "root"]), rest(json!([])));
    assert_eq!(project.call(&["afans", "knows_its_call", "aroot"]), rest(json!([])));
    assert_eq!(project.call(&["asks", "child"]), rest(json!(["fans.asks"])));
    assert_eq!(project.call(&["aasks", "achild"]), rest(json!(["afans.aasks"])));
}

fn a_long_map(project: &Project) {
    for service in ["doubles", "adoubles"] {
        assert_eq!(project.call(&[service, "300", "16"]), 300 * 299);
    }
}

/// It takes time in proportion to its length, and the hub gives back what it recorded.
fn a_map_of_ten_thousand(project: &Project) {
    let memory = || project.hub.ps()["hub"]["memory_bytes"].as_u64().unwrap();
    let took = |service: &str, n: u32| {
        let since = Instant::now();
        assert_eq!(project.call(&[service, &n.to_string(), "64"]), n * (n - 1));
        since.elapsed()
    };
    for service in ["doubles", "adoubles"] {
        let (short, before) = (took(service, 1_000), memory());
        let long = took(service, 10_000);
        assert!(
            long < short * 30 + Duration::from_secs(1),
            "{service}: {short:?} for 1000, {long:?} for 10000"
        );
        let grown = memory().saturating_sub(before);
        assert!(grown < GROWTH_BYTES_MAX, "{service}: the hub holds {grown} bytes more than before");
    }
}

/// 10,000 recorded results are about 2 MB; the rest is what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 8 << 20;
