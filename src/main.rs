//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod autoscaler;
mod balancer;
mod calls;
mod cli;
mod config;
mod control;
mod core;
mod daemon;
mod events;
mod failure;
mod gateway;
mod guard;
mod model;
mod node;
mod project;
mod protocol;
mod python;
mod registry;
mod runtime;
mod shard;
#[cfg(test)]
mod simulation;
mod supervisor;
mod sys;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the guard must have one thread.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "__guard") {
        return guard::run();
    }
    cli::run()
}
