//! A manifest that cannot be used. Nothing is started, and all mistakes are told at once.

use crate::support::{SERVICE, Sandbox, assert_output};

/// Two modules with one service each.
fn two_services(manifest: &str) -> Sandbox {
    let service = |name: &str| {
        format!("from msx import microservice\n\n@microservice\ndef {name}(x: int):\n    return x\n")
    };
    Sandbox::with_manifest(&format!("[python]\nmodules = [\"a\", \"b\"]\n\n{manifest}"))
        .file("a.py", &service("a"))
        .file("b.py", &service("b"))
}

#[test]
fn typos_and_wrong_types_at_once() {
    let manifest = "\
[pyton]
modules = [\"a\"]

[defaults]
thread = 4
run_timeout = 30

[services.a]
instances = { min = 2, max = \"4\" }
exposed = true
";
    assert_output!(Sandbox::with_manifest(manifest), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × unknown section [pyton]
       ╭─[services.toml:1:2]
     1 │ [pyton]
       ·  ──┬──
       ·    ╰── unknown
     2 │ modules = ["a"]
       ╰────
      help: did you mean [python]?

      × unknown key `thread` in [defaults]
       ╭─[services.toml:5:1]
     4 │ [defaults]
     5 │ thread = 4
       · ───┬──
       ·    ╰── unknown
     6 │ run_timeout = 30
       ╰────
      help: did you mean `threads`?

      × `run_timeout` must be a duration such as "30s", not an integer
       ╭─[services.toml:6:15]
     5 │ thread = 4
     6 │ run_timeout = 30
       ·               ─┬
       ·                ╰── no duration
     7 │
       ╰────
      help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

      × `instances.max` must be a whole number from 1 to 1024, not a string
        ╭─[services.toml:9:30]
      8 │ [services.a]
      9 │ instances = { min = 2, max = "4" }
        ·                              ─┬─
        ·                               ╰── wrong type
     10 │ exposed = true
        ╰────

      × unknown key `exposed` in [services.a]
        ╭─[services.toml:10:1]
      9 │ instances = { min = 2, max = "4" }
     10 │ exposed = true
        · ───┬───
        ·    ╰── unknown
        ╰────
      help: did you mean `expose`?
    "#);
}

#[test]
fn config_tells_the_same() {
    let sandbox = Sandbox::with_manifest("[python]\nmodule = [\"a\"]\n");
    assert_eq!(sandbox.run(&["config"]), sandbox.run(&["up"]));
    assert_output!(sandbox, ["config", "--json"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × unknown key `module` in [python]
       ╭─[services.toml:2:1]
     1 │ [python]
     2 │ module = ["a"]
       · ───┬──
       ·    ╰── unknown
       ╰────
      help: did you mean `modules`?
    "#);
}

#[test]
fn keys_that_are_not_built_yet() {
    let manifest = "\
[gateway]
tokens = \"env:MSX_TOKENS\"

[services.a]
startup = { max = 3 }
durability = \"fsync\"
limits = { memory = \"512M\" }

[services.web]
command = [\"python\", \"-m\", \"http.server\", \"$PORT\"]

[schedule]
nightly = { call = \"report\", cron = \"0 3 * * *\" }
";
    assert_output!(two_services(manifest), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `tokens` is not built yet
       ╭─[services.toml:5:1]
     4 │ [gateway]
     5 │ tokens = "env:MSX_TOKENS"
       · ───┬──
       ·    ╰── not built yet
     6 │
       ╰────
      help: remove it: the gateway listens on loopback only; let a reverse proxy in front check who
            calls

      × `startup` is not built yet
       ╭─[services.toml:8:1]
     7 │ [services.a]
     8 │ startup = { max = 3 }
       · ───┬───
       ·    ╰── not built yet
     9 │ durability = "fsync"
       ╰────
      help: remove it: a service is ready when its module is imported and its on_start hooks have run

      × `durability = "fsync"` is not built yet
        ╭─[services.toml:9:14]
      8 │ startup = { max = 3 }
      9 │ durability = "fsync"
        ·              ───┬───
        ·                 ╰── not built yet
     10 │ limits = { memory = "512M" }
        ╰────
      help: remove it: there is no journal yet, and calls end with the hub (`durability = "none"`)

      × `limits` is not built yet
        ╭─[services.toml:10:1]
      9 │ durability = "fsync"
     10 │ limits = { memory = "512M" }
        · ───┬──
        ·    ╰── not built yet
     11 │
        ╰────
      help: remove it: set limits around msx itself, with ulimit or systemd

      × `command` is not built yet
        ╭─[services.toml:13:1]
     12 │ [services.web]
     13 │ command = ["python", "-m", "http.server", "$PORT"]
        · ───┬───
        ·    ╰── not built yet
     14 │
        ╰────
      help: remove this service: only Python functions are run so far; start the program beside msx

      × `[schedule]` is not built yet
        ╭─[services.toml:15:2]
     14 │
     15 │ [schedule]
        ·  ────┬───
        ·      ╰── not built yet
     16 │ nightly = { call = "report", cron = "0 3 * * *" }
        ╰────
      help: remove it: let cron or a systemd timer run `msx call`
    "#);
}

#[test]
fn broken_toml() {
    assert_output!(two_services("[services.a\nthreads = 2\n"), ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × invalid TOML: unclosed table, expected `]`
       ╭─[services.toml:4:12]
     3 │
     4 │ [services.a
       ·            ▲
       ·            ╰── here
     5 │ threads = 2
       ╰────
    ");
}

#[test]
fn a_service_that_is_not_there() {
    let manifest =
        "[services.aa]\nthreads = 2\n\n[services.\"x.b\"]\nthreads = 2\n\n[services.nobody]\nthreads = 2\n";
    assert_output!(two_services(manifest), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × no service `aa` was found
       ╭─[services.toml:4:11]
     3 │
     4 │ [services.aa]
       ·           ─┬
       ·            ╰── unknown
     5 │ threads = 2
       ╰────
      help: did you mean `a`? The services are `a.a`, `b.b`

      × no service `x.b` was found
       ╭─[services.toml:7:11]
     6 │
     7 │ [services."x.b"]
       ·           ──┬──
       ·             ╰── unknown
     8 │ threads = 2
       ╰────
      help: did you mean `b.b`? The services are `a.a`, `b.b`

      × no service `nobody` was found
        ╭─[services.toml:10:11]
      9 │
     10 │ [services.nobody]
        ·           ───┬──
        ·              ╰── unknown
     11 │ threads = 2
        ╰────
      help: the services are `a.a`, `b.b`
    "#);
}

#[test]
fn services_that_depend_in_a_circle() {
    let manifest =
        "[services.a]\ndepends_on = { b = \"ready\" }\n\n[services.b]\ndepends_on = { a = \"ready\" }\n";
    assert_output!(two_services(manifest), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × `depends_on` goes in a circle: a.a → b.b → a.a
       ╭─[services.toml:8:16]
     7 │ [services.b]
     8 │ depends_on = { a = "ready" }
       ·                ┬
       ·                ╰── closes the circle
       ╰────
      help: remove one of these dependencies: calls need none, only the order of starting does
    "#);
}

#[test]
fn a_service_that_depends_on_nothing_known() {
    let manifest = "[services.a]\ndepends_on = { bb = \"ready\", redis = \"ready\" }\n";
    assert_output!(two_services(manifest), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × no service `bb` was found
       ╭─[services.toml:5:16]
     4 │ [services.a]
     5 │ depends_on = { bb = "ready", redis = "ready" }
       ·                ─┬
       ·                 ╰── unknown
       ╰────
      help: did you mean `b`? The services are `a.a`, `b.b`

      × no service `redis` was found
       ╭─[services.toml:5:30]
     4 │ [services.a]
     5 │ depends_on = { bb = "ready", redis = "ready" }
       ·                              ──┬──
       ·                                ╰── unknown
       ╰────
      help: the services are `a.a`, `b.b`
    "#);
}

#[test]
fn an_env_file_that_is_not_there() {
    assert_output!(two_services("[services.a]\nenv_file = \".env\"\n"), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × cannot read the environment file .env: No such file or directory (os error 2)
       ╭─[services.toml:5:1]
     4 │ [services.a]
     5 │ env_file = ".env"
       · ────┬───
       ·     ╰── this file
       ╰────
      help: the path is relative to the manifest
    "#);
}

#[test]
fn an_env_file_that_cannot_be_read() {
    let sandbox =
        two_services("[services.a]\nenv_file = \".env\"\n").file(".env", "LEVEL=info\nexport\n1X=2\n");
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × not a line of an environment file
       ╭─[.env:2:1]
     1 │ LEVEL=info
     2 │ export
       · ───┬──
       ·    ╰── this line
     3 │ 1X=2
       ╰────
      help: write NAME=value

      × not a line of an environment file
       ╭─[.env:3:1]
     2 │ export
     3 │ 1X=2
       · ──┬─
       ·   ╰── this line
       ╰────
      help: a name has letters, digits and underscores only, and no digit first
    ");
}

#[test]
fn mistakes_of_an_overlay_name_its_file() {
    let sandbox =
        two_services("[services.a]\nthreads = 2\n").file("dev.toml", "[services.a]\nthreads = 0\nmax = 3\n");
    assert_output!(sandbox, ["up", "-f", "services.toml", "-f", "dev.toml"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `threads` must be a whole number from 1 to 1024, not 0
       ╭─[dev.toml:2:11]
     1 │ [services.a]
     2 │ threads = 0
       ·           ┬
       ·           ╰── out of range
     3 │ max = 3
       ╰────

      × unknown key `max` in [services.a]
       ╭─[dev.toml:3:1]
     2 │ threads = 0
     3 │ max = 3
       · ─┬─
       ·  ╰── unknown
       ╰────
      help: did you mean `instances.max`, `queue.max` or `retries.max`?
    ");
}

#[test]
fn a_short_name_of_two_services() {
    let shared = "from msx import microservice\n\n@microservice\ndef run():\n    pass\n";
    let sandbox =
        Sandbox::with_manifest("[python]\nmodules = [\"x\", \"y\"]\n\n[services.run]\nthreads = 4\n")
            .file("x.py", shared)
            .file("y.py", shared);
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × `run` is ambiguous: it is the short name of `x.run` and `y.run`
       ╭─[services.toml:4:11]
     3 │
     4 │ [services.run]
       ·           ─┬─
       ·            ╰── ambiguous
     5 │ threads = 4
       ╰────
      help: write the full name, in quotes
    ");
}

#[test]
fn a_scale_of_a_service_that_is_not_there() {
    assert_output!(two_services("[gateway]\nlisten = \"127.0.0.1:0\"\n"), ["up", "--scale", "aa=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    services: a.a, b.b
    error: cannot follow `--scale aa=2`: there is no service `aa`
    help: did you mean `a`?
    ");
}

#[test]
fn folders_of_the_path_that_are_not_there() {
    let manifest = "[python]\npath = [\"scr\", \"src\", \"a.py\"]\nmodules = [\"a\"]\n";
    let sandbox = Sandbox::with_manifest(manifest).file("a.py", "").file("src/b.py", "");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × the folder `scr` of `path` does not exist
       ╭─[services.toml:2:9]
     1 │ [python]
     2 │ path = ["scr", "src", "a.py"]
       ·         ──┬──
       ·           ╰── this folder
     3 │ modules = ["a"]
       ╰────
      help: correct it: it is relative to the manifest

      × the folder `a.py` of `path` is not a folder
       ╭─[services.toml:2:23]
     1 │ [python]
     2 │ path = ["scr", "src", "a.py"]
       ·                       ───┬──
       ·                          ╰── this folder
     3 │ modules = ["a"]
       ╰────
      help: correct it: it is relative to the manifest
    "#);
}

#[test]
fn a_manifest_without_modules() {
    assert_output!(Sandbox::with_manifest(""), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest names no modules, so there is no service to start
    help: name them: `modules = ["…"]` in [python]; every function with `@microservice` in them is a service
    "#);
    let sandbox =
        Sandbox::with_manifest("[project]\nname = \"x\"\n").file("a.py", SERVICE).file("shop/b.py", SERVICE);
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest names no modules, so there is no service to start
    help: name them: `modules = ["a", "shop.b"]` in [python]; every function with `@microservice` in them is a service
    "#);
}

#[test]
fn a_manifest_that_is_no_text() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("services.toml"), b"[project]\nname = \"\xff\"\n").unwrap();
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the manifest [ROOT]/services.toml: stream did not contain valid UTF-8
    help: TOML is UTF-8: save the file in that encoding
    ");
}

#[test]
fn ports_that_another_program_holds() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(r"\b{}\b", address.port()), "[PORT]");
    settings.add_filter(r"·( +)─+┬─+", "·${1}[MARK]");
    settings.add_filter(r"·( +)╰── this address", "· ╰── this address");
    let _settings = settings.bind_to_scope();
    let sandbox = two_services(&format!("[gateway]\nlisten = \"{address}\"\n"));
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot listen where the manifest says

      × the gateway cannot listen on 127.0.0.1:[PORT]: Address already in use (os error 98)
       ╭─[services.toml:5:1]
     4 │ [gateway]
     5 │ listen = "127.0.0.1:[PORT]"
       · [MARK]
       · ╰── this address
       ╰────
      help: another program holds port [PORT] (`ss -ltnp 'sport = :[PORT]'` shows which): end it, or
            change `listen`
    "#);
    let sandbox = two_services(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n\n[services.a]\nlisten = \"{address}\"\n"
    ));
    assert_output!(sandbox, ["up", "-d"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot listen where the manifest says

      × the front of a.a cannot listen on 127.0.0.1:[PORT]: Address already in use (os error 98)
       ╭─[services.toml:8:1]
     7 │ [services.a]
     8 │ listen = "127.0.0.1:[PORT]"
       · [MARK]
       · ╰── this address
       ╰────
      help: another program holds port [PORT] (`ss -ltnp 'sport = :[PORT]'` shows which): end it, or
            change `listen`
    "#);
    assert_output!(two_services("[gateway]\nlisten = \"192.0.2.1:8080\"\n"), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × a non-loopback address needs `tokens`, which is not built yet
       ╭─[services.toml:5:10]
     4 │ [gateway]
     5 │ listen = "192.0.2.1:8080"
       ·          [MARK]
       ·                  ╰── not loopback
       ╰────
      help: use "127.0.0.1:8080", with a reverse proxy that checks who calls in front of it
    "#);
}

#[test]
fn numbers_of_instances_that_do_not_fit() {
    let manifest = "[gateway]\nlisten = \"127.0.0.1:0\"\n\n[services.a]\ninstances = { max = 2 }\n";
    let twice = ["up", "--scale", "b=2", "--scale", "b.b=3"];
    assert_output!(two_services(manifest), twice, @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    services: a.a, b.b
    error: cannot follow `--scale b.b=3`: it is given two numbers
    help: name each service once
    ");
    assert_output!(two_services(manifest), ["up", "--scale", "b=2", "--scale", "a=3"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    services: a.a, b.b
    error: cannot scale a to 3 instances: its max is 2
    help: raise its max in services.toml or in its decorator
    ");
}
