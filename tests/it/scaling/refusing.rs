//! Calls that could only time out are refused at once, where no more instances can come.

use std::time::{Duration, Instant};

use crate::support::Sandbox;
use crate::support::http::Http;
use crate::support::hub::{Hub, wait_for};

const JOB: &str = "\
import time
from msx import microservice

@microservice(threads=1, instances=1)
def job():
    time.sleep(3)
";

#[test]
fn a_call_that_would_wait_for_too_long_is_refused_at_once() {
    let manifest = "[python]\nmodules = [\"m\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n[defaults]\nqueue.timeout = \"4s\"\n";
    let sandbox = Sandbox::with_manifest(manifest).file("m.py", JOB);
    let hub = Hub::up(&sandbox, &[]);
    hub.call(&["job"]);
    wait_for("how long a call takes to be known", || {
        hub.msx(&["metrics"]).contains("msx_call_slot_seconds{service=\"m.job\"} 3.").then_some(())
    });
    let _waiting: Vec<_> = (0..3).map(|_| sandbox.start(&["call", "job"])).collect();
    wait_for("two calls to wait", || (hub.service("job")["queue"] == 2).then_some(()));
    let since = Instant::now();
    let answer = Http::connect(&hub.gateway()).post("/call/job", "{}");
    assert!(since.elapsed() < Duration::from_secs(3), "it took {:?}", since.elapsed());
    assert_eq!((answer.status, answer.header("x-msx-reason")), (503, "overloaded"), "{answer:?}");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1, "{answer:?}");
    let metrics = hub.msx(&["metrics"]);
    assert!(
        metrics.contains("msx_calls_refused_total{service=\"m.job\",reason=\"overloaded\"} 1"),
        "{metrics}"
    );
}
