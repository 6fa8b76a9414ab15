//! `msx call`

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::terminal::{print_json, print_line};
use super::{session, values};
use crate::control::client::{Called, Client, ClientError};
use crate::failure::Failure;
use crate::protocol::control::{CallRequest, Problem};

const EXAMPLES: &str = "\
How arguments are read:
  A parameter annotated `str` takes the text as it is. Any other takes JSON (`3`, `true`, `[1, 2]`,
  `{\"x\": 1}`), or the text where that is no JSON. `k=v` sets the parameter k by name; where there
  is no parameter k it is an ordinary argument. After `--` everything is an argument.

Result:
  A string is printed as it is, anything else as JSON; of a generator each item, on a line of its
  own, as soon as it is there. An exception of the service is printed to stderr with its traceback,
  and the exit code is 1.

Examples:
  msx call my_func 1 2
  msx call my_func x=1 y=2 --timeout 10s
  msx call orders.place '{\"item\": 7}' --json | jq .id
  msx call msx.orchestrator.access a";

/// Call a service and print its result.
///
/// Waits until the call ends, unless --timeout says otherwise; Ctrl-C cancels the call and everything it called.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Call {
    /// The service: `module.function`, or the function alone while only one service has that name.
    name: String,

    /// Arguments by position, or by name as `k=v`.
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,

    /// Print JSON on one line in any case, a failure of the call included.
    #[arg(long)]
    json: bool,

    /// Give up after this time: `500ms`, `10s`, `2m`.
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// A name for this call: called again under it, within a day, it gets the same result and does not run again.
    #[arg(long, value_name = "KEY", value_parser = values::idempotency_key)]
    idempotency_key: Option<String>,
}

impl Call {
    pub fn run(self) -> Result<(), Failure> {
        let client = session::hub()?;
        let timeout_ms = self.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX).max(1));
        let Self { name: service, arguments, idempotency_key, .. } = self;
        let request = CallRequest { service, arguments, timeout_ms, idempotency_key };
        session::block_on("interrupted: the call is cancelled", print_all(&client, &request, self.json))
    }
}

/// Prints what comes: the result, or the items of a generator, each at once.
async fn print_all(client: &Client, request: &CallRequest, json: bool) -> Result<(), Failure> {
    let failed = |error| failure(error, json);
    let mut items = match client.call(request).await.map_err(failed)? {
        Called::Returned(answer) => return print_line(&result(&answer.result, json)),
        Called::Items(items) => items,
    };
    while let Some(item) = items.next().await.map_err(failed)? {
        print_line(&result(&item, json))?;
    }
    Ok(())
}

/// With `--json` what the hub says of a call that failed is data, too.
fn failure(error: ClientError, json: bool) -> Failure {
    let printed = match &error {
        ClientError::Refused(problem) if json => print_json(&ErrorObject { error: problem }),
        _ => Ok(()),
    };
    printed.err().unwrap_or_else(|| error.into())
}

fn result(value: &RawValue, json: bool) -> String {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) if !json => text,
        _ => value.get().to_owned(),
    }
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    error: &'a Problem,
}
