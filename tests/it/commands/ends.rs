//! How programs end, and what follows.

use super::{instance, project, wait_state};
use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};

fn shell(name: &str, script: &str, more: &str) -> String {
    format!("[services.{name}]\ncommand = [\"sh\", \"-c\", {script:?}]\n{more}\n")
}

/// A hub whose services need not be ready.
fn up(sandbox: &Sandbox) -> Hub<'_> {
    let output = sandbox.msx(&["up", "-d"]).output().unwrap();
    let hub = Hub { sandbox };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the hub to know its services", || {
        let ps = sandbox.msx(&["ps", "--json"]).output().unwrap();
        ps.status.success().then_some(())
    });
    hub
}

#[test]
fn one_that_dies_at_once_is_in_a_crash_loop_with_its_last_lines() {
    let sandbox = project(&shell("bad", "echo about to fail; echo no config >&2; exit 3", ""));
    let hub = up(&sandbox);
    let bad = wait_state(&hub, "bad", "crashloop");
    let reason = bad["reason"].as_str().unwrap();
    assert!(reason.starts_with("exit status 3\n"), "{reason}");
    assert!(reason.contains("about to fail") && reason.contains("no config"), "{reason}");
    assert!(hub.msx(&["ps"]).contains("no config"));
}

#[test]
fn a_program_that_is_not_there_says_so() {
    let sandbox = project("[services.bad]\ncommand = [\"no-such-program\", \"$PORT\"]\n");
    let hub = up(&sandbox);
    let bad = wait_state(&hub, "bad", "crashloop");
    assert_eq!(bad["reason"], "cannot start no-such-program: exec: No such file or directory (os error 2)");
}

#[test]
fn a_worker_loop_is_supervised_and_has_no_address() {
    let sandbox = project(&shell("tick", "while :; do echo tick; sleep 0.1; done", ""));
    let hub = Hub::up(&sandbox, &[]);
    wait_for("a line", || hub.msx(&["logs", "tick"]).contains("tick-1 | tick").then_some(()));
    let tick = hub.service("tick");
    assert_eq!((tick["address"].as_str(), tick["max"].as_u64()), (Some(""), Some(1)));
    assert!(tick["instances"][0].get("upstream").is_none());
    hub.msx(&["restart", "tick"]);
    assert_eq!(wait_state(&hub, "tick", "ready")["restarts"], 0);
}

#[test]
fn restart_decides_what_follows_an_end() {
    let sandbox = project(&format!(
        "{}{}{}",
        shell("done", "exit 0", "restart = \"on-failure\""),
        shell("failed", "echo why; exit 1", "restart = \"never\""),
        shell("again", "exit 0", ""),
    ));
    let hub = up(&sandbox);
    assert_eq!(wait_state(&hub, "done", "completed")["pid"], serde_json::Value::Null);
    assert_eq!(wait_state(&hub, "failed", "failed")["reason"], "exit status 1\nwhy");
    wait_for("restarts", || instance(&hub, "again")["restarts"].as_u64().filter(|restarts| *restarts > 1));
    let told = |name| hub.msx(&["events", "--service", name]);
    assert!(told("done").contains("completed    exit status 0; not started again"), "{}", told("done"));
    assert!(told("failed").contains("failed       exit status 1; not started again"), "{}", told("failed"));
    assert!(told("again").contains("exited       exit status 0; started again in "), "{}", told("again"));
}
