//! A running hub, and the ways tests talk to it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Sandbox;

/// Longest wait of a test for anything; only a defect or a very busy machine comes near it.
pub const BOUND: Duration = Duration::from_secs(60);

/// Polls until `look` finds something. Panics with `what` when the bound has passed.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {BOUND:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The hub of a sandbox. When it goes, so does everything it started; what is left then fails the test.
pub struct Hub<'a> {
    pub sandbox: &'a Sandbox,
}

impl<'a> Hub<'a> {
    /// `msx up -d --wait` and these arguments.
    pub fn up(sandbox: &'a Sandbox, args: &[&str]) -> Self {
        Self::up_with(sandbox, args, &[])
    }

    /// The same with more environment.
    pub fn up_with(sandbox: &'a Sandbox, args: &[&str], env: &[(&str, &str)]) -> Self {
        let all: Vec<&str> = ["up", "-d", "--wait"].iter().chain(args).copied().collect();
        let output = sandbox.msx(&all).envs(env.iter().copied()).output().unwrap();
        // Made first, so that a hub that came up only in part is ended too.
        let hub = Self { sandbox };
        assert!(output.status.success(), "msx up failed:\n{}", String::from_utf8_lossy(&output.stderr));
        hub
    }

    /// Standard output of an msx that must succeed, without the last line break.
    pub fn msx(&self, args: &[&str]) -> String {
        let output = self.sandbox.msx(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "msx {args:?} failed ({}):\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `msx call` that must succeed.
    pub fn call(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["call"].iter().chain(args).copied().collect();
        self.msx(&all)
    }

    /// Exit code and standard error of an `msx call` that must fail.
    pub fn call_fails(&self, args: &[&str]) -> (i32, String) {
        let all: Vec<&str> = ["call"].iter().chain(args).copied().collect();
        let output = self.sandbox.msx(&all).output().unwrap();
        assert!(!output.status.success(), "msx call {args:?} succeeded");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// `msx ps --json`
    pub fn ps(&self) -> Value {
        serde_json::from_str(&self.msx(&["ps", "--json"])).unwrap()
    }

    /// One service of `msx ps --json`, by its canonical name or alias.
    pub fn service(&self, name: &str) -> Value {
        let ps = self.ps();
        let mut services = ps["services"].as_array().unwrap().iter();
        services
            .find(|s| s["alias"] == name || s["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
            .clone()
    }

    /// Process ids of a service's instances that are ready.
    pub fn pids(&self, name: &str) -> Vec<i32> {
        let service = self.service(name);
        let ready = service["instances"].as_array().unwrap().iter().filter(|i| i["state"] == "ready");
        // On a busy machine one can be ready before the guard's word of its start has come.
        ready.filter_map(|i| i["pid"].as_i64()).map(|pid| pid as i32).collect()
    }

    pub fn pid(&self) -> i32 {
        self.ps()["hub"]["pid"].as_i64().unwrap() as i32
    }

    /// `http://127.0.0.1:PORT`
    pub fn gateway(&self) -> String {
        self.ps()["hub"]["gateway"].as_str().unwrap().trim_end_matches('/').to_owned()
    }
}

impl Drop for Hub<'_> {
    fn drop(&mut self) {
        // A test may have ended the hub already; then this says so, and there is nothing to do.
        let _ = self.sandbox.msx(&["down"]).output();
        let root = self.sandbox.root();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !marked(&root).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let left = marked(&root);
        for pid in &left {
            kill(*pid, 9);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes {left:?} are left");
        }
    }
}

/// Processes that carry the mark of this project: hub, guard, instances and all they started.
pub fn marked(root: &std::path::Path) -> BTreeSet<i32> {
    let mark = format!("MSX_PROJECT={}", root.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_marked = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    pids.filter(is_marked).collect()
}

/// Sends a signal; a process that is gone already is fine.
pub fn kill(pid: i32, signal: i32) {
    let _ = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).output();
}

/// Whether a process lives (a zombie does not).
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X'])) && !stat.is_empty()
}
