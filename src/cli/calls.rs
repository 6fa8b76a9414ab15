//! `msx calls`

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::retry::Retry;
use super::table::{Align, Cell, Table};
use super::terminal::{Style, Terminal, print_json, print_line};
use super::{session, units};
use crate::failure::Failure;
use crate::protocol::calls::{BatchInfo, CallInfo, CallStatus, CallsAnswer, CallsRequest};

const EXAMPLES: &str = "\
Columns:
  STATUS    queued, running, parked (waits for other calls), resuming (has their answers, waits for a slot),
            batched (in a batch, which is a call of its own), backoff (its next attempt comes after a pause),
            held (waits for its turn under a key), following (waits for the call with its idempotency key),
            unwinding, evicted, paused (its replay differed); returned, raised, refused, cancelled
  SINCE     how long it has had this status
  TOOK      from accepted to answered
  CHILDREN  calls that it made, and in front those of them that have not ended

Examples:
  msx calls --status queued          what waits for a slot
  msx calls --service a --limit 5    the five oldest calls of a, and its last five that ended
  msx calls retry 9k2m4xq7           replay a call that is paused
  msx calls --json | jq -r '.live[] | select(.age_s > 60) | .id'";

/// Show the calls that have not ended, and the root calls that ended lately.
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Calls {
    #[command(subcommand)]
    action: Option<Action>,

    /// Only calls with this status: queued, running, parked, …
    #[arg(long, value_name = "STATUS", value_parser = status(), hide_possible_values = true)]
    status: Option<CallStatus>,

    /// Only calls of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Show at most N live calls and N that ended.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,

    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    Retry(Retry),
}

/// clap lists the names when it gets another one.
fn status() -> impl TypedValueParser<Value = CallStatus> {
    let names = PossibleValuesParser::new(CallStatus::ALL.map(CallStatus::as_str));
    names.try_map(|name| CallStatus::ALL.into_iter().find(|s| s.as_str() == name).ok_or("is no status"))
}

impl Calls {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        if let Some(Action::Retry(retry)) = self.action {
            return retry.run();
        }
        let client = session::hub()?;
        let request = CallsRequest { status: self.status, service: self.service, limit: self.limit };
        let answer = session::request("", client.calls(&request))?;
        if self.json {
            return print_json(&answer);
        }
        print_line(&table(&answer).render(terminal.stdout, terminal.width).join("\n"))
    }
}

const COLUMNS: [Align; 8] = {
    use Align::{Left, Right};
    [Left, Left, Left, Right, Right, Right, Left, Left]
};
const HEADINGS: [&str; 8] = ["ID", "SERVICE", "STATUS", "AGE", "SINCE", "CHILDREN", "INSTANCE", "SUMMARY"];

fn table(answer: &CallsAnswer) -> Table {
    let mut table = Table::new(COLUMNS);
    if answer.live.is_empty() && answer.ended.is_empty() {
        table.line(Cell::plain("no calls"));
        return table;
    }
    part(&mut table, &answer.live, answer.more_live, ["AGE", "SINCE"]);
    if !answer.live.is_empty() && !answer.ended.is_empty() {
        table.line(Cell::plain(""));
    }
    part(&mut table, &answer.ended, answer.more_ended, ["TOOK", "ENDED"]);
    table
}

fn part(table: &mut Table, calls: &[CallInfo], more: u64, times: [&str; 2]) {
    if calls.is_empty() {
        return;
    }
    let mut headings = HEADINGS;
    headings[3..5].copy_from_slice(&times);
    table.row(headings.map(|name| Cell::styled(Style::Heading, name)));
    calls.iter().for_each(|call| table.row(row(call)));
    if more > 0 {
        table.line(Cell::styled(Style::Faint, format!("… and {more} more; `--limit` shows more of them")));
    }
}

fn row(call: &CallInfo) -> [Cell; 8] {
    let [first, second] = match call.took_s {
        Some(took) => [units::span(took), format!("{} ago", units::age(call.since_s))],
        None => [units::age(call.age_s), units::age(call.since_s)],
    };
    [
        Cell::plain(call.id.as_str()),
        Cell::plain(call.service.as_str()),
        Cell::styled(status_style(call.status), call.status.as_str()),
        Cell::plain(first),
        Cell::plain(second),
        Cell::plain(children(call)),
        Cell::plain(call.instance.clone().unwrap_or_default()),
        Cell::plain(about(call)),
    ]
}

/// What it says that it is about, else the batch that it is or is in.
fn about(call: &CallInfo) -> String {
    let batch = || call.batch.as_ref().map(BatchInfo::text);
    call.summary.clone().or_else(batch).unwrap_or_default()
}

/// `3/10`: three of ten have not ended.
fn children(call: &CallInfo) -> String {
    match (call.unfinished, call.children) {
        (_, 0) => "-".to_owned(),
        (0, made) => made.to_string(),
        (unfinished, made) => format!("{unfinished}/{made}"),
    }
}

pub fn status_style(status: CallStatus) -> Style {
    match status {
        CallStatus::Running | CallStatus::Returned => Style::Good,
        CallStatus::Queued | CallStatus::Resuming | CallStatus::Unwinding => Style::Warning,
        CallStatus::Backoff | CallStatus::Held => Style::Warning,
        CallStatus::Parked | CallStatus::Evicted => Style::Faint,
        CallStatus::Following | CallStatus::Batched => Style::Faint,
        CallStatus::Paused => Style::Error,
        CallStatus::Raised | CallStatus::Refused | CallStatus::Cancelled => Style::Error,
    }
}
