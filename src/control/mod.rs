//! The private API between command line and hub, over a Unix socket, and `msx.orchestrator`. It owns no state.

mod ask;
mod call;
mod calls;
pub mod client;
mod metrics;
pub mod orchestrator;
mod pausing;
pub mod server;
pub mod status;
