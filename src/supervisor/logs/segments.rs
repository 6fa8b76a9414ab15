//! The files of one service: numbered segments in a folder of its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folder of a service. Names come from Python identifiers; a separator or a leading dot in any other cannot leave the root.
pub(super) fn folder(root: &Path, service: &str) -> PathBuf {
    let safe = service.replace(['/', '\0'], "_");
    root.join(if safe.starts_with('.') { format!("_{safe}") } else { safe })
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.log"))
}

/// Numbers of the segments of a folder, oldest first; none when the folder does not exist.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Names of the services that have a folder, sorted.
pub(super) fn services(root: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}
