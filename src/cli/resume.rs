//! `msx resume`

use clap::Args;

use super::session;
use super::terminal::say;
use crate::failure::Failure;
use crate::protocol::control::ResumeRequest;

const EXAMPLES: &str = "\
Examples:
  msx resume b      it was paused with `msx pause b`";

/// Let services that are paused go on.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Resume {
    #[arg(required = true, value_name = "NAME")]
    services: Vec<String>,
}

impl Resume {
    pub fn run(self) -> Result<(), Failure> {
        let client = session::connect(&session::project()?)?;
        let request = ResumeRequest { services: self.services };
        session::block_on("", async { Ok(client.resume(&request).await?) })?;
        request.services.iter().for_each(|name| say(&format!("{name}: goes on")));
        Ok(())
    }
}
