//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod cli;
mod config;
mod control;
mod daemon;
mod failure;
mod model;
mod project;
mod protocol;
mod supervisor;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
