//! Which value counts when several places name one, and what the specs become.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;

fn specs(text: &str, found: &[Found]) -> Vec<spec::ServiceSpec> {
    let manifest = parse_text(text).expect("a manifest without mistakes");
    manifest.resolve(found, &base(), &no_files).expect("settings without mistakes")
}

#[test]
fn defaults_are_those_of_the_design() {
    let specs = specs("", &[def("pkg.a.a"), async_def("b.b")]);
    insta::assert_debug_snapshot!(specs[0], @r#"
    ServiceSpec {
        name: pkg.a.a,
        program: Function {
            language: Python,
            module: "pkg.a",
        },
        slots: 2,
        max_parked: 256,
        instances: InstanceRange {
            min: 1,
            max: 8,
        },
        scale: ScalePolicy {
            utilization: 0.7,
            cpu: 0.8,
            machine: 0.9,
            down_after: 60s,
            idle_to_zero: None,
        },
        queue: QueuePolicy {
            max: 1024,
            timeout: 10s,
        },
        run_timeout: 30s,
        retries: RetryPolicy {
            max: 0,
            backoff: 100ms,
        },
        idempotent: false,
        concurrency_key: None,
        batch: None,
        on_nondeterminism: Fail,
        expose: true,
        listen: None,
        depends_on: [],
        env: {},
        cwd: "/project",
        watch: [],
        stop: StopPolicy {
            signal: 15,
            grace: 10s,
        },
    }
    "#);
    assert_eq!(specs[1].slots, 100);
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let in_defaults = "[defaults]\nthreads = 3\n";
    let in_service = "[services.a]\nthreads = 5\n";
    let decorator = json!({"threads": 4});
    for (manifest, options, threads, place) in [
        ("", json!({}), 2, "default"),
        (in_defaults, json!({}), 3, "services.toml:2"),
        ("", decorator.clone(), 4, "@microservice at m.py:5"),
        (in_defaults, decorator.clone(), 4, "@microservice at m.py:5"),
        (in_service, json!({}), 5, "services.toml:2"),
        (&format!("{in_defaults}{in_service}"), json!({}), 5, "services.toml:4"),
        (&format!("{in_defaults}{in_service}"), decorator, 5, "services.toml:4"),
    ] {
        let manifest = parse_text(manifest).expect("a manifest without mistakes");
        let services = [found("m.a", WorkerKind::Def, options)];
        let resolved = manifest.resolve_settings(&services, &base()).expect("settings without mistakes");
        let setting = &resolved[0].settings.threads;
        assert_eq!((setting.value, setting.place.to_string().as_str()), (threads, place));
    }
}

#[test]
fn tables_are_laid_key_by_key() {
    let text = r#"
        [defaults]
        scale = { cpu = 0.5, machine = 1 }
        env = { A = "defaults", B = "defaults" }
        [services.a]
        scale.cpu = 0.6
        env = { B = "service", C = "service" }
    "#;
    let options = json!({"scale": {"utilization": 0.9, "cpu": 0.55}, "env": {"A": "decorator"}});
    let spec = &specs(text, &[found("m.a", WorkerKind::Def, options)])[0];
    assert_eq!((spec.scale.cpu, spec.scale.machine, spec.scale.utilization), (0.6, 1.0, 0.9));
    let env = [("A", "decorator"), ("B", "service"), ("C", "service")];
    assert_eq!(spec.env, env.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn overlays_win_key_by_key() {
    let base_text = "[project]\nname = \"p\"\n[services.a]\nthreads = 3\nqueue = { max = 5, timeout = \"1s\" }\nwatch = [\"x\"]\ninstances = 3\n";
    let dev_text = "[services.a]\nqueue.max = 6\nwatch = [\"y\", \"/z\"]\ninstances = { max = 4 }\n";
    let sources =
        [Source { name: "base.toml", text: base_text }, Source { name: "dev.toml", text: dev_text }];
    let manifest = parse(&sources).expect("a manifest without mistakes");
    assert_eq!(manifest.project.name.as_deref(), Some("p"));
    let specs = manifest.resolve(&[def("m.a")], &base(), &no_files).expect("settings without mistakes");
    assert_eq!(specs[0].slots, 3);
    assert_eq!(specs[0].queue, spec::QueuePolicy { max: 6, timeout: Duration::from_secs(1) });
    assert_eq!(specs[0].watch, [PathBuf::from("/project/y"), PathBuf::from("/z")]);
    assert_eq!(specs[0].instances, spec::InstanceRange { min: 1, max: 4 });
}

#[test]
fn ways_to_say_how_many_instances() {
    for (text, options, min, max) in [
        ("", json!({}), 1, 8),
        ("[services.a]\ninstances = 3", json!({}), 3, 3),
        ("[services.a]\ninstances = { max = 3 }", json!({}), 1, 3),
        ("[services.a]\ninstances.min = 0", json!({}), 0, 8),
        ("[services.a]\ninstances.min = 12", json!({}), 12, 12),
        ("", json!({"max": 3}), 1, 3),
        ("", json!({"min": 2, "max": 3}), 2, 3),
        ("", json!({"instances": {"min": 2}}), 2, 8),
        ("", json!({"instances": 2}), 2, 2),
        ("[services.a]\ninstances.max = 4", json!({"instances": 2}), 2, 4),
        ("[services.a]\ninstances = 4", json!({"max": 2}), 4, 4),
        ("[defaults]\ninstances = 4", json!({}), 4, 4),
    ] {
        let spec = &specs(text, &[found("m.a", WorkerKind::Def, options.clone())])[0];
        assert_eq!(spec.instances, spec::InstanceRange { min, max }, "{text} {options}");
    }
}

#[test]
fn every_setting_reaches_the_spec() {
    let text = r#"
        [services."pkg.m.a"]
        server = "native"
        threads = 8
        instances = { min = 2, max = 4 }
        scale = { utilization = 0.5, cpu = 0.6, machine = 1.0, down_after = "2m", idle_to_zero = "5m" }
        max_parked = 2
        queue = { max = 7, timeout = "1m30s" }
        run_timeout = "100ms"
        retries = { max = 5, backoff = "1s" }
        idempotent = true
        concurrency_key = 3
        batch = 8
        within = "5ms"
        on_nondeterminism = "pause"
        durability = "none"
        expose = false
        listen = "127.0.0.1:8001"
        depends_on = { b = "ready" }
        env = { LEVEL = "info" }
        cwd = "./work/."
        watch = ["./src", "lib"]
        stop = { signal = "SIGINT", grace = "0s" }
    "#;
    insta::assert_debug_snapshot!(specs(text, &[found("pkg.m.a", WorkerKind::Def, json!({"batch": 2})), def("pkg.b")])[0], @r#"
    ServiceSpec {
        name: pkg.m.a,
        program: Function {
            language: Python,
            module: "pkg.m",
        },
        slots: 8,
        max_parked: 2,
        instances: InstanceRange {
            min: 2,
            max: 4,
        },
        scale: ScalePolicy {
            utilization: 0.5,
            cpu: 0.6,
            machine: 1.0,
            down_after: 120s,
            idle_to_zero: Some(
                300s,
            ),
        },
        queue: QueuePolicy {
            max: 7,
            timeout: 90s,
        },
        run_timeout: 100ms,
        retries: RetryPolicy {
            max: 5,
            backoff: 1s,
        },
        idempotent: true,
        concurrency_key: Some(
            3,
        ),
        batch: Some(
            BatchPolicy {
                size: 8,
                within: 5ms,
            },
        ),
        on_nondeterminism: Pause,
        expose: false,
        listen: Some(
            127.0.0.1:8001,
        ),
        depends_on: [
            Dependency {
                service: "pkg.b",
                until: Ready,
            },
        ],
        env: {
            "LEVEL": "info",
        },
        cwd: "/project/work",
        watch: [
            "/project/src",
            "/project/lib",
        ],
        stop: StopPolicy {
            signal: 2,
            grace: 0ns,
        },
    }
    "#);
}

#[test]
fn an_idempotent_service_is_tried_again_three_times_unless_it_says_otherwise() {
    for (text, max) in [
        ("", 0),
        ("[defaults]\nidempotent = true", 3),
        ("[services.a]\nidempotent = true\nretries = 0", 0),
        ("[services.a]\nidempotent = true\nretries.backoff = \"1s\"", 3),
        ("[services.a]\nretries = 7", 7),
    ] {
        assert_eq!(specs(text, &[def("m.a")])[0].retries.max, max, "{text}");
    }
}

#[test]
fn env_goes_before_env_file() {
    let manifest =
        parse_text("[services.a]\nenv_file = \"conf/.env\"\nenv = { A = \"manifest\" }").expect("no mistake");
    let read = |path: &Path| match path == Path::new("/project/conf/.env") {
        true => Ok("A=file\nB=file\n".to_owned()),
        false => no_files(path),
    };
    let specs = manifest.resolve(&[def("m.a"), def("m.b")], &base(), &read).expect("no mistake");
    let env = [("A", "manifest"), ("B", "file")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(specs[0].env, env.into());
    assert_eq!(specs[1].env, BTreeMap::new());
}

#[test]
fn a_dependency_becomes_the_canonical_name() {
    let specs = specs("[services.a]\ndepends_on = [\"b\", \"n.c\"]", &[def("m.a"), def("m.b"), def("n.c")]);
    let needed: Vec<&str> = specs[0].depends_on.iter().map(|needed| needed.service.as_str()).collect();
    assert_eq!(needed, ["m.b", "n.c"]);
}

#[test]
fn no_manifest_is_a_project_too() {
    let manifest = Manifest::default_for("pipeline");
    assert_eq!(manifest.project.name.as_deref(), Some("pipeline"));
    assert!(manifest.gateway.listen.is_none() && manifest.python.modules.is_empty());
    assert_eq!(manifest.resolve(&[def("m.a")], &base(), &no_files).expect("no mistake").len(), 1);
}

#[test]
fn python_and_gateway_are_read() {
    let text = r#"
        [python]
        requirements = "requirements.txt"
        interpreter = ".venv/bin/python"
        path = ["src"]
        modules = ["a", "pkg.b", "größe"]
        [gateway]
        listen = "127.0.0.1:8080"
    "#;
    let manifest = parse_text(text).expect("no mistake");
    assert_eq!(manifest.python.requirements.as_deref(), Some("requirements.txt"));
    assert_eq!(manifest.python.interpreter.as_deref(), Some(".venv/bin/python"));
    let modules: Vec<&str> = manifest.python.modules.iter().map(|module| module.as_str()).collect();
    assert_eq!(modules, ["a", "pkg.b", "größe"]);
    assert_eq!(manifest.python.path[0].place.to_string(), "services.toml:4");
    assert_eq!(manifest.gateway.listen.map(|address| address.port()), Some(8080));
}
