//! `batch` and `within`.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::spec::BatchPolicy;

fn batched(options: serde_json::Value) -> Found {
    found("m.embed", WorkerKind::Def, options)
}

fn policy(text: &str, options: serde_json::Value) -> Option<BatchPolicy> {
    let manifest = parse_text(text).expect("a manifest without mistakes");
    manifest.resolve(&[batched(options)], &base(), &no_files).expect("settings without mistakes")[0].batch
}

#[test]
fn the_manifest_changes_the_numbers_of_the_decorator() {
    let within = Duration::from_millis(5);
    assert_eq!(policy("", json!({})), None);
    let alone = BatchPolicy { size: 8, within: Duration::ZERO };
    assert_eq!(policy("", json!({"batch": 8})), Some(alone));
    assert_eq!(policy("", json!({"batch": 8, "within": "5ms"})), Some(BatchPolicy { within, ..alone }));
    let other = "[services.embed]\nbatch = 2\nwithin = \"7ms\"\n";
    let changed = BatchPolicy { size: 2, within: Duration::from_millis(7) };
    assert_eq!(policy(other, json!({"batch": 8, "within": "5ms"})), Some(changed));
}

#[test]
fn numbers_that_are_none() {
    insta::assert_snapshot!(errors_with("", Some(&[batched(json!({"batch": 0, "within": "soon"}))])), @r#"
    × m.py:5: `batch` must be a whole number from 1 to 1000, not 0

    × m.py:5: `within` must be a duration such as "30s", not "soon"
    help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"
    "#);
    insta::assert_snapshot!(errors_with("", Some(&[batched(json!({"batch": 1001, "within": "2m"}))])), @"
    × m.py:5: `batch` must be a whole number from 1 to 1000, not 1001

    × m.py:5: `within` must be from 0s to 60s, not 2m
    ");
    insta::assert_snapshot!(errors_with("", Some(&[batched(json!({"within": "5ms"}))])), @"
    × m.py:5: `within` says how long calls wait for a batch, but there is no `batch`
    help: add `batch=`, the most calls of one batch
    ");
}

#[test]
fn only_a_function_knows_that_it_takes_lists() {
    insta::assert_snapshot!(errors_with(r#"
        [services.embed]
        batch = 8
        within = "5ms"
    "#, Some(&[batched(json!({}))])), @r#"
     × `batch` does not apply to `m.embed`, whose function takes no lists
      ╭─[services.toml:2:1]
    1 │ [services.embed]
    2 │ batch = 8
      · ──┬──
      ·   ╰── not for this service
    3 │ within = "5ms"
      ╰────
     help: write @microservice(batch=…) above a function that takes a list and returns one

     × `within` does not apply to `m.embed`, whose function takes no lists
      ╭─[services.toml:3:1]
    2 │ batch = 8
    3 │ within = "5ms"
      · ───┬──
      ·    ╰── not for this service
    4 │
      ╰────
     help: write @microservice(batch=…) above a function that takes a list and returns one
    "#);
    insta::assert_snapshot!(errors(r#"
        [defaults]
        batch = 8
    "#), @"
     × `batch` cannot stand in [defaults]: whether a function takes lists is its own
      ╭─[services.toml:2:1]
    1 │ [defaults]
    2 │ batch = 8
      · ──┬──
      ·   ╰── not here
    3 │
      ╰────
     help: write it in @microservice(…), and in [services.NAME] to change it there
    ");
}
