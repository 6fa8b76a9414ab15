//! `msx cancel`

use clap::Args;

use super::session;
use super::terminal::say;
use crate::failure::Failure;
use crate::protocol::calls::IdRequest;

const EXAMPLES: &str = "\
Examples:
  msx cancel 9k2m4xq7        the call and all calls below it
  msx cancel 9k2m            the same, if no other id begins so
  msx cancel 9k2m4xq7.0.3    a call within a tree: the one that waits for it gets msx.Cancelled";

/// End a call, and all calls that it made.
///
/// What of it waits is gone at once, and whoever asked gets msx.Cancelled. Python code that runs gets the exception
/// msx.Cancelled at its next instruction; if it goes on all the same, its instance is replaced when its run_timeout has
/// passed.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Cancel {
    /// The call, from `msx calls`.
    id: String,
}

impl Cancel {
    pub fn run(self) -> Result<(), Failure> {
        let client = session::hub()?;
        let request = IdRequest { id: self.id };
        let call = session::request("interrupted: the call may be cancelled", client.cancel(&request))?;
        let below = match call.unfinished {
            0 => String::new(),
            1 => ", with the call that it waited for".to_owned(),
            n => format!(", with {n} calls that it had made"),
        };
        say(&format!(
            "cancelled {}, a call of {} that was {}{below}",
            call.id,
            call.service,
            call.status.as_str()
        ));
        Ok(())
    }
}
