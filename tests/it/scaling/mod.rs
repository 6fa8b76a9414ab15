//! More and fewer instances, by a person and by load, and rolling restarts: no call fails for it.

mod auto;
mod pausing;
mod pinned;
mod refusing;
mod rolling;
mod trees;
mod zero;
