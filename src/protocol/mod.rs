//! What travels between processes, and its bytes: worker messages, guard messages, the control API's types.
//! Pure: no sockets here.

pub mod control;
pub mod guard;
pub mod progress;
