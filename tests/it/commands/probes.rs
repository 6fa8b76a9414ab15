//! Probes: what they ask, and what follows from the answers.

use nix::sys::signal::Signal;

use super::{instance, project, wait_state};
use crate::faults::send;
use crate::support::hub::{Hub, wait_for};

#[test]
fn a_ready_probe_takes_an_instance_out_and_in_again() {
    let sandbox = project(
        "[services.web]\ncommand = [\"python3\", \"-m\", \"http.server\", \"$PORT\"]\n\
         ready = { http = \"/healthy\", interval = \"50ms\", failures = 2 }\n",
    )
    .file("healthy", "");
    let hub = Hub::up(&sandbox, &[]);
    std::fs::remove_file(sandbox.path("healthy")).unwrap();
    let web = wait_state(&hub, "web", "unready");
    let reason = web["reason"].as_str().unwrap();
    assert!(reason.starts_with("its ready probe fails: GET http://127.0.0.1:"), "{reason}");
    assert!(reason.ends_with("/healthy: HTTP/1.0 404 File not found"), "{reason}");
    std::fs::write(sandbox.path("healthy"), "").unwrap();
    let again = wait_state(&hub, "web", "ready");
    assert_eq!((&again["pid"], &again["restarts"]), (&web["pid"], &web["restarts"]));
}

#[test]
fn one_that_hangs_is_restarted_by_its_live_probe() {
    let sandbox = project(
        "[services.web]\ncommand = [\"python3\", \"-m\", \"http.server\", \"$PORT\"]\n\
         live = { http = \"/\", interval = \"100ms\", timeout = \"300ms\", failures = 2 }\n",
    );
    let hub = Hub::up(&sandbox, &[]);
    let pids = hub.pids("web");
    send(&pids, Signal::SIGSTOP);
    wait_for("another process", || hub.pids("web").first().filter(|pid| !pids.contains(pid)).copied());
    assert!(instance(&hub, "web")["restarts"].as_u64() >= Some(1));
}

#[test]
fn a_start_that_fails_its_probe_in_time_says_what_was_found() {
    let sandbox = project(
        "[services.web]\ncommand = [\"python3\", \"-m\", \"http.server\", \"$PORT\"]\n\
         startup = { http = \"/none\", timeout = \"2s\" }\n",
    );
    let output = sandbox.msx(&["up", "-d"]).output().unwrap();
    let hub = Hub { sandbox: &sandbox };
    assert!(output.status.success());
    // On a busy machine a start may not come as far as listening.
    wait_for("a start that came as far as its probe", || {
        let reason = instance(&hub, "web")["reason"].as_str()?.to_owned();
        let is_about_page = reason.contains("/none: HTTP/1.0 404 File not found (killed by SIGKILL)");
        (is_about_page && reason.starts_with("not started within 2 s: GET http://127.0.0.1:")).then_some(())
    });
}

#[test]
fn an_exec_probe_that_hangs_ends_with_its_attempt() {
    let script = "test -f fine && exit 0; echo $$ >> attempts; sleep 1000";
    let sandbox = project(&format!(
        "[services.db]\ncommand = [\"sleep\", \"1000\"]\n\
         ready = {{ exec = [\"sh\", \"-c\", {script:?}], timeout = \"200ms\", interval = \"50ms\", failures = 1 }}\n"
    ))
    .file("fine", "");
    let hub = Hub::up(&sandbox, &[]);
    std::fs::remove_file(sandbox.path("fine")).unwrap();
    let db = wait_state(&hub, "db", "unready");
    let reason = db["reason"].as_str().unwrap();
    assert!(reason.ends_with("no answer within 0.2 s"), "{reason}");
    let attempts = || -> Vec<i32> {
        let text = std::fs::read_to_string(sandbox.path("attempts")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    wait_for("some attempts", || (attempts().len() > 2).then_some(()));
    let first = attempts()[0];
    wait_for("the first one to be ended", || (!crate::support::hub::is_alive(first)).then_some(()));
    std::fs::write(sandbox.path("fine"), "").unwrap();
    wait_state(&hub, "db", "ready");
}

#[test]
fn a_tcp_probe_may_ask_a_port_that_the_program_has_by_itself() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = project(&format!(
        "[services.db]\ncommand = [\"python3\", \"-m\", \"http.server\", \"{port}\"]\nready = {{ tcp = {port} }}\n"
    ));
    let hub = Hub::up(&sandbox, &[]);
    assert!(instance(&hub, "db").get("upstream").is_none(), "msx hands it nothing");
}
