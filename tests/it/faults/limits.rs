//! What the machine has too little of: descriptors, and room for logs.

use std::os::unix::fs::symlink;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};

#[test]
fn a_low_soft_limit_of_descriptors_is_no_limit_of_instances() {
    let sandbox = Sandbox::project("counted").file("limit.py", LIMIT);
    sandbox.edit("services.toml", "\"counted\"", "\"counted\", \"limit\"");
    let hub = Hub { sandbox: &sandbox };
    let output = sandbox.shell("ulimit -Sn 64 && exec \"$MSX\" up -d --wait").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hub.call(&["limit"]), "64", "instances keep what the person gave");
    hub.msx(&["scale", "--force", "counted=16"]);
    assert_eq!(hub.pids("counted").len(), 16);
    hub.call(&["counted"]);
}

const LIMIT: &str = "\
import resource
from msx import microservice

@microservice
def limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
";

const CHATTY: &str = "\
from msx import microservice

@microservice
def chatty(text: str):
    print(text)
";

#[test]
fn a_full_disk_costs_log_lines_and_nothing_else() {
    let manifest = "[python]\nmodules = [\"chatty\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n";
    let sandbox = Sandbox::with_manifest(manifest).file("chatty.py", CHATTY);
    let segment = sandbox.path(".msx/logs/chatty.chatty/000001.log");
    std::fs::create_dir_all(segment.parent().unwrap()).unwrap();
    symlink("/dev/full", &segment).unwrap();
    let hub = Hub::up(&sandbox, &[]);
    for _ in 0..20 {
        hub.call(&["chatty", "lost"]);
    }
    std::fs::remove_file(&segment).unwrap();
    let logs = wait_for("a line that is kept", || {
        hub.call(&["chatty", "kept"]);
        Some(hub.msx(&["logs", "chatty"])).filter(|logs| logs.contains("| kept"))
    });
    // The last ones may still have been on their way when there was room again.
    let kept = logs.lines().filter(|line| line.ends_with("| lost")).count();
    let told = format!("{} lines were dropped: No space left on device", 20 - kept);
    assert!(kept < 20 && logs.contains(&told), "{logs}");
}
