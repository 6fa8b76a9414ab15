//! Reads the files, oldest event first, and goes on where they grow.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{current, earlier};
use crate::protocol::events::HubEvent;

/// Where somebody reads.
pub struct Reader {
    folder: PathBuf,
    file: Option<Open>,
    /// Of a line that has no end yet.
    partial: Vec<u8>,
}

struct Open {
    reader: BufReader<File>,
    inode: u64,
}

impl Reader {
    /// At the oldest event that is kept.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = match open(&earlier(folder))? {
            Some(earlier) => Some(earlier),
            None => open(&current(folder))?,
        };
        Ok(Self { folder: folder.to_owned(), file, partial: Vec::new() })
    }

    /// `None`: there are no more so far. A line that is no event (a hub that died in the middle of it) is passed over.
    pub fn next(&mut self) -> io::Result<Option<HubEvent>> {
        loop {
            if let Some(open) = &mut self.file {
                open.reader.read_until(b'\n', &mut self.partial)?;
            }
            if self.partial.ends_with(b"\n") {
                let event = serde_json::from_slice(&self.partial);
                self.partial.clear();
                match event {
                    Ok(event) => return Ok(Some(event)),
                    Err(_) => continue,
                }
            }
            if !self.turn()? {
                return Ok(None);
            }
        }
    }

    /// Goes on with the file that took the place of the one that was read to its end.
    fn turn(&mut self) -> io::Result<bool> {
        let inode = match fs::metadata(current(&self.folder)) {
            Ok(found) => found.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if self.file.as_ref().is_some_and(|open| open.inode == inode) {
            return Ok(false);
        }
        // Whatever was written between the last look and the turn.
        if let Some(last) = &mut self.file
            && !last.reader.fill_buf()?.is_empty()
        {
            return Ok(true);
        }
        self.partial.clear();
        self.file = open(&current(&self.folder))?;
        Ok(self.file.is_some())
    }
}

fn open(path: &Path) -> io::Result<Option<Open>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some(Open { reader: BufReader::new(file), inode }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
