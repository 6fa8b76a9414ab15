//! Values of libraries, exceptions on their way through services, and classes as services.

use serde_json::{Value, json};

use super::{Project, checks};
use crate::support::Sandbox;
use crate::support::http::Http;
use crate::support::hub::wait_for;

const IN_ALL_MODES: &[(&str, fn(&Project))] = checks![
    values_of_libraries_come_back_as_they_went,
    annotations_make_them_of_plain_json,
    they_are_shown_as_plain_json,
    what_has_no_json_form_says_so,
    large_arrays_travel,
    a_failure_keeps_its_cause_its_notes_and_its_way,
    the_command_line_and_the_gateway_tell_the_same,
    groups_are_sorted_by_except_star,
    a_class_is_constructed_once,
];

#[test]
fn in_place() {
    Project::up(&sandbox()).check(IN_ALL_MODES);
}

#[test]
fn replayed_at_every_wait() {
    Project::up_replaying(&sandbox()).check(IN_ALL_MODES);
}

#[test]
fn with_few_parked() {
    let sandbox = sandbox();
    sandbox.edit("services.toml", "max_parked = 256", "max_parked = 2");
    Project::up(&sandbox).check(IN_ALL_MODES);
}

/// With the libraries at hand.
fn sandbox() -> Sandbox {
    Sandbox::project("values").env("VIRTUAL_ENV", crate::sdk::environment().to_str().unwrap())
}

/// What the gateway answers.
fn asked(project: &Project, service: &str, arguments: &Value) -> Value {
    let mut http = Http::connect(&project.hub.gateway());
    let answer = http.post(&format!("/call/{service}"), &arguments.to_string());
    serde_json::from_str(&answer.body).unwrap()
}

fn values_of_libraries_come_back_as_they_went(project: &Project) {
    for how in ["def", "async"] {
        assert_eq!(project.call(&["travels", how]), json!([]));
    }
}

fn annotations_make_them_of_plain_json(project: &Project) {
    let order = r#"{"item": {"name": "b"}, "count": 3}"#;
    let came = project.call(&["takes", order, "[[1, 2], [3, 4]]", r#"[{"x": 1}, {"x": 2}]"#]);
    assert_eq!(came, json!(["Line", 3, 10.0, ["x"]]));
    let (_, stderr) = project.hub.call_fails(&["takes", r#"{"count": 3}"#, "[]", "[]"]);
    assert!(stderr.contains("1 validation error for Order"), "{stderr}");
}

fn they_are_shown_as_plain_json(project: &Project) {
    let cases = [
        ("array", json!([[0.0, 0.5], [1.0, 1.5]])),
        ("scalar", json!(3)),
        (
            "table",
            json!([
                {"x": 1, "at": "2024-02-29T00:00:00", "who": "a"},
                {"x": 2, "at": null, "who": null},
            ]),
        ),
        ("order", json!({"item": {"name": "a", "price": 0.5}, "count": 2})),
        ("item", json!({"name": "a", "price": 0.5})),
    ];
    for (what, expected) in cases {
        assert_eq!(project.call(&["shows", what]), expected);
        assert_eq!(asked(project, "shows", &json!({"what": what})), expected);
    }
    assert_eq!(project.call(&["shows", "many"]).as_array().unwrap().len(), 200_000);
}

fn what_has_no_json_form_says_so(project: &Project) {
    let cases = [
        ("objects", "libraries.shows: its result: a numpy array of dtype object holds Python objects"),
        ("endless", "its arrays and tables take more than 128 MiB as JSON: return a part of them"),
    ];
    for (what, message) in cases {
        let (_, stderr) = project.hub.call_fails(&["shows", what]);
        assert!(stderr.contains(message), "{stderr}");
    }
}

fn large_arrays_travel(project: &Project) {
    assert_eq!(project.call(&["large", "24"]), 24 << 20);
    let told = "msx: libraries.back: its arguments take 25";
    let warned = || project.hub.msx(&["logs", "large"]).lines().filter(|line| line.contains(told)).count();
    wait_for("the warning", || (warned() > 0).then_some(()));
    assert_eq!(project.call(&["large", "24"]), 24 << 20);
    let (_, stderr) = project.hub.call_fails(&["large", "64"]);
    assert!(stderr.contains("LimitExceeded: libraries.back: its arguments take 67108864 bytes"), "{stderr}");
    assert_eq!(warned(), 1);
}

fn a_failure_keeps_its_cause_its_notes_and_its_way(project: &Project) {
    let seen = project.call(&["sees", "7"]);
    let way = json!(["failing.top"]);
    assert_eq!(seen, json!(["failing.wraps", way, "failing.deep", 7, ["a", 1], "asked by middle"]));
}

fn the_command_line_and_the_gateway_tell_the_same(project: &Project) {
    let (_, stderr) = project.hub.call_fails(&["top", "7"]);
    let problem = asked(project, "top", &json!({"code": 7}));
    let traceback = problem["traceback"].as_str().unwrap();
    assert_eq!(stderr.trim_end(), traceback.trim_end());
    let output = project.sandbox.msx(&["call", "top", "7", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["exception", "message", "service", "via", "notes"] {
        assert_eq!(told["error"]["raised"][field], problem[field], "{field}");
    }
    assert_eq!(told["error"]["detail"], problem["traceback"]);
    assert_eq!(
        json!([
            problem["exception"],
            problem["message"],
            problem["service"],
            problem["via"],
            problem["notes"]
        ]),
        json!(["builtins.LookupError", "no price", "failing.wraps", ["failing.top"], ["see the price list"]])
    );
    let parts = [
        "raise Refused(code, why=(\"a\", 1))",
        "failing.Refused: refused 7",
        "It passed through the service failing.middle:",
        "asked by middle",
        "It passed through the service failing.wraps:",
        "The above exception was the direct cause of the following exception:",
        "LookupError: no price",
        "see the price list",
        "It passed through the service failing.top:",
    ];
    let places: Vec<Option<usize>> = parts.iter().map(|part| traceback.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{traceback}");
}

fn groups_are_sorted_by_except_star(project: &Project) {
    assert_eq!(project.call(&["sorts"]), json!({"refused": [1], "os": [2]}));
    let (_, stderr) = project.hub.call_fails(&["grouped"]);
    assert!(stderr.contains("ExceptionGroup: several (2 sub-exceptions)"), "{stderr}");
    assert!(stderr.contains("| failing.Refused: refused 1"), "{stderr}");
}

fn a_class_is_constructed_once(project: &Project) {
    let [first, second]: [Value; 2] = ["1", "2"].map(|x| project.call(&["Model", x]));
    assert_eq!((&first[0], &second[0]), (&json!(10), &json!(20)));
    assert_eq!(second[1].as_i64(), first[1].as_i64().map(|calls| calls + 1));
    assert_eq!(first[2], second[2]);
    assert_eq!(project.call(&["Loop", "4"]), json!([40, true]));
}
