//! Once a second: measure, let the autoscaler decide, tell the supervisor.

use std::time::Duration;

use crate::control::status::Reporter;
use crate::supervisor::Supervisor;

/// How often the autoscaler looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs until the hub ends.
pub async fn run(reporter: Reporter, _supervisor: Supervisor) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        let _ = reporter.status().await;
    }
}
