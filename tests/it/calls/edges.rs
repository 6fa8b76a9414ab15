//! Calls that go wrong: each gives its caller a clear answer at once, and leaves the service able to answer the next.

use serde_json::{Value, json};

use super::{Project, checks};
use crate::support::Sandbox;
use crate::support::hub::wait_for;

const IN_BOTH_MODES: &[(&str, fn(&Project))] = checks![
    a_service_asks_the_hub,
    an_exit_is_an_error_of_the_call,
    a_result_that_cannot_travel,
    strange_exceptions,
    recursion_to_the_end_of_the_stack,
    a_callee_that_cancels_itself,
    an_instance_that_is_killed_in_mid_call,
    an_async_instance_that_is_killed_in_mid_call,
    a_service_that_does_not_exist,
    values_of_all_kinds_come_back_as_they_went,
    values_that_cannot_travel,
    arguments_arrive_as_what_they_are_annotated,
];

const MODULES: &[&str] = &["plain", "ends", "strangers", "travel", "hub"];

#[test]
fn in_place() {
    let sandbox = sandbox(MODULES);
    Project::up(&sandbox).check(IN_BOTH_MODES);
}

#[test]
fn replayed_at_every_wait() {
    let sandbox = sandbox(MODULES);
    Project::up_replaying(&sandbox).check(IN_BOTH_MODES);
}

#[test]
fn use_and_misuse() {
    let sandbox = sandbox(&["plain", "misuse", "hooks"]);
    let project = Project::up(&sandbox);
    project.check(checks![
        a_stub_outside_of_a_call,
        a_stub_that_would_block_an_event_loop,
        hooks_run_before_the_first_call,
    ]);
    drop(project);
    for hook in ["stopped", "astopped"] {
        let file = sandbox.path("marks").join(format!("hooks.{hook}"));
        assert_eq!(std::fs::metadata(file).unwrap().len(), 2, "on_stop hooks ran in both services: {hook}");
    }
}

