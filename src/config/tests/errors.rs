//! Every mistake that a manifest can have, as it is reported.

use serde_json::json;

use super::*;

#[test]
fn broken_syntax_is_reported_with_everything_else_that_is_wrong() {
    insta::assert_snapshot!(errors(r#"
        [services.a]
        threads =
        startup = 3
        [services.b
        threads = 2
        threads = 3
        [services.c]
        run_timeout = soon
        expose = "yes"
        env = { A = "x
    "#), @r#"
     × invalid TOML: a value is missing after `=`
      ╭─[services.toml:2:10]
    1 │ [services.a]
    2 │ threads =
      ·          ▲
      ·          ╰── here
    3 │ startup = 3
      ╰────

     × `startup` is for services with a `command`
      ╭─[services.toml:3:1]
    2 │ threads =
    3 │ startup = 3
      · ───┬───
      ·    ╰── not here
    4 │ [services.b
      ╰────
     help: remove it: a service is ready when its module is imported and its on_start hooks have run

     × invalid TOML: unclosed table, expected `]`
      ╭─[services.toml:4:12]
    3 │ startup = 3
    4 │ [services.b
      ·            ▲
      ·            ╰── here
    5 │ threads = 2
      ╰────

     × invalid TOML: `soon` is no value
      ╭─[services.toml:8:15]
    7 │ [services.c]
    8 │ run_timeout = soon
      ·               ──┬─
      ·                 ╰── here
    9 │ expose = "yes"
      ╰────
     help: put text in quotes

     × `expose` must be true or false, not a string
       ╭─[services.toml:9:10]
     8 │ run_timeout = soon
     9 │ expose = "yes"
       ·          ──┬──
       ·            ╰── wrong type
    10 │ env = { A = "x
       ╰────

     × invalid TOML: unclosed inline table, expected `}`
       ╭─[services.toml:10:15]
     9 │ expose = "yes"
    10 │ env = { A = "x
       ·               ▲
       ·               ╰── here
    11 │
       ╰────
    "#);
}

#[test]
fn a_header_that_is_not_closed_makes_no_section_of_the_keys_below_it() {
    insta::assert_snapshot!(errors("[services.a]\nstartup = 3\n[services.b\nthreads = 2\n"), @r"
     × `startup` is for services with a `command`
      ╭─[services.toml:2:1]
    1 │ [services.a]
    2 │ startup = 3
      · ───┬───
      ·    ╰── not here
    3 │ [services.b
      ╰────
     help: remove it: a service is ready when its module is imported and its on_start hooks have run

     × invalid TOML: unclosed table, expected `]`
      ╭─[services.toml:3:12]
    2 │ startup = 3
    3 │ [services.b
      ·            ▲
      ·            ╰── here
    4 │ threads = 2
      ╰────
    ");
}

#[test]
fn keys_that_are_written_twice() {
    insta::assert_snapshot!(errors(r#"
        [services.a]
        threads = 2
        threads = 3
        scale = { cpu = 0.5, cpu = 0.6 }
        [services.a]
        startup = 3
    "#), @r"
     × `threads` is written twice
      ╭─[services.toml:3:1]
    2 │ threads = 2
    3 │ threads = 3
      · ───┬───
      ·    ╰── here
    4 │ scale = { cpu = 0.5, cpu = 0.6 }
      ╰────
     help: remove one of the two

     × `cpu` is written twice
      ╭─[services.toml:4:22]
    3 │ threads = 3
    4 │ scale = { cpu = 0.5, cpu = 0.6 }
      ·                      ─┬─
      ·                       ╰── here
    5 │ [services.a]
      ╰────
     help: remove one of the two

     × `a` is written twice
      ╭─[services.toml:5:11]
    4 │ scale = { cpu = 0.5, cpu = 0.6 }
    5 │ [services.a]
      ·           ┬
      ·           ╰── here
    6 │ startup = 3
      ╰────
     help: remove one of the two

     × `startup` is for services with a `command`
      ╭─[services.toml:6:1]
    5 │ [services.a]
    6 │ startup = 3
      · ───┬───
      ·    ╰── not here
    7 │
      ╰────
     help: remove it: a service is ready when its module is imported and its on_start hooks have run
    ");
}

#[test]
fn unknown_sections() {
    insta::assert_snapshot!(errors(r#"
        threads = 3
        servces = 3
        project = "p"
        [service.b]
        [mydb]
        [schedule]
        [[services]]
    "#), @r#"
     × `threads` stands outside a section
      ╭─[services.toml:1:1]
    1 │ threads = 3
      · ───┬───
      ·    ╰── no section
    2 │ servces = 3
      ╰────
     help: it belongs in [defaults] or [services.NAME]

     × `servces` stands outside a section
      ╭─[services.toml:2:1]
    1 │ threads = 3
    2 │ servces = 3
      · ───┬───
      ·    ╰── no section
    3 │ project = "p"
      ╰────
     help: did you mean [services]?

     × `project` must be a table, not a string
      ╭─[services.toml:3:11]
    2 │ servces = 3
    3 │ project = "p"
      ·           ─┬─
      ·            ╰── wrong type
    4 │ [service.b]
      ╰────
     help: write [project]

     × unknown section [service]
      ╭─[services.toml:4:2]
    3 │ project = "p"
    4 │ [service.b]
      ·  ───┬───
      ·     ╰── unknown
    5 │ [mydb]
      ╰────
     help: did you mean [services]?

     × unknown section [mydb]
      ╭─[services.toml:5:2]
    4 │ [service.b]
    5 │ [mydb]
      ·  ──┬─
      ·    ╰── unknown
    6 │ [schedule]
      ╰────
     help: the settings of a service stand in [services.mydb]

     × `[schedule]` is not built yet
      ╭─[services.toml:6:2]
    5 │ [mydb]
    6 │ [schedule]
      ·  ────┬───
      ·      ╰── not built yet
    7 │ [[services]]
      ╰────
     help: remove it: let cron or a systemd timer run `msx call`

     × `services` must be a table, not an array
      ╭─[services.toml:7:1]
    6 │ [schedule]
    7 │ [[services]]
      · ──────┬─────
      ·       ╰── wrong type
    8 │
      ╰────
     help: write [services.NAME]
    "#);
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(errors(r#"
        [project]
        modules = ["a"]
        nme = "x"
        color = "blue"
        [python]
        pth = ["src"]
        [gateway]
        port = 8080
        [defaults]
        timeout = "30s"
        replicas = 2
        max = 8
        [services.a]
        treads = 2
        instances = { mn = 1 }
        stop.after = "1s"
    "#), @r#"
     × unknown key `modules` in [project]
      ╭─[services.toml:2:1]
    1 │ [project]
    2 │ modules = ["a"]
      · ───┬───
      ·    ╰── unknown
    3 │ nme = "x"
      ╰────
     help: it belongs in [python]

     × unknown key `nme` in [project]
      ╭─[services.toml:3:1]
    2 │ modules = ["a"]
    3 │ nme = "x"
      · ─┬─
      ·  ╰── unknown
    4 │ color = "blue"
      ╰────
     help: did you mean `name`?

     × unknown key `color` in [project]
      ╭─[services.toml:4:1]
    3 │ nme = "x"
    4 │ color = "blue"
      · ──┬──
      ·   ╰── unknown
    5 │ [python]
      ╰────
     help: [project] takes `name`

     × unknown key `pth` in [python]
      ╭─[services.toml:6:1]
    5 │ [python]
    6 │ pth = ["src"]
      · ─┬─
      ·  ╰── unknown
    7 │ [gateway]
      ╰────
     help: did you mean `path`?

     × unknown key `port` in [gateway]
      ╭─[services.toml:8:1]
    7 │ [gateway]
    8 │ port = 8080
      · ──┬─
      ·   ╰── unknown
    9 │ [defaults]
      ╰────
     help: [gateway] takes `listen`

     × unknown key `timeout` in [defaults]
       ╭─[services.toml:10:1]
     9 │ [defaults]
    10 │ timeout = "30s"
       · ───┬───
       ·    ╰── unknown
    11 │ replicas = 2
       ╰────
     help: did you mean `queue.timeout` or `run_timeout`?

     × unknown key `replicas` in [defaults]
       ╭─[services.toml:11:1]
    10 │ timeout = "30s"
    11 │ replicas = 2
       · ────┬───
       ·     ╰── unknown
    12 │ max = 8
       ╰────
     help: [defaults] takes `server`, `threads`, `concurrency`, `instances`, `scale`, `max_parked`,
           `queue`, `run_timeout`, `retries`, `idempotent`, `concurrency_key`, `on_nondeterminism`,
           `durability`, `expose`, `env`, `cwd`, `watch` and `stop`

     × unknown key `max` in [defaults]
       ╭─[services.toml:12:1]
    11 │ replicas = 2
    12 │ max = 8
       · ─┬─
       ·  ╰── unknown
    13 │ [services.a]
       ╰────
     help: did you mean `instances.max`, `queue.max` or `retries.max`?

     × unknown key `treads` in [services.a]
       ╭─[services.toml:14:1]
    13 │ [services.a]
    14 │ treads = 2
       · ───┬──
       ·    ╰── unknown
    15 │ instances = { mn = 1 }
       ╰────
     help: did you mean `threads`?

     × unknown key `instances.mn` in [services.a]
       ╭─[services.toml:15:15]
    14 │ treads = 2
    15 │ instances = { mn = 1 }
       ·               ─┬
       ·                ╰── unknown
    16 │ stop.after = "1s"
       ╰────
     help: did you mean `instances.min`?

     × unknown key `stop.after` in [services.a]
       ╭─[services.toml:16:6]
    15 │ instances = { mn = 1 }
    16 │ stop.after = "1s"
       ·      ──┬──
       ·        ╰── unknown
    17 │
       ╰────
     help: `stop` takes `signal` and `grace`
    "#);
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(errors(r#"
        [project]
        name = 3
        [python]
        path = "src"
        modules = ["a", 3]
        requirements = ""
        [defaults]
        threads = "4"
        instances = "many"
        scale = 0.7
        run_timeout = 30
        queue = { max = 1.5, timeout = "soon" }
        expose = 1
        stop = { signal = 15, grace = 1979-05-27 }
        [services.a]
        depends_on = "b"
        env = ["A=1"]
        listen = 8001
        scale = { utilization = "70%" }
    "#), @r#"
     × `name` must be a string, not an integer
      ╭─[services.toml:2:8]
    1 │ [project]
    2 │ name = 3
      ·        ┬
      ·        ╰── wrong type
    3 │ [python]
      ╰────

     × `path` must be an array of strings, not a string
      ╭─[services.toml:4:8]
    3 │ [python]
    4 │ path = "src"
      ·        ──┬──
      ·          ╰── wrong type
    5 │ modules = ["a", 3]
      ╰────

     × `modules[1]` must be a string, not an integer
      ╭─[services.toml:5:17]
    4 │ path = "src"
    5 │ modules = ["a", 3]
      ·                 ┬
      ·                 ╰── wrong type
    6 │ requirements = ""
      ╰────

     × `requirements` must not be empty
      ╭─[services.toml:6:16]
    5 │ modules = ["a", 3]
    6 │ requirements = ""
      ·                ─┬
      ·                 ╰── empty
    7 │ [defaults]
      ╰────

     × `threads` must be a whole number from 1 to 1024, not a string
      ╭─[services.toml:8:11]
    7 │ [defaults]
    8 │ threads = "4"
      ·           ─┬─
      ·            ╰── wrong type
    9 │ instances = "many"
      ╰────

     × `instances` must be a whole number or a table, not a string
       ╭─[services.toml:9:13]
     8 │ threads = "4"
     9 │ instances = "many"
       ·             ───┬──
       ·                ╰── wrong type
    10 │ scale = 0.7
       ╰────
     help: write `instances = { … }` with `min` and `max`

     × `scale` must be a table, not a float
       ╭─[services.toml:10:9]
     9 │ instances = "many"
    10 │ scale = 0.7
       ·         ─┬─
       ·          ╰── wrong type
    11 │ run_timeout = 30
       ╰────
     help: write `scale = { … }` with `utilization`, `cpu`, `machine`, `down_after` and
           `idle_to_zero`

     × `run_timeout` must be a duration such as "30s", not an integer
       ╭─[services.toml:11:15]
    10 │ scale = 0.7
    11 │ run_timeout = 30
       ·               ─┬
       ·                ╰── no duration
    12 │ queue = { max = 1.5, timeout = "soon" }
       ╰────
     help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

     × `queue.max` must be a whole number from 1 to 1000000, not a float
       ╭─[services.toml:12:17]
    11 │ run_timeout = 30
    12 │ queue = { max = 1.5, timeout = "soon" }
       ·                 ─┬─
       ·                  ╰── wrong type
    13 │ expose = 1
       ╰────

     × `queue.timeout` must be a duration such as "30s", not "soon"
       ╭─[services.toml:12:32]
    11 │ run_timeout = 30
    12 │ queue = { max = 1.5, timeout = "soon" }
       ·                                ───┬──
       ·                                   ╰── no duration
    13 │ expose = 1
       ╰────
     help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

     × `expose` must be true or false, not an integer
       ╭─[services.toml:13:10]
    12 │ queue = { max = 1.5, timeout = "soon" }
    13 │ expose = 1
       ·          ┬
       ·          ╰── wrong type
    14 │ stop = { signal = 15, grace = 1979-05-27 }
       ╰────

     × `stop.signal` must be the name of a signal such as "TERM", not an integer
       ╭─[services.toml:14:19]
    13 │ expose = 1
    14 │ stop = { signal = 15, grace = 1979-05-27 }
       ·                   ─┬
       ·                    ╰── wrong type
    15 │ [services.a]
       ╰────

     × `stop.grace` must be a duration such as "30s", not a date or time
       ╭─[services.toml:14:31]
    13 │ expose = 1
    14 │ stop = { signal = 15, grace = 1979-05-27 }
       ·                               ─────┬────
       ·                                    ╰── no duration
    15 │ [services.a]
       ╰────
     help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

     × `depends_on` must be an array of service names, or a table such as { db = "ready" }, not a
     │ string
       ╭─[services.toml:16:14]
    15 │ [services.a]
    16 │ depends_on = "b"
       ·              ─┬─
       ·               ╰── wrong type
    17 │ env = ["A=1"]
       ╰────

     × `env` must be a table of strings such as { LEVEL = "info" }, not an array
       ╭─[services.toml:17:7]
    16 │ depends_on = "b"
    17 │ env = ["A=1"]
       ·       ───┬───
       ·          ╰── wrong type
    18 │ listen = 8001
       ╰────

     × `listen` must be an address with its port such as "127.0.0.1:8080", not an integer
       ╭─[services.toml:18:10]
    17 │ env = ["A=1"]
    18 │ listen = 8001
       ·          ──┬─
       ·            ╰── wrong type
    19 │ scale = { utilization = "70%" }
       ╰────

     × `scale.utilization` must be a number above 0 and up to 1.0, not a string
       ╭─[services.toml:19:25]
    18 │ listen = 8001
    19 │ scale = { utilization = "70%" }
       ·                         ──┬──
       ·                           ╰── wrong type
    20 │
       ╰────
    "#);
}

#[test]
fn values_out_of_range() {
    insta::assert_snapshot!(errors(r#"
        [defaults]
        threads = 0
        concurrency = -1
        instances = 0
        max_parked = 99999999999999999999
        scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
        queue = { max = 0, timeout = "0s" }
        run_timeout = "8d"
        [services.a]
        instances = { min = 4, max = 2 }
        [services.b]
        instances = 5000
    "#), @r#"
     × `threads` must be a whole number from 1 to 1024, not 0
      ╭─[services.toml:2:11]
    1 │ [defaults]
    2 │ threads = 0
      ·           ┬
      ·           ╰── out of range
    3 │ concurrency = -1
      ╰────

     × `concurrency` must be a whole number from 1 to 100000, not -1
      ╭─[services.toml:3:15]
    2 │ threads = 0
    3 │ concurrency = -1
      ·               ─┬
      ·                ╰── out of range
    4 │ instances = 0
      ╰────

     × `instances` must be a whole number from 1 to 1024, not 0
      ╭─[services.toml:4:13]
    3 │ concurrency = -1
    4 │ instances = 0
      ·             ┬
      ·             ╰── out of range
    5 │ max_parked = 99999999999999999999
      ╰────

     × `max_parked` must be a whole number from 0 to 100000, not an integer beyond 64 bit
      ╭─[services.toml:5:14]
    4 │ instances = 0
    5 │ max_parked = 99999999999999999999
      ·              ──────────┬─────────
      ·                        ╰── wrong type
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
      ╰────

     × `scale.utilization` must be a number above 0 and up to 1.0, not 70
      ╭─[services.toml:6:25]
    5 │ max_parked = 99999999999999999999
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
      ·                         ─┬
      ·                          ╰── out of range
    7 │ queue = { max = 0, timeout = "0s" }
      ╰────
     help: write 0.7 for 70 %

     × `scale.cpu` must be a number above 0 and up to 1.0, not 0
      ╭─[services.toml:6:35]
    5 │ max_parked = 99999999999999999999
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
      ·                                   ┬
      ·                                   ╰── out of range
    7 │ queue = { max = 0, timeout = "0s" }
      ╰────

     × `scale.machine` must be a number above 0 and up to 1.0, not NaN
      ╭─[services.toml:6:48]
    5 │ max_parked = 99999999999999999999
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
      ·                                                ─┬─
      ·                                                 ╰── out of range
    7 │ queue = { max = 0, timeout = "0s" }
      ╰────

     × `scale.down_after` must be from 1s to 7d, not 10ms
      ╭─[services.toml:6:66]
    5 │ max_parked = 99999999999999999999
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
      ·                                                                  ───┬──
      ·                                                                     ╰── out of range
    7 │ queue = { max = 0, timeout = "0s" }
      ╰────

     × `queue.max` must be a whole number from 1 to 1000000, not 0
      ╭─[services.toml:7:17]
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
    7 │ queue = { max = 0, timeout = "0s" }
      ·                 ┬
      ·                 ╰── out of range
    8 │ run_timeout = "8d"
      ╰────

     × `queue.timeout` must be from 1ms to 7d, not 0s
      ╭─[services.toml:7:30]
    6 │ scale = { utilization = 70, cpu = 0, machine = nan, down_after = "10ms" }
    7 │ queue = { max = 0, timeout = "0s" }
      ·                              ──┬─
      ·                                ╰── out of range
    8 │ run_timeout = "8d"
      ╰────

     × `run_timeout` must be from 1ms to 7d, not 8d
      ╭─[services.toml:8:15]
    7 │ queue = { max = 0, timeout = "0s" }
    8 │ run_timeout = "8d"
      ·               ──┬─
      ·                 ╰── out of range
    9 │ [services.a]
      ╰────

     × `instances.min` is 4 and `instances.max` is 2
       ╭─[services.toml:10:15]
     9 │ [services.a]
    10 │ instances = { min = 4, max = 2 }
       ·               ─┬─      ─┬─
       ·                │        ╰── less than `min`
       ·                ╰── more than `max`
    11 │ [services.b]
       ╰────
     help: make `min` at most `max`

     × `instances` must be a whole number from 0 to 1024, not 5000
       ╭─[services.toml:12:13]
    11 │ [services.b]
    12 │ instances = 5000
       ·             ──┬─
       ·               ╰── out of range
    13 │
       ╰────
    "#);
}

#[test]
fn wrong_words_and_environments() {
    insta::assert_snapshot!(errors(r#"
        [defaults]
        server = "nativ"
        durability = "sync"
        stop = { signal = "TREM", grace = "10 s" }
        env = { A = 1, B = true, C = "x", "D=" = "x" }
        [services.a]
        depends_on = { b = "started" }
    "#), @r#"
     × `server` cannot be "nativ"
      ╭─[services.toml:2:10]
    1 │ [defaults]
    2 │ server = "nativ"
      ·          ───┬───
      ·             ╰── unknown
    3 │ durability = "sync"
      ╰────
     help: did you mean "native"?

     × `durability` cannot be "sync"
      ╭─[services.toml:3:14]
    2 │ server = "nativ"
    3 │ durability = "sync"
      ·              ───┬──
      ·                 ╰── unknown
    4 │ stop = { signal = "TREM", grace = "10 s" }
      ╰────
     help: did you mean "async"?

     × `stop.signal` must be the name of a signal such as "TERM", not "TREM"
      ╭─[services.toml:4:19]
    3 │ durability = "sync"
    4 │ stop = { signal = "TREM", grace = "10 s" }
      ·                   ───┬──
      ·                      ╰── unknown
    5 │ env = { A = 1, B = true, C = "x", "D=" = "x" }
      ╰────
     help: did you mean "TERM"?

     × `stop.grace` must be a duration such as "30s", not "10 s"
      ╭─[services.toml:4:35]
    3 │ durability = "sync"
    4 │ stop = { signal = "TREM", grace = "10 s" }
      ·                                   ───┬──
      ·                                      ╰── no duration
    5 │ env = { A = 1, B = true, C = "x", "D=" = "x" }
      ╰────
     help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

     × `env.A` must be a string, not an integer
      ╭─[services.toml:5:13]
    4 │ stop = { signal = "TREM", grace = "10 s" }
    5 │ env = { A = 1, B = true, C = "x", "D=" = "x" }
      ·             ┬
      ·             ╰── no string
    6 │ [services.a]
      ╰────
     help: write A = "1"

     × `env.B` must be a string, not a boolean
      ╭─[services.toml:5:20]
    4 │ stop = { signal = "TREM", grace = "10 s" }
    5 │ env = { A = 1, B = true, C = "x", "D=" = "x" }
      ·                    ──┬─
      ·                      ╰── no string
    6 │ [services.a]
      ╰────
     help: write B = "true"

     × `env.D=` cannot be the name of a variable
      ╭─[services.toml:5:42]
    4 │ stop = { signal = "TREM", grace = "10 s" }
    5 │ env = { A = 1, B = true, C = "x", "D=" = "x" }
      ·                                          ─┬─
      ·                                           ╰── this one
    6 │ [services.a]
      ╰────
    "#);
}

#[test]
fn what_is_not_built_yet() {
    insta::assert_snapshot!(errors(r#"
        [python.tools]
        requirements = "tools.txt"
        [gateway]
        listen = "0.0.0.0:8080"
        tls = { cert = "a.pem", key = "a.key" }
        tokens = "env:TOKENS"
        insecure = true
        [defaults]
        durability = "fsync"
        limits = { memory = "512M" }
        [services.a]
        threads = 2
        idempotent = true
        concurrency_key = 5
        on_nondeterminism = "retry"
        [services.legacy]
        server = "gunicorn"
        workers = 1
        worker_class = "sync"
        extra = ["--max-requests", "1000"]
        [services."a:balancer"]
        [schedule]
        nightly = { call = "report", cron = "0 3 * * *" }
    "#), @r#"
     × more than one Python environment (`[python.tools]`) is not built yet
      ╭─[services.toml:1:9]
    1 │ [python.tools]
      ·         ──┬──
      ·           ╰── not built yet
    2 │ requirements = "tools.txt"
      ╰────
     help: all services run in the environment of [python]

     × a non-loopback address needs `tokens`, which is not built yet
      ╭─[services.toml:4:10]
    3 │ [gateway]
    4 │ listen = "0.0.0.0:8080"
      ·          ───────┬──────
      ·                 ╰── not loopback
    5 │ tls = { cert = "a.pem", key = "a.key" }
      ╰────
     help: use "127.0.0.1:8080", with a reverse proxy that checks who calls in front of it

     × `tls` is not built yet
      ╭─[services.toml:5:1]
    4 │ listen = "0.0.0.0:8080"
    5 │ tls = { cert = "a.pem", key = "a.key" }
      · ─┬─
      ·  ╰── not built yet
    6 │ tokens = "env:TOKENS"
      ╰────
     help: remove it: the gateway speaks plain HTTP on loopback; let a reverse proxy in front speak
           TLS

     × `tokens` is not built yet
      ╭─[services.toml:6:1]
    5 │ tls = { cert = "a.pem", key = "a.key" }
    6 │ tokens = "env:TOKENS"
      · ───┬──
      ·    ╰── not built yet
    7 │ insecure = true
      ╰────
     help: remove it: the gateway listens on loopback only; let a reverse proxy in front check who
           calls

     × `insecure` is not built yet
      ╭─[services.toml:7:1]
    6 │ tokens = "env:TOKENS"
    7 │ insecure = true
      · ────┬───
      ·     ╰── not built yet
    8 │ [defaults]
      ╰────
     help: remove it: the gateway listens on loopback only

     × `durability = "fsync"` is not built yet
       ╭─[services.toml:9:14]
     8 │ [defaults]
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
    11 │ [services.a]
       ╰────
     help: remove it: set limits around msx itself, with ulimit or systemd

     × `on_nondeterminism` cannot be "retry"
       ╭─[services.toml:15:21]
    14 │ concurrency_key = 5
    15 │ on_nondeterminism = "retry"
       ·                     ───┬───
       ·                        ╰── unknown
    16 │ [services.legacy]
       ╰────
     help: write "fail", "pause"

     × `server = "gunicorn"` is not built yet
       ╭─[services.toml:17:10]
    16 │ [services.legacy]
    17 │ server = "gunicorn"
       ·          ─────┬────
       ·               ╰── not built yet
    18 │ workers = 1
       ╰────
     help: remove it: only decorated Python functions (`server = "native"`) are run so far

     × `workers` is not built yet
       ╭─[services.toml:18:1]
    17 │ server = "gunicorn"
    18 │ workers = 1
       · ───┬───
       ·    ╰── not built yet
    19 │ worker_class = "sync"
       ╰────
     help: use `instances`: the number of processes

     × `worker_class` is not built yet
       ╭─[services.toml:19:1]
    18 │ workers = 1
    19 │ worker_class = "sync"
       · ──────┬─────
       ·       ╰── not built yet
    20 │ extra = ["--max-requests", "1000"]
       ╰────
     help: remove it: only decorated Python functions (`server = "native"`) are run so far

     × `extra` is not built yet
       ╭─[services.toml:20:1]
    19 │ worker_class = "sync"
    20 │ extra = ["--max-requests", "1000"]
       · ──┬──
       ·   ╰── not built yet
    21 │ [services."a:balancer"]
       ╰────
     help: remove it: only decorated Python functions (`server = "native"`) are run so far

     × settings of `a:balancer`, a part of a service, are not built yet
       ╭─[services.toml:21:11]
    20 │ extra = ["--max-requests", "1000"]
    21 │ [services."a:balancer"]
       ·           ──────┬─────
       ·                 ╰── not built yet
    22 │ [schedule]
       ╰────
     help: remove this section: msx looks after these parts

     × `[schedule]` is not built yet
       ╭─[services.toml:22:2]
    21 │ [services."a:balancer"]
    22 │ [schedule]
       ·  ────┬───
       ·      ╰── not built yet
    23 │ nightly = { call = "report", cron = "0 3 * * *" }
       ╰────
     help: remove it: let cron or a systemd timer run `msx call`
    "#);
}

#[test]
fn modules_and_addresses() {
    insta::assert_snapshot!(errors(r#"
        [python]
        modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
        path = ["src", "src"]
        [gateway]
        listen = "127.0.0.1:8001"
        [defaults]
        listen = "127.0.0.1:8002"
        depends_on = ["a"]
        env_file = ".env"
        [services.a]
        listen = "127.0.0.1:8001"
        [services.b]
        listen = "localhost:8002"
        [services.c]
        listen = "[::1]"
        [services.d]
        listen = "[::]:8003"
        [services."msx.orchestrator"]
    "#), @r#"
     × `a` is listed twice in `modules`
      ╭─[services.toml:2:22]
    1 │ [python]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
      ·            ─┬─       ─┬─
      ·             │         ╰── again
      ·             ╰── first
    3 │ path = ["src", "src"]
      ╰────
     help: remove one of the two

     × the module name `msx` is reserved
      ╭─[services.toml:2:27]
    1 │ [python]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
      ·                           ──┬──
      ·                             ╰── reserved
    3 │ path = ["src", "src"]
      ╰────
     help: `msx` is the package that this module imports: give yours another name

     × `pkg/c.py` is a file, not the name of a module
      ╭─[services.toml:2:34]
    1 │ [python]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
      ·                                  ─────┬────
      ·                                       ╰── a file
    3 │ path = ["src", "src"]
      ╰────
     help: write "pkg.c", and in `path` the folder it is in

     × `1d` is not the name of a Python module
      ╭─[services.toml:2:46]
    1 │ [python]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
      ·                                              ──┬─
      ·                                                ╰── no module name
    3 │ path = ["src", "src"]
      ╰────
     help: write it as in an import statement, such as "a" or "package.a"

     × `e-f` is not the name of a Python module
      ╭─[services.toml:2:52]
    1 │ [python]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
      ·                                                    ──┬──
      ·                                                      ╰── no module name
    3 │ path = ["src", "src"]
      ╰────
     help: write it as in an import statement, such as "a" or "package.a"

     × `src` is listed twice in `path`
      ╭─[services.toml:3:16]
    2 │ modules = ["a", "b", "a", "msx", "pkg/c.py", "1d", "e-f"]
    3 │ path = ["src", "src"]
      ·         ──┬──  ──┬──
      ·           │      ╰── again
      ·           ╰── first
    4 │ [gateway]
      ╰────
     help: remove one of the two

     × `listen` cannot stand in [defaults]: an address belongs to one service
      ╭─[services.toml:7:1]
    6 │ [defaults]
    7 │ listen = "127.0.0.1:8002"
      · ───┬──
      ·    ╰── not here
    8 │ depends_on = ["a"]
      ╰────
     help: write it in [services.NAME]

     × `depends_on` cannot stand in [defaults]: what a service needs is its own
      ╭─[services.toml:8:1]
    7 │ listen = "127.0.0.1:8002"
    8 │ depends_on = ["a"]
      · ─────┬────
      ·      ╰── not here
    9 │ env_file = ".env"
      ╰────
     help: write it in [services.NAME]

     × `env_file` cannot stand in [defaults]: such a file belongs to one service
       ╭─[services.toml:9:1]
     8 │ depends_on = ["a"]
     9 │ env_file = ".env"
       · ────┬───
       ·     ╰── not here
    10 │ [services.a]
       ╰────
     help: write it in [services.NAME]

     × `listen = "127.0.0.1:8001"` stands twice
       ╭─[services.toml:11:1]
     4 │ [gateway]
     5 │ listen = "127.0.0.1:8001"
       · ───┬──
       ·    ╰── first
     6 │ [defaults]
     7 │ listen = "127.0.0.1:8002"
     8 │ depends_on = ["a"]
     9 │ env_file = ".env"
    10 │ [services.a]
    11 │ listen = "127.0.0.1:8001"
       · ───┬──
       ·    ╰── again
    12 │ [services.b]
       ╰────
     help: give each its own port

     × `listen` must be an address with its port such as "127.0.0.1:8080", not "localhost:8002"
       ╭─[services.toml:13:10]
    12 │ [services.b]
    13 │ listen = "localhost:8002"
       ·          ────────┬───────
       ·                  ╰── no address
    14 │ [services.c]
       ╰────
     help: write "127.0.0.1:8002"

     × `listen` must be an address with its port such as "127.0.0.1:8080", not "[::1]"
       ╭─[services.toml:15:10]
    14 │ [services.c]
    15 │ listen = "[::1]"
       ·          ───┬───
       ·             ╰── no address
    16 │ [services.d]
       ╰────

     × a non-loopback address needs `tokens`, which is not built yet
       ╭─[services.toml:17:10]
    16 │ [services.d]
    17 │ listen = "[::]:8003"
       ·          ─────┬─────
       ·               ╰── not loopback
    18 │ [services."msx.orchestrator"]
       ╰────
     help: use "127.0.0.1:8003", with a reverse proxy that checks who calls in front of it

     × `msx.orchestrator` is a part of msx and has no settings
       ╭─[services.toml:18:11]
    17 │ listen = "[::]:8003"
    18 │ [services."msx.orchestrator"]
       ·           ─────────┬────────
       ·                    ╰── reserved
    19 │
       ╰────
     help: remove this section
    "#);
}

#[test]
fn addresses_that_are_fine() {
    let text = r#"
        [gateway]
        listen = "127.0.0.1:0"
        [services.a]
        listen = "127.0.0.1:0"
        [services.b]
        listen = "[::1]:8001"
    "#;
    assert_eq!(errors(text), "no error");
}

#[test]
fn names_of_services() {
    let found = [def("a.a"), def("b.b"), def("m.twice"), def("n.twice")];
    insta::assert_snapshot!(errors_with(r#"
        [services.aa]
        threads = 2
        [services.something]
        threads = 2
        [services.twice]
        threads = 2
        [services."m.twice"]
        depends_on = ["bb", "twice"]
        [services.b]
        threads = 2
        [services."b.b"]
        threads = 2
    "#, Some(&found)), @r#"
     × no service `aa` was found
      ╭─[services.toml:1:11]
    1 │ [services.aa]
      ·           ─┬
      ·            ╰── unknown
    2 │ threads = 2
      ╰────
     help: did you mean `a`? The services are `a.a`, `b.b`, `m.twice`, `n.twice`

     × no service `something` was found
      ╭─[services.toml:3:11]
    2 │ threads = 2
    3 │ [services.something]
      ·           ────┬────
      ·               ╰── unknown
    4 │ threads = 2
      ╰────
     help: the services are `a.a`, `b.b`, `m.twice`, `n.twice`

     × `twice` is ambiguous: it is the short name of `m.twice` and `n.twice`
      ╭─[services.toml:5:11]
    4 │ threads = 2
    5 │ [services.twice]
      ·           ──┬──
      ·             ╰── ambiguous
    6 │ threads = 2
      ╰────
     help: write the full name, in quotes

     × no service `bb` was found
      ╭─[services.toml:8:15]
    7 │ [services."m.twice"]
    8 │ depends_on = ["bb", "twice"]
      ·               ──┬─
      ·                 ╰── unknown
    9 │ [services.b]
      ╰────
     help: did you mean `b`? The services are `a.a`, `b.b`, `m.twice`, `n.twice`

     × `twice` is ambiguous: it is the short name of `m.twice` and `n.twice`
      ╭─[services.toml:8:21]
    7 │ [services."m.twice"]
    8 │ depends_on = ["bb", "twice"]
      ·                     ───┬───
      ·                        ╰── ambiguous
    9 │ [services.b]
      ╰────
     help: write the full name, in quotes

     × `b` and `b.b` are the same service
       ╭─[services.toml:11:11]
     8 │ depends_on = ["bb", "twice"]
     9 │ [services.b]
       ·           ┬
       ·           ╰── first
    10 │ threads = 2
    11 │ [services."b.b"]
       ·           ──┬──
       ·             ╰── again
    12 │ threads = 2
       ╰────
     help: write its settings in one section
    "#);
}

#[test]
fn settings_without_any_service() {
    insta::assert_snapshot!(errors_with("[services.a]", Some(&[])), @"
     × no service `a` was found
      ╭─[services.toml:1:11]
    1 │ [services.a]
      ·           ┬
      ·           ╰── unknown
      ╰────
     help: no service was found: check `modules` in [python]
    ");
}

#[test]
fn dependencies_in_a_circle() {
    let found = [def("m.a"), def("m.b"), def("m.c"), def("m.d")];
    insta::assert_snapshot!(errors_with(r#"
        [services.a]
        depends_on = ["b"]
        [services.b]
        depends_on = { c = "ready" }
        [services.c]
        depends_on = ["m.a"]
        [services.d]
        depends_on = ["d", "a"]
    "#, Some(&found)), @r#"
     × `depends_on` goes in a circle: m.a → m.b → m.c → m.a
      ╭─[services.toml:6:15]
    5 │ [services.c]
    6 │ depends_on = ["m.a"]
      ·               ──┬──
      ·                 ╰── closes the circle
    7 │ [services.d]
      ╰────
     help: remove one of these dependencies: calls need none, only the order of starting does

     × `depends_on` goes in a circle: m.d → m.d
      ╭─[services.toml:8:15]
    7 │ [services.d]
    8 │ depends_on = ["d", "a"]
      ·               ─┬─
      ·                ╰── closes the circle
    9 │
      ╰────
     help: remove one of these dependencies: calls need none, only the order of starting does
    "#);
}

#[test]
fn settings_for_the_other_kind() {
    let found = [
        def("m.plain"),
        async_def("m.event"),
        found("m.other", WorkerKind::Async, json!({"threads": 2})),
        found("m.last", WorkerKind::Def, json!({"concurrency": 2})),
    ];
    insta::assert_snapshot!(errors_with(r#"
        [defaults]
        threads = 4
        concurrency = 50
        [services.plain]
        concurrency = 2
        [services.event]
        threads = 2
    "#, Some(&found)), @"
     × `concurrency` does not apply to `m.plain`, which is `def`
      ╭─[services.toml:5:1]
    4 │ [services.plain]
    5 │ concurrency = 2
      · ─────┬─────
      ·      ╰── not for this service
    6 │ [services.event]
      ╰────
     help: use `threads`

     × `threads` does not apply to `m.event`, which is `async def`
      ╭─[services.toml:7:1]
    6 │ [services.event]
    7 │ threads = 2
      · ───┬───
      ·    ╰── not for this service
    8 │
      ╰────
     help: use `concurrency`

     × m.py:5: `threads` does not apply to `m.other`, which is `async def`
     help: use `concurrency`

     × m.py:5: `concurrency` does not apply to `m.last`, which is `def`
     help: use `threads`
    ");
}

#[test]
fn options_of_decorators() {
    let found = [
        found("m.a", WorkerKind::Def, json!({"thread": 2, "run_timeout": 30, "listen": "127.0.0.1:1"})),
        found("m.b", WorkerKind::Def, json!({"instances": 2, "max": 3, "queue": null, "startup": 3})),
        found("m.c", WorkerKind::Def, json!({"min": 5})),
        found("m.d", WorkerKind::Def, json!({"max": 18446744073709551615_u64, "scale": {"cpu": 1.5}})),
    ];
    insta::assert_snapshot!(errors_with(r#"
        [services.c]
        instances.max = 3
    "#, Some(&found)), @r#"
    × m.py:5: `listen` cannot stand in @microservice: an address belongs to one service
    help: write it in [services.NAME]

    × m.py:5: unknown option `thread` in @microservice
    help: did you mean `threads`?

    × m.py:5: `run_timeout` must be a duration such as "30s", not an integer
    help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

    × m.py:5: `instances` and `min` or `max` are both given
    help: give `instances`, or `min` and `max`

    × m.py:5: `queue` must be a table, not None
    help: write `queue = { … }` with `max` and `timeout`

    × m.py:5: `startup` is for services with a `command`
    help: remove it: a service is ready when its module is imported and its on_start hooks have run

    × m.py:5: `instances.min` is 5 and `instances.max` is 3 (less than `min`: services.toml:2)
    help: make `min` at most `max`

    × m.py:5: `instances.max` must be a whole number from 1 to 1024, not an integer beyond 64 bit

    × m.py:5: `scale.cpu` must be a number above 0 and up to 1.0, not 1.5
    "#);
}

#[test]
fn mistakes_in_overlays_name_their_file() {
    let sources = [
        Source { name: "base.toml", text: "[services.a]\nthreads = 0\nqueue.max = 0\n" },
        Source { name: "dev.toml", text: "[services.a]\nthreads = \"x\"\nretry = 3\n" },
    ];
    let problems = parse(&sources).expect_err("mistakes");
    insta::assert_snapshot!(problems.render(false, 100), @r#"
     × `queue.max` must be a whole number from 1 to 1000000, not 0
      ╭─[base.toml:3:13]
    2 │ threads = 0
    3 │ queue.max = 0
      ·             ┬
      ·             ╰── out of range
      ╰────

     × `threads` must be a whole number from 1 to 1024, not a string
      ╭─[dev.toml:2:11]
    1 │ [services.a]
    2 │ threads = "x"
      ·           ─┬─
      ·            ╰── wrong type
    3 │ retry = 3
      ╰────

     × unknown key `retry` in [services.a]
      ╭─[dev.toml:3:1]
    2 │ threads = "x"
    3 │ retry = 3
      · ──┬──
      ·   ╰── unknown
      ╰────
     help: did you mean `retries`?
    "#);
}

#[test]
fn mistakes_that_show_late() {
    let manifest = parse_text(
        r#"
        [python]
        interpreter = "python2"
        path = ["scr"]
        modules = ["a", "b"]
        [gateway]
        listen = "127.0.0.1:80"
        [services.b]
        listen = "127.0.0.1:81"
    "#,
    );
    let manifest = manifest.expect("no mistake");
    let mut problems = Diagnostics::default();
    for of in [
        Written::Interpreter,
        Written::Requirements,
        Written::Folder("scr"),
        Written::Module("b"),
        Written::Module("gone"),
        Written::Listen("127.0.0.1:80".parse().expect("an address")),
        Written::Listen("127.0.0.1:81".parse().expect("an address")),
    ] {
        problems.add(manifest.mistake(of, format!("{of:?} cannot be used"), "do this"));
    }
    insta::assert_snapshot!(problems.render(false, 100), @r#"
     × Interpreter cannot be used
      ╭─[services.toml:2:1]
    1 │ [python]
    2 │ interpreter = "python2"
      · ─────┬─────
      ·      ╰── this interpreter
    3 │ path = ["scr"]
      ╰────
     help: do this

     × Folder("scr") cannot be used
      ╭─[services.toml:3:9]
    2 │ interpreter = "python2"
    3 │ path = ["scr"]
      ·         ──┬──
      ·           ╰── this folder
    4 │ modules = ["a", "b"]
      ╰────
     help: do this

     × Module("b") cannot be used
      ╭─[services.toml:4:17]
    3 │ path = ["scr"]
    4 │ modules = ["a", "b"]
      ·                 ─┬─
      ·                  ╰── this module
    5 │ [gateway]
      ╰────
     help: do this

     × Listen(127.0.0.1:80) cannot be used
      ╭─[services.toml:6:1]
    5 │ [gateway]
    6 │ listen = "127.0.0.1:80"
      · ───┬──
      ·    ╰── this address
    7 │ [services.b]
      ╰────
     help: do this

     × Listen(127.0.0.1:81) cannot be used
      ╭─[services.toml:8:1]
    7 │ [services.b]
    8 │ listen = "127.0.0.1:81"
      · ───┬──
      ·    ╰── this address
    9 │
      ╰────
     help: do this

     × Requirements cannot be used
     help: do this

     × Module("gone") cannot be used
     help: do this
    "#);
}

#[test]
fn environment_files() {
    let manifest = parse_text("[services.a]\nenv_file = \".env\"\n[services.b]\nenv_file = \"none.env\"")
        .expect("no mistake");
    let read = |path: &Path| match path.ends_with(".env") {
        true => Ok("A=1\nB\n1C=2\nD=\"x\nE='x' y\n".to_owned()),
        false => no_files(path),
    };
    let problems = manifest.resolve(&[def("m.a"), def("m.b")], &base(), &read).expect_err("mistakes");
    insta::assert_snapshot!(problems.render(false, 100), @r#"
     × not a line of an environment file
      ╭─[.env:2:1]
    1 │ A=1
    2 │ B
      · ┬
      · ╰── this line
    3 │ 1C=2
      ╰────
     help: write NAME=value

     × not a line of an environment file
      ╭─[.env:3:1]
    2 │ B
    3 │ 1C=2
      · ──┬─
      ·   ╰── this line
    4 │ D="x
      ╰────
     help: a name has letters, digits and underscores only, and no digit first

     × not a line of an environment file
      ╭─[.env:4:1]
    3 │ 1C=2
    4 │ D="x
      · ──┬─
      ·   ╰── this line
    5 │ E='x' y
      ╰────
     help: close the quote on the same line

     × not a line of an environment file
      ╭─[.env:5:1]
    4 │ D="x
    5 │ E='x' y
      · ───┬───
      ·    ╰── this line
      ╰────
     help: nothing but a comment may follow the quote

     × cannot read the environment file none.env: entity not found
      ╭─[services.toml:4:1]
    3 │ [services.b]
    4 │ env_file = "none.env"
      · ────┬───
      ·     ╰── this file
      ╰────
     help: the path is relative to the manifest
    "#);
}

#[test]
fn colours_and_narrow_terminals() {
    let problems = parse_text("[defaults]\nstartup = 3").expect_err("a mistake");
    assert!(problems.render(true, 100).contains("\u{1b}["));
    insta::assert_snapshot!(problems.render(false, 40), @r"
     × `startup` is for services with a
     │ `command`
      ╭─[services.toml:2:1]
    1 │ [defaults]
    2 │ startup = 3
      · ───┬───
      ·    ╰── not here
      ╰────
     help: remove it: a service is ready
           when its module is imported
           and its on_start hooks have
           run
    ");
}
