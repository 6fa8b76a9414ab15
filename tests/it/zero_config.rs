//! Projects without a manifest: a file, a folder, packages, what they need, and what is said about them.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::support::hub::{Hub, marked, wait_for};
use crate::support::{SERVICE, Sandbox, assert_output};

const GREETER: &str = "\
from msx import microservice

import helper

@microservice(threads=3, max=2)
def greet(name: str = 'world'):
    return helper.GREETING + name

@microservice(concurrency=7, instances=1, expose=False)
async def agreet(name: str):
    return greet(name)
";

fn greeter() -> Sandbox {
    Sandbox::named("hall")
        .file("src/greeter.py", GREETER)
        .file("src/helper.py", "GREETING = 'hello '\n")
        .file("src/other.py", "raise RuntimeError('nobody asked for this module')\n")
}

/// The gateway's default port may be taken.
fn on_any_port() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
    settings.add_filter(r"note: port 8080 is taken[^\n]*\n", "");
    // Services start side by side.
    settings.add_filter(r"(?m)^[a-z_.0-9]+: (starting|ready) \(\d/\d\)\n", "");
    settings.add_filter(r"\(pid \d+\)", "(pid [PID])");
    settings.bind_to_scope()
}

/// Of `msx config`, what the code or a manifest sets.
fn without_defaults() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?m)^.*# default\n", "");
    settings.bind_to_scope()
}

