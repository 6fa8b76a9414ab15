//! Services with a `command`: what their section comes to, and every mistake that it can have.

use super::*;
use crate::config::command::{Check, CommandSpec, Dependency, Probe, RestartPolicy, Serving, Target, Until};
use crate::config::spec::{InstanceRange, ServiceSpec};

fn specs(text: &str, found: &[Found]) -> Vec<ServiceSpec> {
    let manifest = parse_text(text).unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
    let specs = manifest.resolve(found, &base(), &no_files);
    specs.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)))
}

fn command(text: &str) -> CommandSpec {
    specs(text, &[])[0].command().expect("a command").clone()
}

/// The reports of a manifest whose only function is `m.a`.
fn problems(text: &str) -> String {
    errors_with(text, Some(&[def("m.a")]))
}

#[test]
fn a_program_has_defaults_too() {
    let specs = specs("[services.web]\ncommand = [\"serve\", \"$PORT\"]", &[def("m.a")]);
    assert_eq!(specs[1].name.as_str(), "web", "behind the functions");
    assert_eq!((specs[1].slots, specs[1].instances), (16, InstanceRange { min: 1, max: 8 }));
    let expected = CommandSpec {
        argv: vec!["serve".to_owned(), "$PORT".to_owned()],
        serving: Serving::Port,
        startup: None,
        ready: None,
        live: None,
        restart: RestartPolicy::Always,
        is_oneshot: false,
    };
    assert_eq!(specs[1].command(), Some(&expected));
}

#[test]
fn every_setting_of_a_program_reaches_its_spec() {
    let spec = command(
        r#"
        [services.web]
        command = ["serve"]
        socket_activation = true
        startup = { http = "/up", timeout = "2m" }
        ready = { tcp = "$PORT", interval = "1s" }
        live = { exec = ["check", "$PORT"], failures = 5 }
        restart = "on-failure"
        "#,
    );
    let probe = |check| Probe { check, timeout: None, interval: None, failures: 3 };
    let page = Check::Http { target: Target::Own, path: "/up".to_owned() };
    assert_eq!(
        spec.startup,
        Some(Probe { timeout: Some(std::time::Duration::from_secs(120)), ..probe(page) })
    );
    let interval = Some(std::time::Duration::from_secs(1));
    assert_eq!(spec.ready, Some(Probe { interval, ..probe(Check::Tcp(Target::Own)) }));
    let exec = Check::Exec(vec!["check".to_owned(), "$PORT".to_owned()]);
    assert_eq!(spec.live, Some(Probe { failures: 5, ..probe(exec) }));
    assert_eq!((spec.serving, spec.restart), (Serving::Handed, RestartPolicy::OnFailure));
}

#[test]
fn whether_it_serves_is_seen_by_what_it_says() {
    for (says, serving) in [
        ("command = [\"a\", \"-p=$PORT\"]", Serving::Port),
        ("command = [\"a\"]\nslots = 2", Serving::Port),
        ("command = [\"a\"]\nlisten = \"127.0.0.1:8000\"", Serving::Port),
        ("command = [\"a\"]\nready = { http = \"/\" }", Serving::Port),
        ("command = [\"a\"]\nready = { tcp = 6379 }", Serving::Nothing),
        ("command = [\"a\"]\nready = { http = \"http://localhost:9000\" }", Serving::Nothing),
        ("command = [\"a\", \"$$PORT\"]", Serving::Nothing),
        ("command = [\"a\", \"unix:$SOCKET\"]\nslots = 2", Serving::Path),
        ("command = [\"a\"]", Serving::Nothing),
    ] {
        assert_eq!(command(&format!("[services.a]\n{says}")).serving, serving, "{says}");
    }
}

