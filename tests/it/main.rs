//! Everything that needs the built binary or real processes, in one test binary.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod cli_errors;
mod cli_logs;
mod cli_up;
mod commands;
mod connect;
mod docs;
mod errors;
mod fake_hub;
mod faults;
mod gateway;
mod node;
mod pipeline;
mod proxy;
mod scaling;
mod sdk;
mod support;
mod tidy;
mod zero_config;
