//! Everything that needs the built binary or real processes, in one test binary.

#![cfg(target_os = "linux")]

mod cli_errors;
mod cli_logs;
mod fake_hub;
mod support;
