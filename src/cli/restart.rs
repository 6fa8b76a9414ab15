//! `msx restart`

use clap::Args;

use super::progress::Spinner;
use super::session;
use super::terminal::{Terminal, say};
use crate::failure::Failure;
use crate::protocol::control::RestartRequest;

const EXAMPLES: &str = "\
Examples:
  msx restart           every service
  msx restart a b       these two";

/// Replace the instances of services without losing a call.
///
/// For each service a new instance starts and becomes ready before an old one finishes its calls and stops. If the new
/// one does not start, the old ones stay and the command fails with the output of the new one.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Restart {
    /// Services; none means all.
    #[arg(value_name = "NAME")]
    services: Vec<String>,
}

impl Restart {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let request = RestartRequest { services: self.services };
        let spinner = Spinner::start(terminal, "restarting");
        let restarted = session::request("interrupted: the hub goes on restarting", client.restart(&request));
        spinner.stop();
        restarted?;
        match request.services.as_slice() {
            [] => say("restarted every service"),
            names => say(&format!("restarted {}", names.join(", "))),
        }
        Ok(())
    }
}
