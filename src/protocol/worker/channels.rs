//! What connects the hub with a worker from its start.

use std::os::fd::OwnedFd;

/// What the tally holds of a lane until the worker writes there: that it has begun with everything.
pub const UNTOLD: [u8; 8] = [0xff; 8];

/// The hub's ends.
#[derive(Debug)]
pub struct Channels {
    pub control: OwnedFd,
    /// What a worker inherits that cannot receive descriptors by SCM_RIGHTS.
    pub inherited: Option<Inherited>,
}

/// The hub's ends of the only lane, and of the tally of that lane.
#[derive(Debug)]
pub struct Inherited {
    pub lane: OwnedFd,
    pub tally: OwnedFd,
}
