//! Programs that are not services: `msx.connect()`, stubs by name, and `msx run`.
//!
//! `projects/connected/program.py` has a function per test. `msx run --inline` starts it, so that nothing but its own
//! `msx.connect()` makes it ask the hub.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::hub::{Hub, is_alive, kill, wait_for};
use crate::support::{Sandbox, assert_output};

fn program(sandbox: &Sandbox, function: &str) {
    let printed = sandbox.run(&["run", "--inline", "program.py", function]);
    assert!(printed.starts_with("exit: 0\n"), "{function}: {printed}");
}

fn project() -> Sandbox {
    Sandbox::project("connected")
}

fn appears(sandbox: &Sandbox, file: &str) {
    wait_for(file, || sandbox.path(file).exists().then_some(()));
}

#[test]
fn what_a_program_may_do() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    for function in ["calls", "options", "retries_and_keys", "by_name", "of_a_notebook"] {
        program(&sandbox, function);
    }
    rests(&hub);
}

/// Cells in a kernel of Jupyter, whose event loop runs.
#[test]
fn a_notebook() {
    let python = crate::sdk::environment();
    let sandbox = project().env("VIRTUAL_ENV", python.to_str().unwrap());
    let hub = Hub::up(&sandbox, &[]);
    let (code, stdout, stderr) = sandbox.start(&["run", "--inline", "notebook.py"]).end();
    assert_eq!(code, Some(0), "{stderr}");
    insta::assert_snapshot!(stdout, @r"
    [2] 3
    [3] UsageError: price(…) would block the running event loop; use: await price.aio(…)
    [4] True
    [5] OutOfStock: there is no plum
    [6] 4
    ");
    rests(&hub);
}

#[test]
fn the_same_when_calls_are_replayed() {
    let sandbox = project();
    let _hub = Hub::up_with(&sandbox, &[], &[("MSX_REPLAY", "always")]);
    program(&sandbox, "calls");
    program(&sandbox, "by_name");
}

#[test]
fn the_same_with_room_for_two_parked_calls() {
    let sandbox = project();
    sandbox.edit("services.toml", "[defaults]\n", "[defaults]\nmax_parked = 2\n");
    let _hub = Hub::up(&sandbox, &[]);
    program(&sandbox, "calls");
    program(&sandbox, "by_name");
}

#[test]
fn what_fails() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    assert_output!(sandbox, ["run", "--inline", "program.py", "errors"], @r"
    exit: 0
    --- stdout
    there is no service `prise`; did you mean `price`?
    there is no service `shop.prise`; did you mean `price`?
    there is no service `zzz`; `msx ps` lists the services
    there is no service `prise` (did you mean `price`?); the module of a service must be among `modules` in services.toml
    shop.same: argument 'value': a value of type object cannot travel; send plain data, a dataclass, a NamedTuple or an Enum
    shop.waits did not answer within 0.2 s, so the call was cancelled
    prise is answered by a running hub: call it in a `with msx.connect():`, from a script of `msx run`, from a service that `msx up` runs, or by `msx call prise`
    --- stderr
    ");
    appears(&sandbox, "too-long.cancelled");
    assert_output!(sandbox, ["run", "--inline", "program.py", "on_a_loop"], @r"
    exit: 0
    --- stdout
    price(…) would block the running event loop; use: await price.aio(…)
    --- stderr
    ");
    appears(&sandbox, "task.cancelled");
    rests(&hub);
}

/// Nothing of the calls is left in the hub.
fn rests(hub: &Hub) {
    wait_for("the services to rest", || {
        let ps = hub.ps();
        let services = ps["services"].as_array().unwrap().iter();
        let busy = services.filter(|service| {
            service["queue"] != 0 || service["suspended"] != 0 || service["instances"][0]["busy"] != 0
        });
        (busy.count() == 0).then_some(())
    });
}

#[test]
fn without_a_hub() {
    let sandbox = project();
    assert_output!(sandbox, ["run", "--inline", "program.py", "nowhere"], @r"
    exit: 0
    --- stdout
    no hub is running for [ROOT]; start it with `msx up`
    there is no project to connect to: project names [ROOT]/missing, which does not exist
    there is no project to connect to: project names [ROOT]/shop.py, which is neither a folder nor a socket
    --- stderr
    ");
    assert_output!(sandbox, ["run", "program.py", "calls"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: no hub is running for [ROOT]
    help: start it with `msx up`
    ");
    assert_output!(sandbox, ["run", "missing.py"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot open the script missing.py: No such file or directory (os error 2)
    ");
    assert_output!(sandbox, ["run", "."], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the script . is not a file
    ");
}

#[test]
fn a_hub_that_ends_in_the_middle() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let running = sandbox.start(&["run", "--inline", "program.py", "the_hub_ends"]);
    appears(&sandbox, "never.begun");
    let pid = hub.pid();
    kill(pid, 9);
    // A dying process closes its connections before the socket that it listens on, or after it.
    wait_for("the end of the hub", || (!is_alive(pid)).then_some(()));
    fs::write(sandbox.path("ended"), "").unwrap();
    let (code, stdout, stderr) = running.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let root = sandbox.root().display().to_string();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&root.replace('.', r"\."), "[ROOT]");
    settings.bind(|| insta::assert_snapshot!(stdout, @r"
    the hub of [ROOT] ended before it had answered the call of shop.waits; how far the call got is unknown; `msx ps` shows whether the hub runs, `.msx/logs/hub.log` may say why it ended
    no hub is running for [ROOT]; start it with `msx up`
    no hub is running for [ROOT]; start it with `msx up`
    "));
}

#[test]
fn a_hub_that_is_restarted_between_two_calls() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let running = sandbox.start(&["run", "--inline", "program.py", "outlives_a_hub"]);
    appears(&sandbox, "called");
    hub.msx(&["down"]);
    hub.msx(&["up", "-d", "--wait"]);
    fs::write(sandbox.path("restarted"), "").unwrap();
    let (code, stdout, stderr) = running.end();
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

#[test]
fn ctrl_c_cancels_the_call() {
    let sandbox = project();
    let hub = Hub::up(&sandbox, &[]);
    let running = sandbox.start(&["run", "--inline", "program.py", "interrupted"]);
    appears(&sandbox, "interrupted.begun");
    running.interrupt();
    let (code, _, stderr) = running.end();
    assert_eq!(code, None, "Python ends by the signal: {stderr}");
    assert!(stderr.contains("KeyboardInterrupt"), "{stderr}");
    appears(&sandbox, "interrupted.cancelled");
    rests(&hub);
}

const SCRIPT: &str = "\
import os, signal, sys
from msx.services import price
print(sys.argv[1:], price('apple'), sys.stdin.read(), flush=True)
if sys.argv[-1] == 'fails':
    price('plum')
if sys.argv[-1] == 'waits':
    signal.pause()
sys.exit(int(sys.argv[-1]))
";

#[test]
fn a_script_that_is_run() {
    let sandbox = project().file("scripts/report.py", SCRIPT);
    let _hub = Hub::up(&sandbox, &[]);
    assert_output!(sandbox, ["run", "scripts/report.py", "--json", "-x", "7"], @r"
    exit: 7
    --- stdout
    ['--json', '-x', '7'] 3 
    --- stderr
    ");
    let failed = sandbox.run(&["run", "scripts/report.py", "fails"]);
    assert!(failed.starts_with("exit: 1\n--- stdout\n['fails'] 3 \n--- stderr\nTraceback"), "{failed}");
    assert!(failed.contains("Raised in the service shop.price"), "{failed}");

    let piped = sandbox.shell("printf 'typed' | $MSX run scripts/report.py 0 | cat").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&piped.stdout), "['0'] 3 typed\n");

    let mut running = sandbox.start(&["run", "scripts/report.py", "waits"]);
    assert_eq!(running.lines().next().unwrap().unwrap(), "['waits'] 3 ");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end().0, None, "the signal reached the script itself");
}

/// A debugger stops inside of the service, in the script's own terminal.
#[test]
fn a_whole_pipeline_in_one_process() {
    let script = "import shop\nprint(shop.total('apple', 'pear'), shop.pid() == __import__('os').getpid())\n";
    let sandbox = Sandbox::new().file("main.py", script);
    let shop = fs::read_to_string(project().path("shop.py")).unwrap();
    let sandbox =
        sandbox.file("shop.py", &shop.replace("    first = price", "    breakpoint()\n    first = price"));
    let debugged = sandbox.shell("printf 'p items\\nc\\n' | $MSX run --inline main.py").output().unwrap();
    let printed = String::from_utf8_lossy(&debugged.stdout);
    assert!(debugged.status.success(), "{printed}{}", String::from_utf8_lossy(&debugged.stderr));
    assert!(printed.contains("(Pdb) ('apple', 'pear')"), "{printed}");
    assert!(printed.ends_with("7 True\n"), "{printed}");
}
