//! What a call means, shown on real processes.
//!
//! The functions are those of `projects/`: each test starts a hub for one of these projects, and checks many things
//! there, because a hub takes longer to start than most of them take.

mod ahead;
mod batches;
mod callers;
mod edges;
mod fans;
mod fib;
mod gates;
mod limits;
mod load;
mod options;
mod paused;
mod seeing;
mod streams;
mod trees;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::hub::Hub;

/// A running project, and what the checks ask of it.
pub struct Project<'a> {
    pub hub: Hub<'a>,
    pub sandbox: &'a Sandbox,
    /// Under `MSX_REPLAY=always`: whenever a call waits, it is evicted and later run again.
    pub replays: bool,
}

impl<'a> Project<'a> {
    pub fn up(sandbox: &'a Sandbox) -> Self {
        Self { hub: Hub::up(sandbox, &[]), sandbox, replays: false }
    }

    pub fn up_replaying(sandbox: &'a Sandbox) -> Self {
        Self { hub: Hub::up_with(sandbox, &[], &[("MSX_REPLAY", "always")]), sandbox, replays: true }
    }

    /// The result of `msx call`, which must succeed, and which no defect may make wait for ever.
    pub fn call(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json", "--timeout", "2m"]).collect();
        let text = self.hub.call(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} printed {text:?}: {error}"))
    }

    /// How often `mark(name)` was called in `marks.py`, in all processes together.
    pub fn marks(&self, name: &str) -> u64 {
        let file = self.sandbox.path("marks").join(name);
        std::fs::metadata(file).map_or(0, |file| file.len())
    }

    /// How often a function is begun that waits so many times.
    pub fn attempts(&self, waits: u64) -> u64 {
        if self.replays { waits + 1 } else { 1 }
    }

    /// Runs all checks, also after one has failed. Then nothing may be left of their calls.
    pub fn check(&self, checks: &[(&str, fn(&Self))]) {
        let failed = |check: &&(&str, fn(&Self))| {
            let failed = catch_unwind(AssertUnwindSafe(|| check.1(self))).is_err();
            if failed {
                eprintln!("^ in the check `{}`", check.0);
            }
            failed
        };
        let failed: Vec<&str> = checks.iter().filter(failed).map(|(name, _)| *name).collect();
        assert!(failed.is_empty(), "{} of {} checks failed: {failed:?}", failed.len(), checks.len());
        self.rests();
    }

    /// Every counter of every service comes back to zero.
    pub fn rests(&self) {
        let busy = || {
            let ps = self.hub.ps();
            let services = ps["services"].as_array().unwrap().clone();
            let of = |service: &Value| {
                let instances = service["instances"].as_array().unwrap().clone();
                let held = instances.iter().map(|i| count(i, "busy") + count(i, "parked")).sum::<u64>();
                held + count(service, "queue") + count(service, "suspended")
            };
            services.into_iter().filter(|service| of(service) > 0).collect::<Vec<_>>()
        };
        crate::support::hub::wait_for("the end of all calls", || busy().is_empty().then_some(()));
    }
}

/// Tells the threads of a test that they may end, also when the test fails.
pub struct Until<'a>(pub &'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("{name} is no count in {of}"))
}

/// Functions with their names.
macro_rules! checks {
    ($($check:ident),* $(,)?) => { &[$((stringify!($check), $check as fn(&crate::calls::Project))),*] };
}
pub(crate) use checks;

/// Three tests of a project: in place, replayed at every wait, and with room for two waiting calls per instance. Checks
/// that only one way is for are named with it.
macro_rules! in_three_ways {
    ($sandbox:expr, $checks:expr $(, in_place: $in_place:expr)? $(, replayed: $replayed:expr)?) => {
        #[test]
        fn in_place() {
            let sandbox = $sandbox;
            let project = crate::calls::Project::up(&sandbox);
            project.check($checks);
            $(project.check($in_place);)?
        }

        #[test]
        fn replayed_at_every_wait() {
            let sandbox = $sandbox;
            let project = crate::calls::Project::up_replaying(&sandbox);
            project.check($checks);
            $(project.check($replayed);)?
        }

        #[test]
        fn with_room_for_two_waiting_calls() {
            let sandbox = $sandbox;
            sandbox.edit("services.toml", "max_parked = 256", "max_parked = 2");
            crate::calls::Project::up(&sandbox).check($checks);
        }
    };
}
pub(crate) use in_three_ways;