/// The project `edges` with these of its modules.
pub fn sandbox(modules: &[&str]) -> Sandbox {
    let sandbox = Sandbox::project("edges");
    sandbox.edit("services.toml", r#"modules = ["plain"]"#, &format!("modules = {modules:?}"));
    sandbox
}

pub fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// What a service that caught an exception says of it.
fn caught(project: &Project, args: &[&str], kind: &str, message: &str) -> Value {
    let caught = project.call(args);
    assert_eq!(caught["type"], kind, "{args:?}: {caught}");
    assert!(text(&caught, "message").contains(message), "{args:?}: {caught}");
    caught
}

// ---- ends ----

fn an_exit_is_an_error_of_the_call(project: &Project) {
    let before = [project.hub.pids("ends"), project.hub.pids("aends")];
    for of in ["ends", "aends"] {
        let exit = caught(project, &["asks", "exits", of], "RemoteError", "SystemExit: 3");
        assert!(text(&exit, "traceback").contains("sys.exit(3)"), "{exit}");
        caught(project, &["asks", "interrupted", of], "RemoteError", "KeyboardInterrupt");
        let (code, stderr) = project.hub.call_fails(&[of, "exits"]);
        assert_eq!(code, 1);
        assert!(stderr.contains("SystemExit: 3"), "{stderr}");
    }
    assert_eq!([project.hub.pids("ends"), project.hub.pids("aends")], before);
}

fn a_result_that_cannot_travel(project: &Project) {
    for of in ["ends", "aends"] {
        let message = format!("ends.{of}: its result: a value of type _thread.lock cannot travel");
        caught(project, &["asks", "returns_a_lock", of], "TypeError", &message);
        caught(project, &["asks", "returns_a_generator", of], "TypeError", "a value of type generator");
    }
}

fn strange_exceptions(project: &Project) {
    for of in ["ends", "aends"] {
        let asks = |how: &'static str| ["asks", how, of];
        caught(project, &asks("raises_the_unspeakable"), "Unspeakable", "raised RuntimeError");
        caught(project, &asks("raises_surrogates"), "ValueError", "half a pair");
        caught(project, &asks("raises_from_itself"), "ValueError", "its own cause");
        let much = caught(project, &asks("raises_much"), "ValueError", "xxx");
        assert!(much.to_string().len() < 200_000, "what is too long is cut");
    }
}

fn recursion_to_the_end_of_the_stack(project: &Project) {
    for of in ["ends", "aends"] {
        for how in ["recurses", "recurses_in_c", "recurses_in_sorted"] {
            caught(project, &["asks", how, of], "RecursionError", "maximum recursion depth");
        }
    }
}

fn a_callee_that_cancels_itself(project: &Project) {
    for of in ["ends", "aends"] {
        assert_eq!(project.call(&["asks_twice", "cancels_itself", of]), json!(["by itself", "by itself"]));
    }
}

/// Three times: a fifth would count as a crash loop.
fn an_instance_that_is_killed_in_mid_call(project: &Project) {
    let ends = [
        ("killed", "killed by SIGKILL"),
        ("exits_at_once", "exit status 7"),
        ("crashes", "killed by SIGSEGV"),
    ];
    for (how, reason) in ends {
        let died = caught(project, &["asks", how], "InstanceDied", reason);
        assert!(text(&died, "message").contains("ends.ends"), "{died}");
    }
    let (code, stderr) = project.hub.call_fails(&["ends", "killed"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("InstanceDied") && stderr.contains("killed by SIGKILL"), "{stderr}");
}

fn an_async_instance_that_is_killed_in_mid_call(project: &Project) {
    caught(project, &["aasks", "killed"], "InstanceDied", "killed by SIGKILL");
    caught(project, &["aasks", "exits_at_once"], "InstanceDied", "exit status 7");
}

fn a_service_that_does_not_exist(project: &Project) {
    for (asks, stranger) in [("asks_stranger", "outside.stranger"), ("aasks_stranger", "outside.astranger")] {
        let answers = project.call(&[asks]);
        assert_eq!(answers[0]["type"], "ServiceUnavailable", "{answers}");
        assert_eq!(answers[0]["service"], stranger);
        assert!(text(&answers[0], "message").contains(&format!("no service `{stranger}`")), "{answers}");
        assert_eq!(answers[1], "and on");
    }
}

// ---- values ----

fn values_of_all_kinds_come_back_as_they_went(project: &Project) {
    for service in ["travels", "atravels"] {
        let [count, changed] = project.call(&[service]).as_array().unwrap().clone().try_into().unwrap();
        assert!(count.as_u64().unwrap() > 70, "{count}");
        assert_eq!(changed, json!([]));
    }
}

fn values_that_cannot_travel(project: &Project) {
    let cases = [
        ("object", "a value of type travel.Own cannot travel; send plain data, a dataclass"),
        ("function", "a value of type function cannot travel"),
        ("class", "a value of type type cannot travel"),
        ("inside", "a value of type travel.Own cannot travel"),
        ("subclass", "a value of type travel.SubInt cannot travel; convert it with int(…)"),
        ("self_containing", "or contains itself"),
        ("deep", "nested deeper than 100 levels"),
        ("surrogates", "lone surrogates"),
        ("generator", "a value of type generator cannot travel"),
        ("local_class", "the class cannot be found by that name"),
    ];
    for (what, message) in cases {
        let error = caught(project, &["cannot_travel", what], "TypeError", message);
        assert!(text(&error, "message").starts_with("plain.echo: argument 2: "), "{error}");
    }
    let unknown = caught(project, &["cannot_travel", "unknown_there"], "TypeError", "travel:Colour");
    assert_eq!(unknown["service"], "plain.echo");
}

fn arguments_arrive_as_what_they_are_annotated(project: &Project) {
    let item = r#"{"item": "a", "left": {"item": "b"}}"#;
    let args = ["order", item, "2024-01-01T00:00:00Z", r#"{"a": 1}"#, "[[1, [2]]]"];
    assert_eq!(project.call(&args), json!(["Order", "Order", "2024-01-01T00:00:00+00:00", "1", 1]));
}

// ---- use ----

fn a_stub_outside_of_a_call(project: &Project) {
    let cases = [
        ("at_import", "while its module was imported"),
        ("in_hook", "its hooks ran"),
        ("in_fork", "NoCallContext: a service was called in a process that was forked"),
        ("in_thread", "NoCallContext: a service was called on a thread that msx did not start"),
        ("future_in_thread", "NoCallContext: a service was called on a thread"),
        ("gathers_values", "UsageError: gather takes calls that were started"),
        ("awaited_on_own_loop", "no error: 1"),
    ];
    for (how, message) in cases {
        let said = project.call(&["misuses", how]);
        assert!(said.as_str().unwrap().contains(message), "{how}: {said}");
    }
    assert_eq!(project.call(&["amisuses", "keeps_a_future"]), "no error: kept");
    let said = project.call(&["amisuses", "uses_a_kept_future"]);
    assert!(said.as_str().unwrap().starts_with("NoCallContext"), "{said}");
}

fn a_stub_that_would_block_an_event_loop(project: &Project) {
    let cases = [
        (
            ["misuses", "on_own_loop"],
            "UsageError: echo(…) would block the running event loop; use: await echo.aio(…)",
        ),
        (
            ["amisuses", "calls"],
            "UsageError: echo(…) would block the running event loop; use: await echo.aio(…)",
        ),
        (
            ["amisuses", "waits"],
            "UsageError: plain.aecho: .result() would block the event loop; use: await future",
        ),
    ];
    for (args, message) in cases {
        assert_eq!(project.call(&args), message);
    }
    let said = project.call(&["amisuses", "in_executor"]);
    assert!(said.as_str().unwrap().starts_with("NoCallContext"), "{said}");
}

fn hooks_run_before_the_first_call(project: &Project) {
    for service in ["hooked", "ahooked"] {
        assert_eq!(project.call(&[service]), json!([["model", "async model"], "opened"]));
    }
    assert_eq!((project.marks("hooks.started"), project.marks("hooks.astarted")), (2, 2));
    assert_eq!((project.marks("hooks.stopped"), project.marks("hooks.astopped")), (0, 0));
}

fn a_service_asks_the_hub(project: &Project) {
    let ask = |function: &str, args: Value| project.call(&["asks_hub", function, &args.to_string()]);
    let address = ask("access", json!(["stays"]));
    assert_eq!(address, project.call(&["msx.orchestrator.access", "stays"]));
    assert!(address.as_str().unwrap().starts_with("http://127.0.0.1:"), "{address}");
    let services = ask("services", json!([]));
    let stays = json!({"name": "hub.stays", "alias": "stays", "address": address, "instances": 1});
    assert!(services.as_array().unwrap().contains(&stays), "{services}");
    let instances = ask("instances", json!(["hub.stays"]));
    assert_eq!(
        json!([instances[0]["pid"], instances[0]["state"]]),
        json!([project.hub.pids("stays")[0], "ready"])
    );
    assert_eq!(ask("health", json!([]))["ok"], true);
    assert_eq!(project.call(&["aasks_hub"])[0], project.call(&["msx.orchestrator.access", "echo"]));

    let unknown = ask("access", json!(["nobody"]));
    assert_eq!(unknown["type"], "LookupError", "{unknown}");
    assert!(text(&unknown, "message").contains("no service `nobody`"), "{unknown}");
    assert_eq!(ask("scale", json!(["stays", "two"]))["type"], "ValueError");
    assert_eq!(ask("scale", json!(["stays"]))["type"], "TypeError");

    let pids = project.hub.pids("stays");
    ask("scale", json!(["stays", 0]));
    wait_for("the only instance to go", || project.hub.pids("stays").is_empty().then_some(()));
    let (code, stderr) = project.hub.call_fails(&["stays"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("scaled to 0"), "{stderr}");
    ask("scale", json!(["stays", 1]));
    assert_eq!(project.call(&["stays"]), "here");
    assert_ne!(project.hub.pids("stays"), pids);
}
