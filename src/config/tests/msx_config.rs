//! `msx config`.

use crate::config::service::Resolved;
use serde_json::json;

use super::*;

const MANIFEST: &str = r#"
    [project]
    name = "pipeline"
    [python]
    path = ["examples"]
    modules = ["a", "b"]
    [defaults]
    threads = 3
    env = { LEVEL = "info", API_TOKEN = "abc" }
    [services."m.a"]
    instances = { max = 4 }
    depends_on = ["b"]
    env = { LEVEL = "debug" }
    env_file = ".env"
    listen = "127.0.0.1:8001"
"#;

fn services(manifest: &Manifest) -> Vec<Resolved> {
    let found = [def("m.a"), found("m.b", WorkerKind::Async, json!({"max": 2, "run_timeout": "1m"}))];
    manifest.resolve_settings(&found, &base()).expect("no mistake")
}

#[test]
fn settings_with_their_places() {
    let manifest = parse_text(MANIFEST).expect("no mistake");
    insta::assert_snapshot!(render::toml(&manifest, Some(&services(&manifest))), @r#"
    [project]
    name = "pipeline"  # services.toml:2

    [python]
    path = ["examples"]   # services.toml:4
    modules = ["a", "b"]  # services.toml:5

    [services."m.a"]
    server = "native"           # default
    threads = 3                 # services.toml:7
    instances.min = 1           # default
    instances.max = 4           # services.toml:10
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
    listen = "127.0.0.1:8001"   # services.toml:14
    depends_on = ["m.b"]        # services.toml:11
    env.API_TOKEN = "***"       # services.toml:8
    env.LEVEL = "debug"         # services.toml:12
    env_file = ".env"           # services.toml:13
    cwd = "."                   # default
    stop.signal = "TERM"        # default
    stop.grace = "10s"          # default

    [services."m.b"]
    server = "native"           # default
    concurrency = 100           # default
    instances.min = 1           # default
    instances.max = 2           # @microservice at m.py:5
    scale.utilization = 0.7     # default
    scale.cpu = 0.8             # default
    scale.machine = 0.9         # default
    scale.down_after = "60s"    # default
    max_parked = 256            # default
    queue.max = 1024            # default
    queue.timeout = "10s"       # default
    run_timeout = "60s"         # @microservice at m.py:5
    retries.max = 0             # default
    retries.backoff = "100ms"   # default
    idempotent = false          # default
    on_nondeterminism = "fail"  # default
    durability = "none"         # default
    expose = true               # default
    env.API_TOKEN = "***"       # services.toml:8
    env.LEVEL = "info"          # services.toml:8
    cwd = "."                   # default
    stop.signal = "TERM"        # default
    stop.grace = "10s"          # default
    "#);
}

#[test]
fn without_services_what_was_written() {
    let manifest = parse_text(MANIFEST).expect("no mistake");
    insta::assert_snapshot!(render::toml(&manifest, None), @r#"
    [project]
    name = "pipeline"  # services.toml:2

    [python]
    path = ["examples"]   # services.toml:4
    modules = ["a", "b"]  # services.toml:5

    [defaults]
    threads = 3            # services.toml:7
    env.API_TOKEN = "***"  # services.toml:8
    env.LEVEL = "info"     # services.toml:8

    [services."m.a"]
    instances.max = 4          # services.toml:10
    listen = "127.0.0.1:8001"  # services.toml:14
    depends_on = ["b"]         # services.toml:11
    env.LEVEL = "debug"        # services.toml:12
    env_file = ".env"          # services.toml:13
    "#);
    assert_eq!(render::toml(&Manifest::default_for("x"), None), "[project]\nname = \"x\"  # default\n");
}

#[test]
fn json_says_the_same() {
    let manifest = parse_text(MANIFEST).expect("no mistake");
    let json = render::json(&manifest, Some(&services(&manifest)));
    assert_eq!(json["services"]["m.a"]["threads"], json!({"value": 3, "from": "services.toml:7"}));
    assert_eq!(
        json["services"]["m.b"]["instances"]["max"],
        json!({"value": 2, "from": "@microservice at m.py:5"})
    );
    assert_eq!(
        json["services"]["m.b"]["env"]["API_TOKEN"],
        json!({"value": "***", "from": "services.toml:8"})
    );
    assert_eq!(json["services"]["m.b"]["threads"], json!(null));
    assert_eq!(json["python"]["modules"], json!({"value": ["a", "b"], "from": "services.toml:5"}));
}

#[test]
fn what_is_shown_is_a_manifest_that_says_the_same() {
    let text = MANIFEST.replace("API_TOKEN", "API").replace("env_file", "#");
    let manifest = parse_text(&text).expect("no mistake");
    let shown = render::toml(&manifest, Some(&services(&manifest)));
    let again = parse(&[Source { name: "shown.toml", text: &shown }]).expect("a manifest without mistakes");
    let found = [def("m.a"), async_def("m.b")];
    let [first, second] = [&manifest, &again].map(|manifest| {
        let found =
            [def("m.a"), super::found("m.b", WorkerKind::Async, json!({"max": 2, "run_timeout": "1m"}))];
        manifest.resolve(&found, &base(), &no_files).expect("no mistake")
    });
    assert_eq!(first, second);
    assert_eq!(first, again.resolve(&found, &base(), &no_files).expect("no mistake"));
}

#[test]
fn the_section_of_node_is_shown_where_it_names_modules() {
    let manifest =
        parse_text("[node]\nmodules = [\"services/prices.mjs\", \"tax.ts\"]\n").expect("no mistake");
    insta::assert_snapshot!(render::toml(&manifest, Some(&[])), @r#"
    [node]
    modules = ["services/prices.mjs", "tax.ts"]  # services.toml:2
    "#);
    let without = render::toml(&parse_text("").expect("no mistake"), Some(&[]));
    assert!(!without.contains("[node]"), "{without}");
}
