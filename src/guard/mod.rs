//! The guard: a second process of this binary that owns every process msx starts, and the hub's handle on it.
//!
//! The hub starts it before it has any thread and talks to it over a socket pair. The guard has one thread, a
//! session of its own and is a child subreaper, so whatever its children leave behind falls to it.
//!
//! ```text
//! hub ──(spawn, signal)──▶ guard ──▶ leader of group 1 ──▶ its children …
//!     ◀─(spawned, exited,        └─▶ leader of group 2
//!        emptied, failed)
//! ```
//!
//! What holds:
//! - Only the guard waits for children. It keeps a leader that ended unreaped until no member of its process
//!   group lives, so the number of a group means this group for as long as anyone can name it.
//! - `emptied` is a proof: the group was seen empty, then killed as a whole (nothing that forked past the look
//!   survives, and nothing forks any more), then seen empty again. Only then is the leader reaped.
//! - Hub gone: the guard reads the end of its socket, kills every descendant until it has no child, and exits.
//!   A process without children has no descendants, because orphans fall to it: the kernel's word, not a guess.
//! - Guard gone: its children die with it (parent-death signal), the rest falls to the hub, which is a subreaper
//!   too and calls [`end_descendants`].
//! - Both gone: the next `msx up` recognises what is left by its environment, see [`end_leftovers`].
//!
//! Linux 5.11 or newer.

mod end;
mod launch;
mod leftovers;
mod link;
mod processes;
mod run;
#[cfg(test)]
mod tests;

pub use end::end_descendants;
pub use launch::launch;
pub use leftovers::end_leftovers;
pub use link::{Guard, Process, SpawnSpec};
pub use processes::{Seen, all as processes, members};
pub use run::run;

pub use crate::protocol::guard::{ExitStatus, LISTEN_PID};
