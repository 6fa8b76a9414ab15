//! The call machine: what a call is, what it waits for, and the tree it belongs to. Pure: it knows no sockets,
//! no processes and no slots; the core joins it with the dispatchers.

mod call;
mod children;
mod fault;
pub mod history;
mod lines;
pub mod stream;
mod tree;

pub use call::{Asked, Batch, Call, Child, Place, Suspension};
#[cfg(test)]
pub use children::FREE_SEQ;
pub use fault::Fault;
pub use lines::Lines;
pub use tree::{Admission, Calls, Ended};
