//! `msx scale`

use clap::Args;

use super::progress::Spinner;
use super::terminal::{Terminal, say};
use super::{session, values};
use crate::failure::Failure;
use crate::protocol::control::{ScaleRequest, ScaleTarget};

const EXAMPLES: &str = "\
Examples:
  msx scale a=4 b=2     four instances of a and two of b; other services stay as they are
  msx scale a=0         none: new calls of a are refused at once
  msx scale a=auto      a scales itself again";

/// Set how many instances services have.
///
/// A number holds until NAME=auto gives the service back to the autoscaler. Returns when the new instances are ready
/// and the surplus ones have finished their calls.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Scale {
    /// Service and number of instances, or `auto`.
    #[arg(required = true, value_name = "NAME=N", value_parser = values::instances_or_auto)]
    targets: Vec<(String, Option<u32>)>,

    /// Return at once.
    #[arg(long)]
    no_wait: bool,

    /// Allow more than the `max` of the service.
    #[arg(long)]
    force: bool,
}

impl Scale {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let target = |(service, instances)| ScaleTarget { service, instances };
        let targets: Vec<ScaleTarget> = self.targets.into_iter().map(target).collect();
        let request = ScaleRequest { targets, wait: !self.no_wait, force: self.force };
        let spinner = Spinner::start(terminal, "scaling");
        let scaled = session::request("interrupted: the hub goes on scaling", client.scale(&request));
        spinner.stop();
        scaled?;
        for target in &request.targets {
            say(&outcome(target));
        }
        Ok(())
    }
}

fn outcome(target: &ScaleTarget) -> String {
    match target.instances {
        Some(1) => format!("{}: 1 instance", target.service),
        Some(n) => format!("{}: {n} instances", target.service),
        None => format!("{}: scales itself", target.service),
    }
}
