//! Calls that cannot be made, that fail, and that do not end.

use crate::support::hub::{Hub, is_alive, kill, wait_for};
use crate::support::{Sandbox, assert_output};

/// The project with its hub, in which `broken.crash` never becomes ready.
fn up(sandbox: &Sandbox) -> Hub<'_> {
    let output = sandbox.run(&["up", "-d"]);
    assert!(output.starts_with("exit: 0\n"), "{output}");
    Hub { sandbox }
}

#[test]
fn names_and_arguments_that_do_not_fit() {
    let sandbox = Sandbox::project("mistakes");
    let _hub = up(&sandbox);

    assert_output!(sandbox, ["call", "ad", "1"], @"");
    assert_output!(sandbox, ["call", "shop.greeet"], @"");
    assert_output!(sandbox, ["call", "somethingelse"], @"");
    assert_output!(sandbox, ["call", "pack", "1"], @"");
    assert_output!(sandbox, ["call", "msx.orchestrator.acces", "add"], @"");
    assert_output!(sandbox, ["call", "msx.orchestrator.access"], @"");
    assert_output!(sandbox, ["call", "msx.orchestrator.access", "ad"], @"");

    assert_output!(sandbox, ["call", "add"], @"");
    assert_output!(sandbox, ["call", "add", "1", "2", "3"], @"");
    assert_output!(sandbox, ["call", "add", "1", "z=2"], @"");
    assert_output!(sandbox, ["call", "add", "1", "x=2"], @"");
    assert_output!(sandbox, ["call", "add", "one"], @"");
    assert_output!(sandbox, ["call", "add", "1.5", "[2]"], @"");
    assert_output!(sandbox, ["call", "greet", "Ada"], @"");
    assert_output!(sandbox, ["call", "add", "one", "--json"], @"");
}

#[test]
fn calls_that_fail() {
    let sandbox = Sandbox::project("mistakes");
    let hub = up(&sandbox);

    assert_output!(sandbox, ["call", "order", "7"], @"");
    assert_output!(sandbox, ["call", "order", "7", "--json"], @"");
    assert_output!(sandbox, ["call", "strange"], @"");
    assert_output!(sandbox, ["call", "nothing"], @"");
    assert_output!(sandbox, ["call", "greet", "name=Ada", "--json"], @"");

    wait_for("the crash loop", || {
        let instances = hub.service("crash")["instances"].as_array().unwrap().clone();
        instances.iter().any(|instance| instance["state"] == "crashloop").then_some(())
    });
    assert_output!(sandbox, ["call", "crash"], @"");
    assert_output!(sandbox, ["call", "crash", "--json"], @"");

    hub.msx(&["scale", "add=0"]);
    assert_output!(sandbox, ["call", "add", "1"], @"");
    hub.msx(&["scale", "add=auto"]);
    assert_output!(sandbox, ["call", "add", "1"], @"");
    assert_output!(sandbox, ["call", "idle"], @"");
}

#[test]
fn calls_that_do_not_end() {
    let sandbox = Sandbox::project("mistakes");
    let hub = up(&sandbox);
    let mark = |name: &str| sandbox.path(name).display().to_string();
    let reads = |name: &str, text: &str| {
        let what = format!("{name} to be {text}");
        wait_for(&what, || (std::fs::read_to_string(sandbox.path(name)).ok()? == text).then_some(()));
    };

    assert_output!(sandbox, ["call", "linger", &mark("late"), "--timeout", "300ms"], @"");
    reads("late", "cancelled");
    assert_output!(sandbox, ["call", "linger", &mark("later"), "--timeout", "0.2s", "--json"], @"");

    let call = sandbox.start(&["call", "linger", &mark("interrupted")]);
    reads("interrupted", "begun");
    call.interrupt();
    assert_eq!(call.end(), (Some(130), String::new(), "interrupted: the call is cancelled\n".to_owned()));
    reads("interrupted", "cancelled");

    let call = sandbox.start(&["call", "linger", &mark("orphan")]);
    reads("orphan", "begun");
    let pid = hub.pid();
    kill(pid, 9);
    insta::assert_debug_snapshot!(call.end(), @"");
    wait_for("the end of the hub", || (!is_alive(pid)).then_some(()));
}
