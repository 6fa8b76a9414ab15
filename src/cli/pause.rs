//! `msx pause`

use std::time::Duration;

use clap::Args;

use super::progress::Spinner;
use super::terminal::{Terminal, say};
use super::{session, values};
use crate::failure::Failure;
use crate::protocol::control::PauseRequest;

const EXAMPLES: &str = "\
Examples:
  msx pause b && ./migrate; msx resume b    b begins nothing while its database is migrated
  msx pause b c --max 5m                    for five minutes at most
  msx pause b --no-wait                     calls that run may still run when it returns";

/// Let services begin no new calls: they wait, and those that run go on to their end.
///
/// Returns when no call runs any more. Calls that come meanwhile wait in the queue, for as long as the pause lasts, and
/// whoever called them waits as for a slow service. After --max the service goes on by itself.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Pause {
    #[arg(required = true, value_name = "NAME")]
    services: Vec<String>,

    /// Go on by itself after this time; 10m at most.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::duration)]
    max: Duration,

    /// Return at once.
    #[arg(long)]
    no_wait: bool,
}

impl Pause {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::connect(&session::project()?)?;
        let max_ms = u64::try_from(self.max.as_millis()).unwrap_or(u64::MAX);
        let request = PauseRequest { services: self.services, max_ms, wait: !self.no_wait };
        let spinner = Spinner::start(terminal, "waiting for the calls that run");
        let interrupted = "interrupted: the pause goes on; `msx resume` ends it";
        let paused = session::block_on(interrupted, async { Ok(client.pause(&request).await?) });
        spinner.stop();
        paused?;
        for name in &request.services {
            let seconds = self.max.as_secs_f64();
            say(&format!("{name}: paused; it goes on with `msx resume {name}`, or by itself in {seconds} s"));
        }
        Ok(())
    }
}