#[test]
fn only_servers_take_their_number_from_the_defaults() {
    let manifest = "[defaults]\ninstances = { min = 2, max = 4 }\n[services.db]\ncommand = [\"db\"]\n\
                    [services.web]\ncommand = [\"web\", \"$PORT\"]\n[services.work]\ncommand = [\"work\"]\ninstances = 3\n";
    let instances: Vec<(String, u32, u32)> = specs(manifest, &[])
        .into_iter()
        .map(|spec| (spec.name.to_string(), spec.instances.min, spec.instances.max))
        .collect();
    assert_eq!(instances, [("db".to_owned(), 1, 1), ("web".to_owned(), 2, 4), ("work".to_owned(), 3, 3)]);
}

#[test]
fn what_is_waited_for_follows_from_what_it_is() {
    let manifest = "[services.a]\ndepends_on = [\"migrate\", \"db\"]\n\
                    [services.db]\ncommand = [\"db\"]\ndepends_on = { migrate = \"started\" }\n\
                    [services.migrate]\ncommand = [\"migrate\"]\noneshot = true\n";
    let specs = specs(manifest, &[def("m.a")]);
    let needed = |service: &str, until| Dependency { service: service.to_owned(), until };
    assert_eq!(specs[0].depends_on, [needed("migrate", Until::Completed), needed("db", Until::Ready)]);
    assert_eq!(specs[1].depends_on, [needed("migrate", Until::Started)]);
    assert_eq!(specs[2].command().expect("a command").restart, RestartPolicy::Never);
}

#[test]
fn msx_config_shows_programs() {
    let manifest = parse_text(
        r#"
        [services.web]
        command = ["serve", "$PORT"]
        ready = { http = "/", timeout = "10s" }
        depends_on = { db = "started" }
        [services.db]
        command = ["db"]
        ready = { tcp = 6379 }
        "#,
    )
    .unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
    let services = manifest.resolve_settings(&[], &base());
    let services = services.unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
    let shown = render::toml(&manifest, Some(&services));
    let written: String =
        shown.lines().filter(|line| !line.ends_with("# default")).map(|l| format!("{l}\n")).collect();
    insta::assert_snapshot!(written, @r#"
    [services.db]
    command = ["db"]              # services.toml:6
    ready.tcp = "127.0.0.1:6379"  # services.toml:7
    ready.failures = 3            # services.toml:7

    [services.web]
    depends_on = { db = "started" }  # services.toml:4
    command = ["serve", "$PORT"]     # services.toml:2
    ready.http = "/"                 # services.toml:3
    ready.timeout = "10s"            # services.toml:3
    ready.failures = 3               # services.toml:3
    "#);
    assert!(!shown.contains("threads") && !shown.contains("durability"), "{shown}");
    parse(&[Source { name: "shown", text: &shown }])
        .unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)));
}

