//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod balancer;
mod calls;
mod config;
<<<<<<< HEAD
mod core;
mod model;
mod protocol;
<<<<<<< HEAD
mod shard;
mod worker;
=======
mod guard;
mod model;
mod protocol;
mod sys;
>>>>>>> guard
=======
mod python;
>>>>>>> python

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the guard must have one thread.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "__guard") {
        return guard::run();
    }
    ExitCode::SUCCESS
}
