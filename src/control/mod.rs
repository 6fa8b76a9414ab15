//! The private API between command line and hub, over a Unix socket. It owns no state.

pub mod client;