#[test]
fn commands_that_are_none() {
    insta::assert_snapshot!(problems(r#"
        [services.line]
        command = "python3 -m http.server $PORT"
        [services.empty]
        command = []
        [services.nameless]
        command = ["", "x"]
        [services.number]
        command = ["serve", 8000]
        [services.table]
        command = { program = "x" }
        [services."my.db"]
        command = ["db"]
    "#), @r#"
     × `command` must be an array of strings, the program and its arguments, not a string
      ╭─[services.toml:2:11]
    1 │ [services.line]
    2 │ command = "python3 -m http.server $PORT"
      ·           ───────────────┬──────────────
      ·                          ╰── no array
    3 │ [services.empty]
      ╰────
     help: write ["python3", "-m", "http.server", "$PORT"], or ["sh", "-c", "python3 -m http.server
           $PORT"]

     × `command` must not be empty
      ╭─[services.toml:4:11]
    3 │ [services.empty]
    4 │ command = []
      ·           ─┬
      ·            ╰── empty
    5 │ [services.nameless]
      ╰────
     help: write ["python3", "-m", "http.server", "$PORT"]

     × `command` must begin with the name of a program
      ╭─[services.toml:6:11]
    5 │ [services.nameless]
    6 │ command = ["", "x"]
      ·           ────┬────
      ·               ╰── no program
    7 │ [services.number]
      ╰────
     help: write ["python3", "-m", "http.server", "$PORT"]

     × `command[1]` must be a string, not an integer
      ╭─[services.toml:8:21]
    7 │ [services.number]
    8 │ command = ["serve", 8000]
      ·                     ──┬─
      ·                       ╰── no string
    9 │ [services.table]
      ╰────
     help: write "8000"

     × `command` must be an array of strings, the program and its arguments, not a table
       ╭─[services.toml:10:11]
     9 │ [services.table]
    10 │ command = { program = "x" }
       ·           ────────┬────────
       ·                   ╰── no array
    11 │ [services."my.db"]
       ╰────
     help: write ["python3", "-m", "http.server", "$PORT"]

     × `my.db` cannot be the name of a service with a `command`
       ╭─[services.toml:11:11]
    10 │ command = { program = "x" }
    11 │ [services."my.db"]
       ·           ───┬───
       ·              ╰── this name
    12 │ command = ["db"]
       ╰────
     help: use letters, digits, `_` and `-`
    "#);
}

#[test]
fn keys_of_functions_and_keys_of_programs() {
    insta::assert_snapshot!(problems(r#"
        [defaults]
        slots = 3
        [services.a]
        slots = 3
        ready = { http = "/" }
        live = 3
        restart = "always"
        oneshot = true
        socket_activation = true
        [services.web]
        command = ["serve", "$PORT"]
        threads = 4
        max_parked = 3
        batch = 3
        slot = 3
        redy = { http = "/" }
    "#), @r#"
     × `slots` is for services with a `command`
      ╭─[services.toml:2:1]
    1 │ [defaults]
    2 │ slots = 3
      · ──┬──
      ·   ╰── not here
    3 │ [services.a]
      ╰────
     help: use `threads` (def) or `concurrency` (async def)

     × `slots` is for services with a `command`
      ╭─[services.toml:4:1]
    3 │ [services.a]
    4 │ slots = 3
      · ──┬──
      ·   ╰── not here
    5 │ ready = { http = "/" }
      ╰────
     help: use `threads` (def) or `concurrency` (async def)

     × `ready` is for services with a `command`
      ╭─[services.toml:5:1]
    4 │ slots = 3
    5 │ ready = { http = "/" }
      · ──┬──
      ·   ╰── not here
    6 │ live = 3
      ╰────
     help: remove it: a service is ready when its module is imported and its on_start hooks have run

     × `live` is for services with a `command`
      ╭─[services.toml:6:1]
    5 │ ready = { http = "/" }
    6 │ live = 3
      · ──┬─
      ·   ╰── not here
    7 │ restart = "always"
      ╰────
     help: remove it: an instance that ends is restarted, and `run_timeout` ends one that hangs in a
           call

     × `restart` is for services with a `command`
      ╭─[services.toml:7:1]
    6 │ live = 3
    7 │ restart = "always"
      · ───┬───
      ·    ╰── not here
    8 │ oneshot = true
      ╰────
     help: remove it: an instance that ends is always restarted, after a pause that grows

     × `oneshot` is for services with a `command`
      ╭─[services.toml:8:1]
    7 │ restart = "always"
    8 │ oneshot = true
      · ───┬───
      ·    ╰── not here
    9 │ socket_activation = true
      ╰────
     help: remove it, or name the program: `command = ["…"]`

     × `socket_activation` is for services with a `command`
       ╭─[services.toml:9:1]
     8 │ oneshot = true
     9 │ socket_activation = true
       · ────────┬────────
       ·         ╰── not here
    10 │ [services.web]
       ╰────
     help: remove it, or name the program: `command = ["…"]`

     × `threads` cannot stand in [services.web], which has a `command`
       ╭─[services.toml:12:1]
    11 │ command = ["serve", "$PORT"]
    12 │ threads = 4
       · ───┬───
       ·    ╰── not for a program
    13 │ max_parked = 3
       ╰────
     help: use `slots`: requests that may run at once in one instance

     × `max_parked` cannot stand in [services.web], which has a `command`
       ╭─[services.toml:13:1]
    12 │ threads = 4
    13 │ max_parked = 3
       · ─────┬────
       ·      ╰── not for a program
    14 │ batch = 3
       ╰────
     help: remove it: a program is not called, it serves requests

     × `batch` cannot stand in [services.web], which has a `command`
       ╭─[services.toml:14:1]
    13 │ max_parked = 3
    14 │ batch = 3
       · ──┬──
       ·   ╰── not for a program
    15 │ slot = 3
       ╰────
     help: remove it: a program is given no lists

     × unknown key `slot` in [services.web]
       ╭─[services.toml:15:1]
    14 │ batch = 3
    15 │ slot = 3
       · ──┬─
       ·   ╰── unknown
    16 │ redy = { http = "/" }
       ╰────
     help: did you mean `slots`?

     × unknown key `redy` in [services.web]
       ╭─[services.toml:16:1]
    15 │ slot = 3
    16 │ redy = { http = "/" }
       · ──┬─
       ·   ╰── unknown
    17 │
       ╰────
     help: did you mean `ready`?
    "#);
}

#[test]
fn probes_that_ask_nothing() {
    insta::assert_snapshot!(problems(r#"
        [services.a1]
        command = ["a"]
        ready = "http"
        startup = { timeout = "10s" }
        live = { log = "ready" }
        [services.a2]
        command = ["a"]
        ready = { http = "/", tcp = 3 }
        startup = { htp = "/" }
        live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
        [services.a3]
        command = ["a"]
        ready = { tcp = 70000 }
        startup = { tcp = "localhost" }
        live = { exec = "pg_isready" }
        restart = "sometimes"
    "#), @r#"
     × `ready` must be a table, not a string
      ╭─[services.toml:3:9]
    2 │ command = ["a"]
    3 │ ready = "http"
      ·         ───┬──
      ·            ╰── wrong type
    4 │ startup = { timeout = "10s" }
      ╰────
     help: write `ready = { http = "/" }`, or with tcp, exec or log

     × `startup` does not say what to ask
      ╭─[services.toml:4:11]
    3 │ ready = "http"
    4 │ startup = { timeout = "10s" }
      ·           ─────────┬─────────
      ·                    ╰── here
    5 │ live = { log = "ready" }
      ╰────
     help: give one of http = "/", tcp = 6379, exec = ["…"] and log = "…"

     × `live.log` cannot tell whether a program is well: a line once printed stays
      ╭─[services.toml:5:1]
    4 │ startup = { timeout = "10s" }
    5 │ live = { log = "ready" }
      · ──┬─
      ·   ╰── here
    6 │ [services.a2]
      ╰────
     help: ask by http, tcp or exec

     × `ready` asks 2 things at once
      ╭─[services.toml:8:9]
    7 │ command = ["a"]
    8 │ ready = { http = "/", tcp = 3 }
      ·         ───────────┬───────────
      ·                    ╰── here
    9 │ startup = { htp = "/" }
      ╰────
     help: give one of http = "/", tcp = 6379, exec = ["…"] and log = "…"

     × unknown key `startup.htp`
       ╭─[services.toml:9:13]
     8 │ ready = { http = "/", tcp = 3 }
     9 │ startup = { htp = "/" }
       ·             ─┬─
       ·              ╰── unknown
    10 │ live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
       ╰────
     help: did you mean `startup.http`?

     × `live.http` must be the path of a page, not "health"
       ╭─[services.toml:10:17]
     9 │ startup = { htp = "/" }
    10 │ live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
       ·                 ────┬───
       ·                     ╰── no path
    11 │ [services.a3]
       ╰────
     help: write a path such as "/health", or "http://127.0.0.1:9000/health" for another port

     × `live.timeout` must be a duration such as "30s", not an integer
       ╭─[services.toml:10:37]
     9 │ startup = { htp = "/" }
    10 │ live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
       ·                                     ┬
       ·                                     ╰── no duration
    11 │ [services.a3]
       ╰────
     help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

     × `live.interval` must be from 10ms to 60m, not 0s
       ╭─[services.toml:10:51]
     9 │ startup = { htp = "/" }
    10 │ live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
       ·                                                   ──┬─
       ·                                                     ╰── out of range
    11 │ [services.a3]
       ╰────

     × `live.failures` must be a whole number from 1 to 1000, not 0
       ╭─[services.toml:10:68]
     9 │ startup = { htp = "/" }
    10 │ live = { http = "health", timeout = 3, interval = "0s", failures = 0 }
       ·                                                                    ┬
       ·                                                                    ╰── out of range
    11 │ [services.a3]
       ╰────

     × `ready.tcp` must be a port, "host:port" or "$PORT", not 70000
       ╭─[services.toml:13:17]
    12 │ command = ["a"]
    13 │ ready = { tcp = 70000 }
       ·                 ──┬──
       ·                   ╰── no port
    14 │ startup = { tcp = "localhost" }
       ╰────

     × `startup.tcp` must be a port, "host:port" or "$PORT", not "localhost"
       ╭─[services.toml:14:19]
    13 │ ready = { tcp = 70000 }
    14 │ startup = { tcp = "localhost" }
       ·                   ─────┬─────
       ·                        ╰── no port
    15 │ live = { exec = "pg_isready" }
       ╰────

     × `live.exec` must be an array of strings, the program and its arguments, not a string
       ╭─[services.toml:15:17]
    14 │ startup = { tcp = "localhost" }
    15 │ live = { exec = "pg_isready" }
       ·                 ──────┬─────
       ·                       ╰── no array
    16 │ restart = "sometimes"
       ╰────
     help: write ["pg_isready"], or ["sh", "-c", "pg_isready"]

     × `restart` cannot be "sometimes"
       ╭─[services.toml:16:11]
    15 │ live = { exec = "pg_isready" }
    16 │ restart = "sometimes"
       ·           ─────┬─────
       ·                ╰── unknown
    17 │
       ╰────
     help: write "always", "on-failure", "never"
    "#);
}

#[test]
fn oneshots_serve_nothing() {
    insta::assert_snapshot!(problems(r#"
        [services.both]
        command = ["both", "$PORT", "$SOCKET"]
        [services.migrate]
        command = ["migrate", "$PORT"]
        oneshot = true
        ready = { tcp = 3 }
        restart = "always"
    "#), @r#"
     × `$PORT` and `$SOCKET` are both named, but an instance is reached in one way
      ╭─[services.toml:2:20]
    1 │ [services.both]
    2 │ command = ["both", "$PORT", "$SOCKET"]
      ·                    ───┬───  ────┬────
      ·                       │         ╰── a socket
      ·                       ╰── a port
    3 │ [services.migrate]
      ╰────
     help: name one of them

     × `$PORT` does not fit a one-shot, which does something once and ends
      ╭─[services.toml:4:23]
    3 │ [services.migrate]
    4 │ command = ["migrate", "$PORT"]
      ·                       ───┬───
      ·                          ╰── this
    5 │ oneshot = true
      · ───┬───
      ·    ╰── a one-shot
    6 │ ready = { tcp = 3 }
      ╰────
     help: remove one of the two

     × `ready` does not fit a one-shot, which does something once and ends
      ╭─[services.toml:6:1]
    4 │ command = ["migrate", "$PORT"]
    5 │ oneshot = true
      · ───┬───
      ·    ╰── a one-shot
    6 │ ready = { tcp = 3 }
      · ──┬──
      ·   ╰── this
    7 │ restart = "always"
      ╰────
     help: remove one of the two

     × `restart = "always"` does not fit a one-shot, which does something once and ends
      ╭─[services.toml:7:1]
    4 │ command = ["migrate", "$PORT"]
    5 │ oneshot = true
      · ───┬───
      ·    ╰── a one-shot
    6 │ ready = { tcp = 3 }
    7 │ restart = "always"
      · ───┬───
      ·    ╰── this
    8 │
      ╰────
     help: remove one of the two
    "#);
}

#[test]
fn only_requests_tell_how_many_instances_are_needed() {
    insta::assert_snapshot!(problems(r#"
        [services.work]
        command = ["work"]
        instances = { min = 1, max = 4 }
    "#), @r#"
     × the number of instances of a program that is not balanced does not change by itself
      ╭─[services.toml:3:15]
    2 │ command = ["work"]
    3 │ instances = { min = 1, max = 4 }
      ·               ─┬─
      ·                ╰── a range
    4 │
      ╰────
     help: write one number: `instances = 2`; or let it serve on `$PORT`
    "#);
}

#[test]
fn dependencies_that_cannot_be() {
    insta::assert_snapshot!(problems(r#"
        [services.a]
        depends_on = { web = "completed", migrate = "ready", bd = "ready" }
        [services.web]
        command = ["serve", "$PORT"]
        depends_on = { db = "redy" }
        [services.db]
        command = ["db"]
        depends_on = 3
        [services.migrate]
        command = ["migrate"]
        oneshot = true
    "#), @r#"
     × `depends_on.db` cannot be "redy"
      ╭─[services.toml:5:21]
    4 │ command = ["serve", "$PORT"]
    5 │ depends_on = { db = "redy" }
      ·                     ───┬──
      ·                        ╰── unknown
    6 │ [services.db]
      ╰────
     help: did you mean "ready"?

     × `depends_on` must be an array of service names, or a table such as { db = "ready" }, not an
     │ integer
      ╭─[services.toml:8:14]
    7 │ command = ["db"]
    8 │ depends_on = 3
      ·              ┬
      ·              ╰── wrong type
    9 │ [services.migrate]
      ╰────
    "#);
    insta::assert_snapshot!(problems(r#"
        [services.a]
        depends_on = { web = "completed", migrate = "ready", bd = "ready" }
        [services.web]
        command = ["serve", "$PORT"]
        depends_on = ["db"]
        [services.db]
        command = ["db"]
        depends_on = { web = "started" }
        [services.migrate]
        command = ["migrate"]
        oneshot = true
    "#), @r#"
     × `web` never completes: it is no one-shot
      ╭─[services.toml:2:16]
    1 │ [services.a]
    2 │ depends_on = { web = "completed", migrate = "ready", bd = "ready" }
      ·                ─┬─
      ·                 ╰── this dependency
    3 │ [services.web]
      ╰────
     help: write "ready", or `oneshot = true` in its section

     × `migrate` is never ready: it is a one-shot, which completes
      ╭─[services.toml:2:35]
    1 │ [services.a]
    2 │ depends_on = { web = "completed", migrate = "ready", bd = "ready" }
      ·                                   ───┬───
      ·                                      ╰── this dependency
    3 │ [services.web]
      ╰────
     help: write "completed"

     × no service `bd` was found
      ╭─[services.toml:2:54]
    1 │ [services.a]
    2 │ depends_on = { web = "completed", migrate = "ready", bd = "ready" }
      ·                                                      ─┬
      ·                                                       ╰── unknown
    3 │ [services.web]
      ╰────
     help: did you mean `db`? The services are `m.a`, `db`, `migrate`, `web`

     × `depends_on` goes in a circle: web → db → web
      ╭─[services.toml:8:16]
    7 │ command = ["db"]
    8 │ depends_on = { web = "started" }
      ·                ─┬─
      ·                 ╰── closes the circle
    9 │ [services.migrate]
      ╰────
     help: remove one of these dependencies: calls need none, only the order of starting does
    "#);
}
