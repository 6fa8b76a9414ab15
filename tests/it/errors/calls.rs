//! Calls that cannot be made, that fail, and that do not end.

use crate::support::hub::{Hub, is_alive, kill, wait_for};
use crate::support::{Sandbox, assert_output};

/// The project with its hub, in which `broken.crash` never becomes ready.
fn up(sandbox: &Sandbox) -> Hub<'_> {
    let output = sandbox.run(&["up", "-d"]);
    assert!(output.starts_with("exit: 0\n"), "{output}");
    let hub = Hub { sandbox };
    for service in ["add", "linger"] {
        wait_for("a service to be ready", || (!hub.pids(service).is_empty()).then_some(()));
    }
    hub
}

#[test]
fn names_and_arguments_that_do_not_fit() {
    let sandbox = Sandbox::project("mistakes");
    let _hub = up(&sandbox);

    assert_output!(sandbox, ["call", "ad", "1"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `ad`
    help: did you mean `add`?
    ");
    assert_output!(sandbox, ["call", "shop.greeet"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `shop.greeet`
    help: did you mean `greet`?
    ");
    assert_output!(sandbox, ["call", "somethingelse"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `somethingelse`
    help: `msx ps` lists the services
    ");
    assert_output!(sandbox, ["call", "pack", "1"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: `pack` is ambiguous: it is the short name of `shop.pack` and `depot.pack`
    help: use the canonical name: `shop.pack` or `depot.pack`
    ");
    assert_output!(sandbox, ["call", "msx.orchestrator.acces", "add"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `msx.orchestrator.acces`
    help: the hub answers msx.orchestrator.services, msx.orchestrator.access, msx.orchestrator.instances, msx.orchestrator.scale, msx.orchestrator.health
    ");
    assert_output!(sandbox, ["call", "msx.orchestrator.access"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: msx.orchestrator.access() needs a value for `name`; its signature is msx.orchestrator.access(name: str)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "msx.orchestrator.access", "ad"], @r"
    exit: 1
    --- stdout
    --- stderr
    LookupError: there is no service `ad`; did you mean `add`?
    ");

    assert_output!(sandbox, ["call", "add"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() needs a value for `x`; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "1", "2", "3"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() takes 2 positional arguments, not 3; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "1", "z=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() has no parameter `z`; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "1", "x=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() got two values for `x`; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "one"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() takes an integer as `x`, not a string; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "1.5", "[2]"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: add() takes an integer as `x`, not a number, and takes an integer as `y`, not an array; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "greet", "Ada"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: greet() takes 0 positional arguments, not 1, and needs a value for `name`; its signature is greet(*, name: str)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    ");
    assert_output!(sandbox, ["call", "add", "one", "--json"], @r#"
    exit: 2
    --- stdout
    {"error":{"kind":"usage","message":"add() takes an integer as `x`, not a string; its signature is add(x: int, y: int = 0)","help":"`k=v` gives a parameter by name; lists and objects are written as JSON","detail":null}}
    --- stderr
    error: add() takes an integer as `x`, not a string; its signature is add(x: int, y: int = 0)
    help: `k=v` gives a parameter by name; lists and objects are written as JSON
    "#);
}

#[test]
fn calls_that_fail() {
    let sandbox = Sandbox::project("mistakes");
    let hub = up(&sandbox);

    assert_output!(sandbox, ["call", "order", "7"], @r#"
    exit: 1
    --- stdout
    --- stderr
    Traceback (most recent call last):
      File "[ROOT]/shop.py", line 32, in check
        raise LookupError(f"no item {item}")
    LookupError: no item 7

    It passed through the service shop.order:

    Traceback (most recent call last):
      File "[ROOT]/shop.py", line 27, in order
        return check(item)
    LookupError: no item 7
    "#);
    assert_output!(sandbox, ["call", "order", "7", "--json"], @r#"
    exit: 1
    --- stdout
    {"error":{"kind":"remote","message":"LookupError: no item 7","help":null,"detail":"Traceback (most recent call last):\n  File \"[ROOT]/shop.py\", line 32, in check\n    raise LookupError(f\"no item {item}\")\nLookupError: no item 7\n\nIt passed through the service shop.order:\n\nTraceback (most recent call last):\n  File \"[ROOT]/shop.py\", line 27, in order\n    return check(item)\n           ^^^^^^^^^^^\nLookupError: no item 7\n","raised":{"exception":"builtins.LookupError","message":"no item 7","service":"shop.check","via":["shop.order"]}}}
    --- stderr
    Traceback (most recent call last):
      File "[ROOT]/shop.py", line 32, in check
        raise LookupError(f"no item {item}")
    LookupError: no item 7

    It passed through the service shop.order:

    Traceback (most recent call last):
      File "[ROOT]/shop.py", line 27, in order
        return check(item)
    LookupError: no item 7
    "#);
    assert_output!(sandbox, ["call", "strange"], @r"
    exit: 1
    --- stdout
    --- stderr
    TypeError: shop.strange: its result: a value of type object cannot travel; send plain data, a dataclass, a NamedTuple or an Enum
    ");
    assert_output!(sandbox, ["call", "nothing"], @r"
    exit: 0
    --- stdout
    null
    --- stderr
    ");
    assert_output!(sandbox, ["call", "greet", "name=Ada", "--json"], @r#"
    exit: 0
    --- stdout
    "hello Ada"
    --- stderr
    "#);

    wait_for("the crash loop", || {
        let instances = hub.service("crash")["instances"].as_array().unwrap().clone();
        instances.iter().any(|instance| instance["state"] == "crashloop").then_some(())
    });
    assert_output!(sandbox, ["call", "crash"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: broken.crash crashes at every start and has no ready instance

    crash-1 keeps failing: exit status 3
    connecting to the database
    no database at localhost:5432

    help: `msx logs crash` has the whole log; it is tried again every 30 s, `msx restart crash` does so at once
    ");
    assert_output!(sandbox, ["call", "crash", "--json"], @r#"
    exit: 1
    --- stdout
    {"error":{"kind":"unavailable","message":"broken.crash crashes at every start and has no ready instance","help":"`msx logs crash` has the whole log; it is tried again every 30 s, `msx restart crash` does so at once","detail":"crash-1 keeps failing: exit status 3\nconnecting to the database\nno database at localhost:5432"}}
    --- stderr
    error: broken.crash crashes at every start and has no ready instance

    crash-1 keeps failing: exit status 3
    connecting to the database
    no database at localhost:5432

    help: `msx logs crash` has the whole log; it is tried again every 30 s, `msx restart crash` does so at once
    "#);

    hub.msx(&["scale", "add=0"]);
    assert_output!(sandbox, ["call", "add", "1"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: shop.add is scaled to 0 instances
    help: `msx scale add=1` starts an instance, `add=auto` lets it scale itself
    ");
    hub.msx(&["scale", "add=auto"]);
    assert_output!(sandbox, ["call", "add", "1"], @r"
    exit: 0
    --- stdout
    1
    --- stderr
    ");
    assert_output!(sandbox, ["call", "idle"], @r"
    exit: 0
    --- stdout
    busy
    --- stderr
    ");
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

    assert_output!(sandbox, ["call", "linger", &mark("late"), "--timeout", "1s"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: linger did not answer within 1 s, so the call was cancelled
    help: `--timeout` gives it longer; `msx logs linger` shows what it printed
    ");
    reads("late", "cancelled");
    assert_output!(sandbox, ["call", "linger", &mark("later"), "--timeout", "100ms", "--json"], @r#"
    exit: 1
    --- stdout
    {"error":{"kind":"timeout","message":"linger did not answer within 0.1 s, so the call was cancelled","help":"`--timeout` gives it longer; `msx logs linger` shows what it printed","detail":null}}
    --- stderr
    error: linger did not answer within 0.1 s, so the call was cancelled
    help: `--timeout` gives it longer; `msx logs linger` shows what it printed
    "#);

    let call = sandbox.start(&["call", "linger", &mark("interrupted")]);
    reads("interrupted", "begun");
    call.interrupt();
    assert_eq!(call.end(), (Some(130), String::new(), "interrupted: the call is cancelled\n".to_owned()));
    reads("interrupted", "cancelled");

    let call = sandbox.start(&["call", "linger", &mark("orphan")]);
    reads("orphan", "begun");
    let pid = hub.pid();
    kill(pid, 9);
    insta::assert_debug_snapshot!(call.end(), @r#"
    (
        Some(
            1,
        ),
        "",
        "error: the connection to the hub was lost: connection closed before message completed\nhelp: `msx ps` shows whether a hub runs; `.msx/logs/hub.log` may say why it ended\n",
    )
    "#);
    wait_for("the end of the hub", || (!is_alive(pid)).then_some(()));
}
