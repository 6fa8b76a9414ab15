//! Everything that needs the built binary or real processes, in one test binary.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod benches;
mod calls;
mod cli_errors;
mod cli_logs;
mod cli_up;
mod connect;
mod docs;
mod errors;
mod fake_hub;
mod faults;
mod gateway;
mod node;
mod pipeline;
mod scaling;
mod sdk;
mod support;
mod tidy;
mod typescript;
mod zero_config;
