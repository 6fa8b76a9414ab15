//! `msx calls retry`

use std::io::{self, IsTerminal};

use clap::Args;

use super::session;
use super::terminal::{print_json, say};
use crate::control::client::Client;
use crate::failure::Failure;
use crate::protocol::calls::{Described, IdRequest, PausedInfo, Retried, RetryOutcome, RetryRequest};

const EXAMPLES: &str = "\
Examples:
  msx calls --status paused               what is paused; `msx why ID` says why
  msx restart a                           after its code was put right
  msx calls retry 9k2m4xq7                replay a call of it
  msx calls retry 9k2m4xq7 --force --yes  go on with what the code asks for now

Exit code: 0 if the call goes on or has ended, 1 if it differs again.";

/// Replay a paused call with the code that runs now.
///
/// A call is paused when its replay did something else than before, and its service has
/// `on_nondeterminism = "pause"`. If the new replay differs, too, the call is paused again.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Retry {
    /// The call, from `msx calls --status paused`.
    id: String,

    /// Forget what is recorded from the difference on, and go on from there: calls that were made may be made once more.
    #[arg(long)]
    force: bool,

    /// With --force: do not ask.
    #[arg(long, requires = "force")]
    yes: bool,

    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub fn run(self) -> Result<(), Failure> {
        let client = session::hub()?;
        let force = if self.force { self.confirmed(&client)? } else { None };
        let request = RetryRequest { id: self.id, force };
        let retried = session::request("interrupted: the call is being replayed", client.retry(&request))?;
        if self.json {
            print_json(&retried)?;
        } else if retried.outcome != RetryOutcome::Paused {
            say(&text(&retried));
        }
        match retried.paused {
            Some(paused) => Err(differs_again(&retried.call.id, &retried.call.service, &paused)),
            None => Ok(()),
        }
    }

    /// Shows what is about to happen; answers the seq of the difference. Of a call that is not paused the hub says so.
    fn confirmed(&self, client: &Client) -> Result<Option<u32>, Failure> {
        let request = IdRequest { id: self.id.clone() };
        let why = session::request("", client.why(&request))?;
        let Some(step) = why.chain.first() else { return Ok(None) };
        let Some(paused) = &step.paused else { return Ok(None) };
        say(&plan(&step.call.id, &step.call.service, paused));
        if self.yes || (io::stdin().is_terminal() && agrees()?) {
            return Ok(Some(paused.difference.seq));
        }
        Err(Failure::failed("nothing was changed").with_help("`--yes` goes on from there"))
    }
}

fn agrees() -> Result<bool, Failure> {
    say("go on from there? [y/N]");
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|e| Failure::failed(format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn plan(id: &str, service: &str, paused: &PausedInfo) -> String {
    let mut lines = vec![format!("{id}, a call of {service}, differs{}:", paused.difference.place())];
    lines.extend(paused.difference.lines().map(|line| format!("  {line}")));
    if paused.dropped_count > 0 {
        lines.push("what is forgotten, and happens once more if the code asks for it again:".to_owned());
        lines.extend(paused.dropped.iter().map(|dropped: &Described| format!("  {dropped}")));
        let more = paused.dropped_count - paused.dropped.len() as u64;
        lines.extend((more > 0).then(|| format!("  … and {more} more")));
    }
    lines.join("\n")
}

fn text(retried: &Retried) -> String {
    let call = &retried.call;
    let outcome = match retried.outcome {
        RetryOutcome::GoesOn => "it goes on",
        RetryOutcome::Ended => "it has ended",
        RetryOutcome::UnderWay | RetryOutcome::Paused => {
            "it is under way, and has not differed within 10 s; `msx why` shows how it goes on"
        }
    };
    format!("replayed {}, a call of {}: {outcome}", call.id, call.service)
}

fn differs_again(id: &str, service: &str, paused: &PausedInfo) -> Failure {
    let [before, now] = paused.difference.lines();
    let place = paused.difference.place();
    Failure::failed(format!("the call {id} of {service} differs again{place}, and is paused"))
        .with_detail(format!("  {before}\n  {now}"))
        .with_help("make the code ask for the same as before, `msx restart` its service and retry; or `--force` goes on with what it asks for now")
}
