//! What travels between processes, and its bytes: worker messages, guard messages, the control API's types.
//! Pure: no sockets here.

pub mod control;
pub mod error;
pub mod guard;
pub mod json;
pub mod progress;
pub mod signature;
pub mod worker;
