//! What starts after what.

use super::{get, instance, project, upstream, wait_state};
use crate::support::hub::Hub;

const MIGRATED: &str = r#"
[services.web]
command = ["sh", "-c", "test -f migrated && exec python3 -m http.server $PORT"]
depends_on = { migrate = "completed" }

[services.migrate]
command = ["sh", "-c", "test -f allowed && touch migrated && echo migrated"]
oneshot = true
"#;

#[test]
fn a_web_server_starts_behind_its_migration() {
    let sandbox = project(MIGRATED).file("allowed", "");
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(get(&upstream(&instance(&hub, "web")), "/migrated").status, 200);
    assert_eq!(instance(&hub, "web")["restarts"], 0);
    assert_eq!(instance(&hub, "migrate")["state"], "completed");
    assert!(hub.msx(&["logs", "migrate"]).contains("migrate-1 | migrated"));
}

#[test]
fn a_migration_that_fails_holds_the_web_server_up_until_it_is_run_again() {
    let sandbox = project(MIGRATED);
    let output = sandbox.msx(&["up", "-d", "--wait"]).output().unwrap();
    let hub = Hub { sandbox: &sandbox };
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("error: migrate failed, and is not started again by itself"), "{error}");
    assert_eq!(hub.service("web")["instances"], serde_json::json!([]));
    std::fs::write(sandbox.path("allowed"), "").unwrap();
    hub.msx(&["restart", "migrate"]);
    wait_state(&hub, "web", "ready");
}

#[test]
fn functions_may_wait_for_programs() {
    let sandbox = project(
        "[python]\nmodules = [\"one\"]\n\
         [services.one]\ndepends_on = { db = \"ready\" }\n\
         [services.db]\ncommand = [\"sh\", \"-c\", \"sleep 0.3; touch there; echo open; sleep 1000\"]\n\
         ready = { log = \"open\" }\n",
    )
    .file("one.py", "from pathlib import Path\nfrom msx import microservice\n\nWAS_THERE = Path('there').exists()\n\n@microservice\ndef one():\n    return WAS_THERE\n");
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(hub.call(&["one"]), "true");
}

#[test]
fn services_stop_before_what_they_depend_on() {
    let say = |name: &str| format!("trap 'echo {name} >> ends; exit' TERM; while :; do sleep 0.05; done");
    let sandbox = project(&format!(
        "[services.web]\ncommand = [\"sh\", \"-c\", {:?}]\ndepends_on = [\"db\"]\n[services.db]\ncommand = [\"sh\", \"-c\", {:?}]\n",
        say("web"),
        say("db")
    ));
    let hub = Hub::up(&sandbox, &[]);
    hub.msx(&["down"]);
    assert_eq!(std::fs::read_to_string(sandbox.path("ends")).unwrap(), "web\ndb\n");
}