#[test]
fn a_file() {
    let _settings = on_any_port();
    let sandbox = greeter();
    let hub = Hub { sandbox: &sandbox };
    assert_output!(sandbox, ["up", "-d", "--wait", "src/greeter.py"], @r"
    exit: 0
    --- stdout
    --- stderr
    preparing: looking for services
    services: greeter.greet, greeter.agreet
    gateway: http://127.0.0.1:[PORT]/
    ready: 2 services; `msx logs -f` follows them, `msx down` ends them
    the hub runs in the background (pid [PID])
    ");
    assert_eq!(hub.call(&["greet", "Ada"]), "hello Ada");
    assert_eq!(hub.call(&["greeter.greet"]), "hello world");
    let (greet, agreet) = (hub.service("greet"), hub.service("agreet"));
    assert_eq!((&greet["slots"], &greet["min"], &greet["max"]), (&3.into(), &1.into(), &2.into()));
    assert_eq!((&agreet["slots"], &agreet["mode"]), (&7.into(), &"fixed".into()));
    assert!(sandbox.path(".msx/hub.json").exists(), "the state is beside where msx was started");
    assert_output!(sandbox, ["scale", "greet=3"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot scale greet to 3 instances: its max is 2
    help: raise its max in services.toml or in its decorator, or use --force
    ");
}

#[test]
fn config_tells_where_settings_come_from() {
    assert_output!(greeter(), ["config", "src/greeter.py"], @r#"
    exit: 0
    --- stdout
    [project]
    name = "hall"  # default

    [services."greeter.greet"]
    server = "native"           # default
    threads = 3                 # @microservice at src/greeter.py:5
    instances.min = 1           # default
    instances.max = 2           # @microservice at src/greeter.py:5
    scale.utilization = 0.7     # default
    scale.cpu = 0.8             # default
    scale.machine = 0.9         # default
    scale.down_after = "60s"    # default
    max_parked = 256            # default
    queue.max = 1024            # default
    queue.timeout = "10s"       # default
    run_timeout = "30s"         # default
    retries.max = 0             # default
    retries.backoff = "100ms"   # default
    idempotent = false          # default
    on_nondeterminism = "fail"  # default
    durability = "none"         # default
    expose = true               # default
    cwd = "."                   # default
    stop.signal = "TERM"        # default
    stop.grace = "10s"          # default

    [services."greeter.agreet"]
    server = "native"           # default
    concurrency = 7             # @microservice at src/greeter.py:9
    instances.min = 1           # @microservice at src/greeter.py:9
    instances.max = 1           # @microservice at src/greeter.py:9
    scale.utilization = 0.7     # default
    scale.cpu = 0.8             # default
    scale.machine = 0.9         # default
    scale.down_after = "60s"    # default
    max_parked = 256            # default
    queue.max = 1024            # default
    queue.timeout = "10s"       # default
    run_timeout = "30s"         # default
    retries.max = 0             # default
    retries.backoff = "100ms"   # default
    idempotent = false          # default
    on_nondeterminism = "fail"  # default
    durability = "none"         # default
    expose = false              # @microservice at src/greeter.py:9
    cwd = "."                   # default
    stop.signal = "TERM"        # default
    stop.grace = "10s"          # default
    --- stderr
    "#);
    let _settings = without_defaults();
    let sandbox = greeter().file(
        "services.toml",
        "[python]\npath = [\"src\"]\nmodules = [\"greeter\"]\n\n[defaults]\nrun_timeout = \"5s\"\n\n[services.greet]\nthreads = 8\n",
    );
    assert_output!(sandbox.file("dev.toml", "[services.greet]\nqueue = { max = 9 }\n"), ["config", "-f", "services.toml", "-f", "dev.toml"], @r#"
    exit: 0
    --- stdout
    [python]
    path = ["src"]         # services.toml:2
    modules = ["greeter"]  # services.toml:3

    [services."greeter.greet"]
    threads = 8                 # services.toml:9
    instances.max = 2           # @microservice at src/greeter.py:5
    queue.max = 9               # dev.toml:2
    run_timeout = "5s"          # services.toml:6

    [services."greeter.agreet"]
    concurrency = 7             # @microservice at src/greeter.py:9
    instances.min = 1           # @microservice at src/greeter.py:9
    instances.max = 1           # @microservice at src/greeter.py:9
    run_timeout = "5s"          # services.toml:6
    expose = false              # @microservice at src/greeter.py:9
    --- stderr
    "#);
}

#[test]
fn a_folder_with_packages() {
    let place = "from msx import microservice\n\nfrom .stock import take\n\n@microservice\ndef place(n: int):\n    return take(n)\n";
    let take = "from msx import microservice\n\n@microservice\ndef take(n: int):\n    return f'{n} taken'\n";
    let sandbox = Sandbox::new()
        .file("apps/shop/__init__.py", "")
        .file("apps/shop/orders.py", place)
        .file("apps/shop/stock.py", take)
        .file("apps/shop/__main__.py", "raise SystemExit('not to be imported')\n")
        .file("apps/alone.py", &take.replace("take", "alone"))
        .file("apps/plain/deep.py", &take.replace("take", "deep"))
        .file("apps/test_shop.py", &place.replace("place", "test"))
        .file("apps/.venv/lib/thing.py", take)
        .file("apps/script.py", "raise SystemExit('no service here')\n");
    let hub = Hub::up(&sandbox, &["apps"]);
    assert_eq!(hub.call(&["place", "3"]), "3 taken");
    let ps = hub.ps();
    let mut names: Vec<&str> =
        ps["services"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["alone.alone", "plain.deep.deep", "shop.orders.place", "shop.stock.take"]);
}

#[test]
fn what_a_file_needs_is_installed() {
    let wheel = include_str!("../../src/python/tests/make_wheel.py");
    let sandbox = Sandbox::new().file("make_wheel.py", wheel);
    let made = Command::new("python3").arg("make_wheel.py").current_dir(sandbox.root()).status().unwrap();
    assert!(made.success());
    let file = sandbox.path("tiny-1.0-py3-none-any.whl").display().to_string();
    let block = format!(
        "# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\"tiny @ file://{file}\"]\n# ///\n"
    );
    let code = "import tiny\nfrom msx import microservice\n\n@microservice\ndef answer() -> int:\n    return tiny.ANSWER\n";
    let sandbox = sandbox.file("deep.py", &format!("{block}{code}"));
    let hub = Hub::up(&sandbox, &["deep.py"]);
    assert_eq!(hub.call(&["answer"]), "42");
}

#[test]
fn files_that_do_not_go_together() {
    let file = |needs: &str| format!("# /// script\n# {needs}\n# ///\n{SERVICE}");
    let sandbox = Sandbox::new()
        .file("a.py", &file("dependencies = [\"flask==2.0\"]"))
        .file("b.py", &file("dependencies = [\"Flask>=3\"]"));
    assert_output!(sandbox, ["up", "."], @r"
    exit: 1
    --- stdout
    --- stderr
    error: a.py needs `flask==2.0`, but b.py needs `Flask>=3`
    help: the services of one project share one environment: make the two lines agree
    ");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        r"`[^`]*` \(from PATH\) is Python \d+\.\d+\.\d+",
        "`[PYTHON]` (from PATH) is Python [VERSION]",
    );
    let _settings = settings.bind_to_scope();
    let sandbox = Sandbox::new().file("a.py", &file("requires-python = \">=4\""));
    assert_output!(sandbox, ["up", "a.py"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: a.py needs Python >=4, but `[PYTHON]` (from PATH) is Python [VERSION]
    help: name another one in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
    let sandbox = Sandbox::new().file("a.py", &file("dependencies = flask"));
    assert_output!(sandbox, ["up", "a.py"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: could not read the dependencies in a.py

    TOML parse error at line 1, column 16
      |
    1 | dependencies = flask
      |                ^^^^^
    invalid boolean, expected `false`

    help: correct the text that is shown
    ");
    let sandbox = Sandbox::new().file("a.py", SERVICE).file("pkg/__init__.py", "").file("pkg/a.py", SERVICE);
    let sandbox = sandbox.file("other/pkg/__init__.py", "").file("other/pkg/a.py", SERVICE);
    assert_output!(sandbox, ["up", "."], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot look for services in [ROOT]: `[ROOT]/other/pkg/a.py` and `[ROOT]/pkg/a.py` would both be imported as `pkg.a`: rename one of them
    ");
}

#[test]
fn no_service_anywhere() {
    let sandbox = Sandbox::new().file("a.py", "def f():\n    pass\n").file("empty/keep", "");
    assert_output!(sandbox, ["up", "a.py"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: no function with `@microservice` was found in [ROOT]/a.py
    help: decorate one: `from msx import microservice`, then `@microservice` above a `def`
    ");
    assert_output!(sandbox, ["up", "empty"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: no function with `@microservice` was found in [ROOT]/empty
    help: decorate one: `from msx import microservice`, then `@microservice` above a `def`
    ");
    let other = "from elsewhere import microservice\n\n@microservice\ndef f():\n    pass\n";
    let sandbox = sandbox.file("elsewhere.py", "def microservice(f):\n    return f\n").file("b.py", other);
    assert_output!(sandbox, ["up", "b.py"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: no function with `@microservice` was found in [ROOT]/b.py
    help: decorate one: `from msx import microservice`, then `@microservice` above a `def`
    ");
}

#[test]
fn a_file_that_fails() {
    let text =
        "from msx import microservice\n\nTABLE = {}\nTABLE['key']\n\n@microservice\ndef f():\n    pass\n";
    assert_output!(Sandbox::new().file("src/a.py", text), ["up", "src/a.py"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/src/a.py:4)

    Traceback (most recent call last):
      File "[ROOT]/src/a.py", line 4, in <module>
        TABLE['key']
    KeyError: 'key'

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn many_services_start_when_they_are_called() {
    let _settings = on_any_port();
    let functions: String =
        (1..=16).map(|n| format!("@microservice\ndef f{n}():\n    return {n}\n\n")).collect();
    let text = format!(
        "from msx import microservice\n\n{functions}@microservice(min=1)\ndef eager():\n    return 0\n"
    );
    let sandbox = Sandbox::new().file("many.py", &text);
    let hub = Hub { sandbox: &sandbox };
    assert_output!(sandbox, ["up", "-d", "--wait", "many.py"], @r"
    exit: 0
    --- stdout
    --- stderr
    preparing: looking for services
    note: 17 services are more than 16, so each starts at its first call; `@microservice(min=1)` keeps one ready
    services: many.f1, many.f2, many.f3, many.f4, many.f5, many.f6, many.f7, many.f8, many.f9, many.f10, many.f11, many.f12, many.f13, many.f14, many.f15, many.f16, many.eager
    gateway: http://127.0.0.1:[PORT]/
    ready: 17 services; `msx logs -f` follows them, `msx down` ends them
    the hub runs in the background (pid [PID])
    ");
    let started = || {
        let ps = hub.ps();
        let services = ps["services"].as_array().unwrap().clone();
        let started = services.iter().filter(|s| !s["instances"].as_array().unwrap().is_empty());
        started.map(|s| s["alias"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(started(), ["eager"]);
    assert_eq!(hub.call(&["f7"]), "7");
    wait_for("f7 and eager to be all", || {
        let mut names = started();
        names.sort_unstable();
        (names == ["eager", "f7"]).then_some(())
    });
}

/// Only the shape: values become the names of their types, and each list its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

#[test]
fn ports_are_kept_and_given_back() {
    let sandbox = greeter();
    let addresses = |hub: &Hub| {
        let services = hub.ps()["services"].as_array().unwrap().clone();
        services.iter().map(|s| s["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let hub = Hub::up(&sandbox, &["src/greeter.py"]);
    assert_eq!(hub.call(&["greet"]), "hello world");
    wait_for("the first measurement", || {
        let instance = hub.service("greet")["instances"][0].clone();
        (instance["cpu"].is_number() && instance["memory_bytes"].is_number()).then_some(())
    });
    let ps: Value = serde_json::from_str(&hub.msx(&["ps", "--json"])).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&shape(&ps)).unwrap(), @r#"
    {
      "hub": {
        "age_s": "number",
        "gateway": "text",
        "guard_pid": "number",
        "memory_bytes": "number",
        "pid": "number",
        "python": "text",
        "version": "text"
      },
      "project": "text",
      "services": [
        {
          "address": "text",
          "alias": "text",
          "decision": "text",
          "desired": "number",
          "instances": [
            {
              "age_s": "number",
              "busy": "number",
              "cpu": "number",
              "id": "text",
              "memory_bytes": "number",
              "parked": "number",
              "pid": "number",
              "rate": "number",
              "reason": null,
              "restarts": "number",
              "state": "text"
            }
          ],
          "kind": "text",
          "max": "number",
          "min": "number",
          "mode": "text",
          "name": "text",
          "p50_ms": "number",
          "p99_ms": "number",
          "queue": "number",
          "rate": "number",
          "slots": "number",
          "suspended": "number",
          "why": []
        }
      ]
    }
    "#);

    let (fronts, gateway) = (addresses(&hub), hub.gateway());
    hub.msx(&["down"]);
    assert!(marked(&sandbox.root()).is_empty());
    for address in fronts.iter().chain([&gateway]) {
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        drop(TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is still taken: {error}")));
    }
    let hub = Hub::up(&sandbox, &["src/greeter.py"]);
    assert_eq!(addresses(&hub), fronts);
}
