//! Every error that the command line prints without a hub: exit code, stdout and stderr as a whole.

use crate::fake_hub::FakeHub;
use crate::support::{Sandbox, assert_output};

/// The help then is no data, but what a person is told.
#[test]
fn nothing_asked() {
    let sandbox = Sandbox::new();
    let asked = sandbox.run(&["--help"]);
    let help = asked.strip_prefix("exit: 0\n--- stdout\n").unwrap().strip_suffix("--- stderr\n").unwrap();
    assert_eq!(sandbox.run(&[]), format!("exit: 2\n--- stdout\n--- stderr\n{help}"));
}

#[test]
fn help_is_data() {
    assert_output!(Sandbox::new(), ["--help"], @r"
    exit: 0
    --- stdout
    Runs Python functions as supervised, balanced, autoscaled microservices

    Usage: msx [OPTIONS] <COMMAND>

    Commands:
      up       Start the services of a project and supervise them
      down     End the hub and everything it started
      ps       Show what runs and how it is doing
      call     Call a service and print its result
      run      Run a script whose calls go to the running hub
      calls    Show the calls that have not ended, and the root calls that ended lately
      why      Show what a call waits for, down to what really runs or stands in a queue
      trace    Show the course of a call and of all calls that it made
      stack    Show where the Python code of a service or of a call is
      cancel   End a call, and all calls that it made
      scale    Set how many instances services have
      logs     Show what services printed
      events   Show what msx did and why, oldest first. Times are in UTC
      restart  Replace the instances of services without losing a call
      pause    Let services begin no new calls: they wait, and those that run go on to their end
      resume   Let services that are paused go on
      metrics  Print the numbers of the hub in the text format of Prometheus
      config   Check the manifest and print every setting with where its value came from
      version  Print the version of msx

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Options of every verb:
      -C <DIR>            Run as if msx had been started in DIR
          --color <WHEN>  When to use colours: auto (the default: on a terminal, unless NO_COLOR is
                          set), always or never

    Examples:
      msx up                  start the services of the nearest services.toml, show their logs
      msx up -d pipeline/     start every @microservice found in a folder, in the background
      msx call my_func 1 2    call a service and print its result
      msx run report.py       run a script whose calls go to the running services
      msx ps                  what runs, and how it is doing
      msx why 9k2m            what a call waits for; `msx calls` shows the ids
      msx scale a=4 b=auto    four instances of a; b scales itself
      msx logs b -f           follow the log of one service
      msx down                end everything

    `msx VERB --help` says more about each.
    --- stderr
    ");
}

#[test]
fn help_of_up() {
    assert_output!(Sandbox::new(), ["up", "--help"], @r"
    exit: 0
    --- stdout
    Start the services of a project and supervise them.

    In a terminal it shows how they start and then what they print. A project is the nearest folder
    upwards with a services.toml; its state is kept beside it in .msx/.

    Usage: msx up [OPTIONS] [PATH]

    Arguments:
      [PATH]
              A Python file or a folder whose services to run without a manifest

    Options:
      -f, --file <FILE>
              A manifest; each further one is laid over those before it. Default: services.toml of the
              project

      -d, --detach
              Run in the background; returns when the hub accepts calls

          --scale <NAME=N>
              Start a service with this many instances and hold it there

          --wait
              Return when every service is ready; implies --detach

          --watch
              Restart the services of a module when its file changes

      -h, --help
              Print help (see a summary with '-h')

    Options of every verb:
      -C <DIR>
              Run as if msx had been started in DIR

          --color <WHEN>
              When to use colours: auto (the default: on a terminal, unless NO_COLOR is set), always or
              never

    Examples:
      msx up                          the project of this folder, with its logs; Ctrl-C ends it
      msx up -d --wait                in the background; returns when every service is ready
      msx up pipeline/my_func.py      the services of a file, without a manifest
      msx up -f services.toml -f dev.toml --scale a=4
      msx up --watch                  restart services when their files change

    The first Ctrl-C lets running calls finish, the second ends them.
    --- stderr
    ");
}

#[test]
fn help_of_call() {
    assert_output!(Sandbox::new(), ["call", "--help"], @r#"
    exit: 0
    --- stdout
    Call a service and print its result.

    Waits until the call ends, unless --timeout says otherwise; Ctrl-C cancels the call and everything
    it called.

    Usage: msx call [OPTIONS] <NAME> [ARGUMENTS]...

    Arguments:
      <NAME>
              The service: `module.function`, or the function alone while only one service has that name

      [ARGUMENTS]...
              Arguments by position, or by name as `k=v`

    Options:
          --json
              Print JSON on one line in any case, a failure of the call included

          --timeout <TIME>
              Give up after this time: `500ms`, `10s`, `2m`

          --idempotency-key <KEY>
              A name for this call: called again under it, within a day, it gets the same result and
              does not run again

      -h, --help
              Print help (see a summary with '-h')

    Options of every verb:
      -C <DIR>
              Run as if msx had been started in DIR

          --color <WHEN>
              When to use colours: auto (the default: on a terminal, unless NO_COLOR is set), always or
              never

    How arguments are read:
      A parameter annotated `str` takes the text as it is. Any other takes JSON (`3`, `true`, `[1, 2]`,
      `{"x": 1}`), or the text where that is no JSON. `k=v` sets the parameter k by name; where there
      is no parameter k it is an ordinary argument. After `--` everything is an argument.

    Result:
      A string is printed as it is, anything else as JSON; of a generator each item, on a line of its
      own, as soon as it is there. An exception of the service is printed to stderr with its traceback,
      and the exit code is 1.

    Examples:
      msx call my_func 1 2
      msx call my_func x=1 y=2 --timeout 10s
      msx call orders.place '{"item": 7}' --json | jq .id
      msx call msx.orchestrator.access a
    --- stderr
    "#);
}

#[test]
fn help_of_the_other_verbs() {
    let verbs = ["down", "ps", "scale", "logs", "restart", "config", "version"];
    for verb in verbs
        .into_iter()
        .chain(["calls", "why", "trace", "stack", "cancel", "events", "pause", "resume", "metrics"])
    {
        let output = Sandbox::new().run(&[verb, "--help"]);
        assert!(output.starts_with("exit: 0\n--- stdout\n") && output.ends_with("--- stderr\n"), "{output}");
        let widest = output.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{output}");
    }
}

#[test]
fn version() {
    assert_output!(Sandbox::new(), ["version"], @r"
    exit: 0
    --- stdout
    msx [VERSION]
    --- stderr
    ");
    assert_output!(Sandbox::new(), ["--version"], @r"
    exit: 0
    --- stdout
    msx [VERSION]
    --- stderr
    ");
}

#[test]
fn unknown_verb_and_flag() {
    assert_output!(Sandbox::new(), ["pss"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'pss'

      tip: a similar subcommand exists: 'ps'

    Usage: msx [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["ps", "--yes"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: unexpected argument '--yes' found

    Usage: msx ps [OPTIONS]

    For more information, try '--help'.
    ");
}

#[test]
fn missing_arguments() {
    assert_output!(Sandbox::new(), ["call"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <NAME>

    Usage: msx call <NAME> [ARGUMENTS]...

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["why"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <ID>

    Usage: msx why <ID>

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["stack"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <NAME|ID>

    Usage: msx stack <NAME|ID>

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["scale"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <NAME=N>...

    Usage: msx scale <NAME=N>...

    For more information, try '--help'.
    ");
}

#[test]
fn wrong_values() {
    assert_output!(Sandbox::new(), ["scale", "a"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'a' for '<NAME=N>...': expected NAME=NUMBER, for example `a=4`

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["scale", "a=many"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'a=many' for '<NAME=N>...': `many` is not a number of instances: expected 0 or more or `auto`

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["up", "--scale", "a=auto"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'a=auto' for '--scale <NAME=N>': `auto` is not a number of instances: expected 0 or more

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["call", "a", "--timeout", "10"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value '10' for '--timeout <TIME>': expected a time with its unit, for example `500ms`, `10s` or `1h30m`

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["logs", "--since", "yesterday"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'yesterday' for '--since <TIME>': expected how long ago (`10m`, `1h30m`) or a time (`2026-11-24T10:00`)

    For more information, try '--help'.
    ");
    assert_output!(Sandbox::new(), ["--color", "red", "ps"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'red' for '--color <WHEN>'
      [possible values: auto, always, never]

    For more information, try '--help'.
    ");
}

#[test]
fn folder_of_minus_c_does_not_exist() {
    assert_output!(Sandbox::new(), ["-C", "nowhere", "ps"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot enter the folder nowhere: No such file or directory (os error 2)
    ");
}

#[test]
fn no_project() {
    for verb in [&["ps"][..], &["up"], &["config"], &["logs"], &["down"], &["restart"]] {
        let output = Sandbox::new().run(verb);
        assert!(output.starts_with("exit: 2\n"), "{verb:?}: {output}");
    }
    assert_output!(Sandbox::new(), ["ps"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no project here: neither [ROOT] nor a folder above it has a services.toml
    help: go to the project or name it with `-C DIR`; `msx up FILE.py` starts the services of a file without a manifest
    ");
}

#[test]
fn state_without_manifest() {
    let sandbox = Sandbox::new().file(".msx/.gitignore", "*\n");
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: [ROOT] has no services.toml
    help: `msx up FILE.py` starts the services of a file or folder without one
    ");
}

#[test]
fn up_with_a_path_that_is_none() {
    let sandbox = Sandbox::new().file("notes.txt", "");
    assert_output!(sandbox, ["up", "missing.py"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot open missing.py: No such file or directory (os error 2)
    ");
    assert_output!(sandbox, ["up", "notes.txt"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: [ROOT]/notes.txt is neither a folder nor a Python file
    help: a manifest is named with `-f FILE`
    ");
    assert_output!(sandbox, ["up", "-f", "missing.toml"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot open missing.toml: No such file or directory (os error 2)
    ");
    assert_output!(sandbox, ["up", "-f", "."], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest [ROOT] is not a file
    ");
    assert_output!(sandbox, ["up", "-f", "a.toml", "b.py"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the argument '--file <FILE>' cannot be used with '[PATH]'

    Usage: msx up --file <FILE> [PATH]

    For more information, try '--help'.
    ");
}

#[test]
fn no_hub_runs() {
    let sandbox = Sandbox::with_manifest("");
    for verb in [&["ps"][..], &["ps", "--json"], &["call", "a"], &["scale", "a=1"], &["restart"]] {
        let output = sandbox.run(verb);
        assert!(output.starts_with("exit: 1\n--- stdout\n--- stderr\n"), "{verb:?}: {output}");
    }
    assert_output!(sandbox, ["call", "my_func", "1", "2"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: no hub is running for [ROOT]
    help: start it with `msx up`
    ");
}

#[test]
fn down_is_done_when_nothing_runs() {
    assert_output!(Sandbox::with_manifest(""), ["down"], @r"
    exit: 0
    --- stdout
    --- stderr
    no hub is running for [ROOT]
    ");
}

#[test]
fn no_log_of_that_name() {
    let sandbox = Sandbox::with_manifest("");
    assert_output!(sandbox, ["logs", "a"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no log of `a`
    help: no service has run in this project yet: `msx up` starts them
    ");
    let sandbox =
        sandbox.file(".msx/logs/shop.orders/000001.log", "").file(".msx/logs/depot.orders/000001.log", "");
    assert_output!(sandbox, ["logs", "orders"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: `orders` is ambiguous: depot.orders, shop.orders
    help: use the full name
    ");
    assert_output!(sandbox, ["logs", "order-1"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no log of `order-1`
    help: did you mean `shop.orders`?
    ");
    assert_output!(sandbox, ["logs", "shop.oders"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no log of `shop.oders`
    help: did you mean `shop.orders`?
    ");
    assert_output!(sandbox, ["logs", "x"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no log of `x`
    help: there are logs of depot.orders, shop.orders
    ");
}

#[test]
fn state_that_cannot_be_kept() {
    let sandbox = Sandbox::with_manifest("").file(".msx", "");
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot create [ROOT]/.msx: File exists (os error 17)
    help: a file is where msx needs a folder: remove it, or give it another name
    ");
    let sandbox = Sandbox::with_manifest("").file(".msx/logs", "");
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot show the logs in [ROOT]/.msx/logs: Not a directory (os error 20)
    help: a file is where msx needs a folder: remove it, or give it another name
    ");
    assert_output!(sandbox, ["up", "-d"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot open [ROOT]/.msx/logs/hub.log: File exists (os error 17)
    help: a file is where msx needs a folder: remove it, or give it another name
    ");
    assert_output!(sandbox, ["logs"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot read the logs in [ROOT]/.msx/logs: Not a directory (os error 20)
    ");
    let sandbox = Sandbox::with_manifest("").file(".msx/hub.json", "{");
    let _hub = FakeHub::start(&sandbox);
    assert_output!(sandbox, ["ps"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot read [ROOT]/.msx/hub.json: EOF while parsing an object at line 1 column 1
    ");
}

#[test]
fn the_hub_is_starting() {
    let sandbox = Sandbox::with_manifest("");
    let _hub = FakeHub::start(&sandbox);
    assert_output!(sandbox, ["ps"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the hub of [ROOT] is not ready: it is starting or ending
    help: try again in a moment
    ");
}

#[test]
fn a_second_up() {
    let sandbox = Sandbox::with_manifest("");
    let _hub = FakeHub::start(&sandbox).announced();
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: a hub is already running for [ROOT] (pid [PID])
    help: `msx ps` shows its services, `msx restart` restarts them, `msx down` ends it
    ");
    assert_eq!(sandbox.run(&["up", "-d"]), sandbox.run(&["up"]));
}

#[test]
fn nothing_listens() {
    let sandbox = Sandbox::with_manifest("");
    let _hub = FakeHub::start(&sandbox).announced();
    assert_output!(sandbox, ["ps"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the hub does not accept a connection on [ROOT]/.run/hub.sock: No such file or directory (os error 2)
    help: it may be starting or ending: try again in a moment
    ");
}

/// Runs msx against a hub that gives this one answer.
macro_rules! assert_answer {
    ($status:expr, $body:expr, $args:expr, @$expected:literal) => {{
        let sandbox = Sandbox::with_manifest("");
        let hub = FakeHub::start(&sandbox).answering($status, $body);
        assert_output!(sandbox, $args, @$expected);
        hub.request();
    }};
}

#[test]
fn results_of_calls() {
    assert_answer!("200 OK", r#"{"result": 3}"#, ["call", "f", "1"], @r"
    exit: 0
    --- stdout
    3
    --- stderr
    ");
    assert_answer!("200 OK", r#"{"result": "two\nlines"}"#, ["call", "f"], @r"
    exit: 0
    --- stdout
    two
    lines
    --- stderr
    ");
    assert_answer!("200 OK", r#"{"result": "text"}"#, ["call", "f", "--json"], @r#"
    exit: 0
    --- stdout
    "text"
    --- stderr
    "#);
    assert_answer!("200 OK", r#"{"result": {"z": 12345678901234567890123, "a": null}}"#, ["call", "f"], @r#"
    exit: 0
    --- stdout
    {"z": 12345678901234567890123, "a": null}
    --- stderr
    "#);
}

const REMOTE: &str = r#"{"kind": "remote", "message": "ValueError: no order 7", "help": null,
    "detail": "Traceback (most recent call last):\n  File \"/srv/orders.py\", line 4, in place\n    raise ValueError(f\"no order {n}\")\nValueError: no order 7\n"}"#;

#[test]
fn a_remote_exception_looks_like_pythons() {
    assert_answer!("500 Internal Server Error", REMOTE, ["call", "place", "-7"], @r#"
    exit: 1
    --- stdout
    --- stderr
    Traceback (most recent call last):
      File "/srv/orders.py", line 4, in place
        raise ValueError(f"no order {n}")
    ValueError: no order 7
    "#);
    assert_answer!("500 Internal Server Error", REMOTE, ["call", "place", "7", "--json"], @r#"
    exit: 1
    --- stdout
    {"error":{"kind":"remote","message":"ValueError: no order 7","help":null,"detail":"Traceback (most recent call last):\n  File \"/srv/orders.py\", line 4, in place\n    raise ValueError(f\"no order {n}\")\nValueError: no order 7\n"}}
    --- stderr
    Traceback (most recent call last):
      File "/srv/orders.py", line 4, in place
        raise ValueError(f"no order {n}")
    ValueError: no order 7
    "#);
    let bare = r#"{"kind": "remote", "message": "msx.InstanceDied: a-1 was killed by signal 9", "help": null, "detail": ""}"#;
    assert_answer!("500 Internal Server Error", bare, ["call", "place"], @r"
    exit: 1
    --- stdout
    --- stderr
    msx.InstanceDied: a-1 was killed by signal 9
    ");
}

#[test]
fn refusals() {
    let unknown = r#"{"kind": "usage", "message": "there is no service `my_fun`", "help": "did you mean `my_func`?", "detail": null}"#;
    assert_answer!("404 Not Found", unknown, ["call", "my_fun"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `my_fun`
    help: did you mean `my_func`?
    ");
    let late = r#"{"kind": "timeout", "message": "f did not end within 1 s", "help": null, "detail": "  File \"f.py\", line 3, in f"}"#;
    assert_answer!("504 Gateway Timeout", late, ["call", "f", "--timeout", "1s"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: f did not end within 1 s

      File "f.py", line 3, in f
    "#);
    let most =
        r#"{"kind": "usage", "message": "a has max = 4", "help": "raise it or use --force", "detail": null}"#;
    assert_answer!("422 Unprocessable Entity", most, ["scale", "a=9"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: a has max = 4
    help: raise it or use --force
    ");
    let fails = r#"{"kind": "unavailable", "message": "a does not start with the new code; the old instances stay", "help": null, "detail": "SyntaxError: invalid syntax (a.py, line 3)"}"#;
    assert_answer!("503 Service Unavailable", fails, ["restart", "a"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: a does not start with the new code; the old instances stay

    SyntaxError: invalid syntax (a.py, line 3)
    ");
}

#[test]
fn broken_hubs() {
    assert_answer!("", "", ["call", "f"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the connection to the hub was lost: connection closed before message completed
    help: `msx ps` shows whether a hub runs; `.msx/logs/hub.log` may say why it ended
    ");
    assert_answer!("404 Not Found", "not found", ["ps"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the answer of the hub cannot be read: HTTP status 404 Not Found
    help: it may be of another version: `msx version`, then `msx down` and `msx up`
    ");
    assert_answer!("200 OK", r#"{"services": 1}"#, ["ps"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the answer of the hub cannot be read: invalid type: integer `1`, expected a sequence at line 1 column 14
    help: it may be of another version: `msx version`, then `msx down` and `msx up`
    ");
}

#[test]
fn what_went_well() {
    assert_answer!("204 No Content", "", ["scale", "a=4", "b=1", "c=auto"], @r"
    exit: 0
    --- stdout
    --- stderr
    a: 4 instances
    b: 1 instance
    c: scales itself
    ");
    assert_answer!("204 No Content", "", ["restart", "a", "b"], @r"
    exit: 0
    --- stdout
    --- stderr
    restarted a, b
    ");
}

#[test]
fn ps_shows_a_table() {
    let status = include_str!("status.json");
    assert_answer!("200 OK", status, ["ps"], @r"
    exit: 0
    --- stdout
    shop: hub 0.1.0, pid [PID], up 5m12s, 21 MiB, gateway http://127.0.0.1:8080/
    SERVICE     READY      QUEUE  SUSPENDED     P50      P99  REQ/S  CPU  MEMORY  ADDRESS
      INSTANCE  STATE        AGE   RESTARTS    BUSY   PARKED  REQ/S  CPU  MEMORY  PID
    orders      1/2            3         12  412 µs  38.2 ms   1.2k  87%  30 MiB  http://127.0.0.1:43117/
      orders-1  ready      5m10s          0     2/2        7    800  87%  30 MiB  4801
      orders-2  starting      1s          0     0/2        0      0    -       -  4822
    mail        0/1            0          0       -        -      0    -       -  http://127.0.0.1:43118/
      mail-1    crashloop     0s          5   0/100        0      0    -       -
          exited with status 1 after 0.2 s, 5 times within 60 s
          Traceback (most recent call last):
          ModuleNotFoundError: No module named 'smtp'
    --- stderr
    ");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r" \S+ ago  ", " [AGE] ago  ");
    settings.bind(|| {
        assert_answer!("200 OK", status, ["ps", "--why"], @r"
        exit: 0
        --- stdout
        shop: hub 0.1.0, pid [PID], up 5m12s, 21 MiB, gateway http://127.0.0.1:8080/
        SERVICE     READY      QUEUE  SUSPENDED     P50      P99  REQ/S  CPU  MEMORY  ADDRESS
          INSTANCE  STATE        AGE   RESTARTS    BUSY   PARKED  REQ/S  CPU  MEMORY  PID
        orders      1/2            3         12  412 µs  38.2 ms   1.2k  87%  30 MiB  http://127.0.0.1:43117/
            scales itself, 1 to 8; now 2: offered 3.1/s × 1.0 s / 2 slots at 70 % needs 3; held: the machine is 96 % busy
              [AGE] ago  1 → 2: offered 2.2/s × 1.0 s / 2 slots at 70 % needs 2
          orders-1  ready      5m10s          0     2/2        7    800  87%  30 MiB  4801
          orders-2  starting      1s          0     0/2        0      0    -       -  4822
        mail        0/1            0          0       -        -      0    -       -  http://127.0.0.1:43118/
            fixed at 1
          mail-1    crashloop     0s          5   0/100        0      0    -       -
              exited with status 1 after 0.2 s, 5 times within 60 s
              Traceback (most recent call last):
              ModuleNotFoundError: No module named 'smtp'
        --- stderr
        ");
    });
    assert_answer!("200 OK", status, ["--color", "always", "ps"], @"
    exit: 0
    --- stdout
    \x1b[2mshop: hub 0.1.0, pid [PID], up 5m12s, 21 MiB, gateway http://127.0.0.1:8080/\x1b[0m
    \x1b[1mSERVICE\x1b[0m     \x1b[1mREADY\x1b[0m      \x1b[1mQUEUE\x1b[0m  \x1b[1mSUSPENDED\x1b[0m     \x1b[1mP50\x1b[0m      \x1b[1mP99\x1b[0m  \x1b[1mREQ/S\x1b[0m  \x1b[1mCPU\x1b[0m  \x1b[1mMEMORY\x1b[0m  \x1b[1mADDRESS\x1b[0m
    \x1b[2m  INSTANCE\x1b[0m  \x1b[2mSTATE\x1b[0m        \x1b[2mAGE\x1b[0m   \x1b[2mRESTARTS\x1b[0m    \x1b[2mBUSY\x1b[0m   \x1b[2mPARKED\x1b[0m  \x1b[2mREQ/S\x1b[0m  \x1b[2mCPU\x1b[0m  \x1b[2mMEMORY\x1b[0m  \x1b[2mPID\x1b[0m
    \x1b[1morders\x1b[0m      \x1b[33m1/2\x1b[0m            3         12  412 µs  38.2 ms   1.2k  87%  30 MiB  http://127.0.0.1:43117/
      orders-1  \x1b[32mready\x1b[0m      5m10s          0     2/2        7    800  87%  30 MiB  4801
      orders-2  \x1b[33mstarting\x1b[0m      1s          0     0/2        0      0    -       -  4822
    \x1b[1mmail\x1b[0m        \x1b[33m0/1\x1b[0m            0          0       -        -      0    -       -  http://127.0.0.1:43118/
      mail-1    \x1b[1;31mcrashloop\x1b[0m     0s          5   0/100        0      0    -       -
    \x1b[33m      exited with status 1 after 0.2 s, 5 times within 60 s\x1b[0m
    \x1b[33m      Traceback (most recent call last):\x1b[0m
    \x1b[33m      ModuleNotFoundError: No module named 'smtp'\x1b[0m
    --- stderr
    ");
}

/// The request that msx sends for these arguments: its first line and its body.
fn request(args: &[&str]) -> String {
    let sandbox = Sandbox::with_manifest("");
    let hub = FakeHub::start(&sandbox).answering("200 OK", r#"{"result": null}"#);
    sandbox.run(args);
    hub.request()
}

#[test]
fn requests_say_what_was_typed() {
    insta::assert_snapshot!(request(&["call", "f", "-1", "x=2", "--timeout", "1m"]), @r#"
    POST /v1/call
    {"service":"f","arguments":["-1","x=2"],"timeout_ms":60000}
    "#);
    insta::assert_snapshot!(request(&["call", "f", "--", "--json"]), @r#"
    POST /v1/call
    {"service":"f","arguments":["--json"],"timeout_ms":null}
    "#);
    insta::assert_snapshot!(request(&["scale", "a=4", "b=auto", "--no-wait"]), @r#"
    POST /v1/scale
    {"targets":[{"service":"a","instances":4},{"service":"b","instances":null}],"wait":false,"force":false}
    "#);
    insta::assert_snapshot!(request(&["scale", "a=9", "--force"]), @r#"
    POST /v1/scale
    {"targets":[{"service":"a","instances":9}],"wait":true,"force":true}
    "#);
    insta::assert_snapshot!(request(&["restart"]), @r#"
    POST /v1/restart
    {"services":[]}
    "#);
    insta::assert_snapshot!(request(&["ps"]), @r"GET /v1/status");
}

#[test]
fn down_returns_when_the_lock_is_free() {
    let sandbox = Sandbox::with_manifest("");
    let hub = FakeHub::start(&sandbox).answering("202 Accepted", "");
    let down = sandbox.start(&["down"]);
    assert_eq!(hub.request(), "POST /v1/down\n");
    let (code, stdout, stderr) = down.end();
    let stopped = format!("stopped {}\n", sandbox.root().display());
    assert_eq!((code, stdout.as_str(), stderr), (Some(0), "", stopped));
}

#[test]
fn down_tells_what_the_hub_could_not_end() {
    let sandbox = Sandbox::with_manifest("");
    let hub = FakeHub::start(&sandbox).answering("202 Accepted", "");
    let down = sandbox.start(&["down"]);
    hub.fail(r#"{"kind": "Failed", "message": "could not end redis (pid 7)", "help": "end it yourself", "detail": null}"#);
    let expected = "error: could not end redis (pid 7)\nhelp: end it yourself\n";
    assert_eq!(down.end(), (Some(1), String::new(), expected.to_owned()));
}

#[test]
fn ctrl_c_drops_the_connection_and_exits_with_130() {
    let sandbox = Sandbox::with_manifest("");
    let hub = FakeHub::start(&sandbox).answering("hang", "");
    let call = sandbox.start(&["call", "slow"]);
    let dropped = hub.received();
    call.interrupt();
    dropped();
    let (code, stdout, stderr) = call.end();
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(130), "", "interrupted: the call is cancelled\n")
    );
}
