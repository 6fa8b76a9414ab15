//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod cli;
mod config;
mod control;
mod daemon;
mod failure;
mod guard;
mod model;
mod project;
mod protocol;
mod registry;
mod supervisor;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the guard must have one thread.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "__guard") {
        return guard::run();
    }
    cli::run()
}
