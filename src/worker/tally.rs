//! What is known of a worker after its death: how many messages of each lane it had begun with. The worker writes the
//! numbers into memory that it shares with the hub, so that even a killed one leaves them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::protocol::worker::UNTOLD;

/// See the module.
pub struct Tally {
    file: File,
    lanes: usize,
}

impl Tally {
    /// For so many lanes. Until the worker says otherwise, it has begun with everything.
    pub fn new(lanes: usize) -> io::Result<Self> {
        let file = File::from(memfd_create(c"msx-tally", MFdFlags::MFD_CLOEXEC)?);
        file.write_all_at(&UNTOLD.repeat(lanes), 0)?;
        Ok(Self { file, lanes })
    }

    /// That of a worker which got file and lane at its start: it has one lane.
    pub fn inherited(file: OwnedFd) -> Self {
        Self { file: file.into(), lanes: 1 }
    }

    /// A descriptor for the worker.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// How many `run` and `resume` messages of each lane the worker has begun with. Lanes that cannot be read are left
    /// out.
    pub fn read(&self) -> Vec<u64> {
        let mut bytes = vec![0; self.lanes * UNTOLD.len()];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => bytes.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number)).collect(),
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_worker_wrote_is_read() {
        let tally = Tally::new(3).unwrap();
        let worker = File::from(tally.share().unwrap());
        worker.write_all_at(&7u64.to_le_bytes(), 8).unwrap();
        assert_eq!(tally.read(), [u64::MAX, 7, u64::MAX]);
        worker.set_len(0).unwrap();
        assert_eq!(tally.read(), [0; 0], "a worker that destroys it is as one that writes nothing");
    }
}
