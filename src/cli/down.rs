//! `msx down`

use std::time::{Duration, Instant};

use clap::Args;
use tokio::time::sleep;

use super::progress::Spinner;
use super::session;
use super::terminal::{Terminal, say};
use crate::control::client::{Client, ClientError};
use crate::failure::Failure;
use crate::project::Project;

/// Drain (30 s), the grace of the slowest service, KILL, and some time to prove that nothing is left.
const STOP_MAX: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// End the hub and everything it started.
///
/// Running calls may finish, for at most 30 s. Returns when no process is left. It is no error if nothing runs.
#[derive(Args)]
pub struct Down {}

impl Down {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let project = session::project()?;
        let root = project.root().display().to_string();
        if !project.hub_running()? {
            say(&format!("no hub is running for {root}"));
            return Ok(());
        }
        let spinner = Spinner::start(terminal, "stopping: running calls may finish");
        let stopped = session::block_on("interrupted: the hub goes on stopping", stop(&project));
        spinner.stop();
        stopped?;
        say(&format!("stopped {root}"));
        Ok(())
    }
}

async fn stop(project: &Project) -> Result<(), Failure> {
    if let Some(hub) = project.read_hub()? {
        match ask(&hub.socket).await {
            // A hub that ends meanwhile, or has left its guard behind, is what was wanted.
            Ok(()) | Err(ClientError::Lost(_) | ClientError::Unreachable { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let deadline = Instant::now() + STOP_MAX;
    while project.hub_running()? {
        if Instant::now() >= deadline {
            return Err(survivor(project));
        }
        sleep(POLL).await;
    }
    match project.read_hub()?.and_then(|hub| hub.failure) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

async fn ask(socket: &std::path::Path) -> Result<(), ClientError> {
    Client::new(socket)?.down().await
}

fn survivor(project: &Project) -> Failure {
    let message =
        format!("the hub of {} has not ended within {} s", project.root().display(), STOP_MAX.as_secs());
    let failure = Failure::failed(message);
    match project.read_hub() {
        Ok(Some(hub)) => failure.with_help(format!(
            "`kill -KILL {}` ends it at once; its guard then ends every instance",
            hub.pid
        )),
        _ => failure.with_help("`.msx/logs/hub.log` may say what it waits for"),
    }
}
