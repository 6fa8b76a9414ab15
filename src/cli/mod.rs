//! The command line: one file per verb, which holds its flags and one request. Errors are printed here and nowhere else.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0; 2 for a wrong command line or manifest; 130 after
//! Ctrl-C; 1 for any other failure.

mod call;
mod calls;
mod cancel;
mod config;
mod detach;
mod down;
mod events;
mod logs;
mod logview;
mod metrics;
mod pause;
mod progress;
mod ps;
mod restart;
mod resume;
mod retry;
mod run;
mod scale;
mod screen;
mod session;
mod stack;
mod table;
mod terminal;
mod trace;
mod units;
mod up;
mod values;
mod version;
mod why;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::failure::{Failure, FailureKind};
use terminal::{Color, Style, Terminal, say};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const GLOBAL: &str = "Options of every verb";

const OVERVIEW: &str = "\
Examples:
  msx up                  start the services of the nearest services.toml, show their logs
  msx up -d pipeline/     start every @microservice found in a folder, in the background
  msx call my_func 1 2    call a service and print its result
  msx run report.py       run a script whose calls go to the running services
  msx ps                  what runs, and how it is doing
  msx why 9k2m            what a call waits for; `msx calls` shows the ids
  msx scale a=4 b=auto    four instances of a; b scales itself
  msx logs b -f           follow the log of one service
  msx down                end everything

`msx VERB --help` says more about each.";

/// Runs Python functions as supervised, balanced, autoscaled microservices.
#[derive(Parser)]
#[command(name = "msx", version, styles = STYLES, after_help = OVERVIEW, max_term_width = 100)]
#[command(disable_help_subcommand = true, arg_required_else_help = true, propagate_version = false)]
struct Cli {
    /// Run as if msx had been started in DIR.
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = GLOBAL)]
    directory: Option<PathBuf>,

    /// When to use colours: auto (the default: on a terminal, unless NO_COLOR is set), always or never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    #[arg(hide_possible_values = true, hide_default_value = true, global = true, help_heading = GLOBAL)]
    color: Color,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Up(up::Up),
    Down(down::Down),
    Ps(ps::Ps),
    Call(call::Call),
    Run(run::Run),
    Calls(calls::Calls),
    Why(why::Why),
    Trace(trace::Trace),
    Stack(stack::Stack),
    Cancel(cancel::Cancel),
    Scale(scale::Scale),
    Logs(logs::Logs),
    Events(events::Events),
    Restart(restart::Restart),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Metrics(metrics::Metrics),
    Config(config::Config),
    Version(version::Version),
}

impl Verb {
    fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        match self {
            Self::Up(verb) => verb.run(terminal),
            Self::Down(verb) => verb.run(terminal),
            Self::Ps(verb) => verb.run(terminal),
            Self::Call(verb) => verb.run(),
            Self::Run(verb) => verb.run(terminal),
            Self::Calls(verb) => verb.run(terminal),
            Self::Why(verb) => verb.run(terminal),
            Self::Trace(verb) => verb.run(terminal),
            Self::Stack(verb) => verb.run(terminal),
            Self::Cancel(verb) => verb.run(),
            Self::Scale(verb) => verb.run(terminal),
            Self::Logs(verb) => verb.run(terminal),
            Self::Events(verb) => verb.run(terminal),
            Self::Restart(verb) => verb.run(terminal),
            Self::Pause(verb) => verb.run(terminal),
            Self::Resume(verb) => verb.run(),
            Self::Metrics(verb) => verb.run(),
            Self::Config(verb) => verb.run(),
            Self::Version(verb) => verb.run(),
        }
    }
}

/// The whole program: how the process ends. A defect is one line and exit code 1, too.
pub fn run() -> ExitCode {
    panic::set_hook(Box::new(|defect| {
        say(&format!("error: msx has a defect: {defect}"));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            say(&trace.to_string());
        }
    }));
    panic::catch_unwind(run_verb).unwrap_or(ExitCode::FAILURE)
}

/// Parses the command line, runs the verb and prints what failed.
fn run_verb() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help is data, so its reader may be gone; there is nothing left to say then.
            let _ = message.print();
            return ExitCode::from(if message.use_stderr() { 2 } else { 0 });
        }
    };
    let terminal = Terminal::detect(cli.color);
    let entered = cli.directory.as_deref().map_or(Ok(()), enter);
    match entered.and_then(|()| cli.verb.run(&terminal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print(&failure, &terminal);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn enter(directory: &Path) -> Result<(), Failure> {
    let entered = std::env::set_current_dir(directory);
    entered.map_err(|e| Failure::usage(format!("cannot enter the folder {}: {e}", directory.display())))
}

/// The one place where an error is printed.
fn print(failure: &Failure, terminal: &Terminal) {
    let paint = terminal.stderr;
    let detail = failure.detail.as_deref().map(str::trim_end).filter(|detail| !detail.is_empty());
    match failure.kind {
        FailureKind::OutputClosed => return,
        FailureKind::Interrupted if failure.message.is_empty() => return,
        FailureKind::Interrupted => say(&failure.message),
        FailureKind::Remote => say(&traceback(&failure.message, detail)),
        FailureKind::Usage | FailureKind::Failed => {
            say(&format!("{} {}", paint.apply(Style::Error, "error:"), failure.message));
            if let Some(detail) = detail {
                say(&format!("\n{detail}\n"));
            }
        }
    }
    if let Some(help) = &failure.help {
        say(&format!("{} {help}", paint.apply(Style::Help, "help:")));
    }
}

/// A traceback that ends with the exception, as Python prints it. One made by the hub has no such last line.
fn traceback(message: &str, detail: Option<&str>) -> String {
    match detail {
        Some(detail) if detail.contains(message) => detail.to_owned(),
        Some(detail) => format!("{detail}\n{message}"),
        None => message.to_owned(),
    }
}
