//! Folders that are either complete or not there, however many `msx up` make them at once and wherever one is killed.
//! Whoever builds holds a lock; the marker, written last, is what makes a folder count.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::SetupError;

const MARKER: &str = ".msx-complete";
/// Longer than the longest build: whoever still holds the lock then is stuck.
const LOCK_BOUND: Duration = Duration::from_secs(11 * 60);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Where a folder is built.
pub enum Build {
    /// Beside its place, then renamed: nobody ever sees a part of it.
    Aside,
    /// In its place, for a virtual environment, whose files name their own folder.
    InPlace,
}

pub fn is_complete(folder: &Path) -> bool {
    folder.join(MARKER).exists()
}

/// Makes `folder` by `build`, unless it is complete. `build` gets a path where nothing is. `waiting` is told when
/// another process is at it.
pub async fn complete(
    folder: &Path,
    place: Build,
    waiting: impl Fn(),
    build: impl AsyncFnOnce(&Path) -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    if is_complete(folder) {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(|error| SetupError::io("create the folder", parent, &error))?;
    let _lock = lock(&folder.with_added_extension("lock"), waiting).await?;
    if is_complete(folder) {
        return Ok(());
    }
    remove(folder)?;
    match place {
        Build::InPlace => build_and_mark(folder, build).await,
        Build::Aside => {
            let aside = folder.with_added_extension("partial");
            remove(&aside)?;
            build_and_mark(&aside, build).await?;
            fs::rename(&aside, folder).map_err(|error| SetupError::io("move into place", folder, &error))
        }
    }
}

async fn build_and_mark(
    folder: &Path,
    build: impl AsyncFnOnce(&Path) -> Result<(), SetupError>,
) -> Result<(), SetupError> {
    let marker = folder.join(MARKER);
    let built = match build(folder).await {
        Ok(()) => fs::write(&marker, "").map_err(|error| SetupError::io("write", &marker, &error)),
        Err(error) => Err(error),
    };
    if built.is_err() {
        // The first error is the one to tell; what stays is removed by the next build.
        let _ = remove(folder);
    }
    built
}

/// An exclusive lock, held until the file is dropped or its process ends.
async fn lock(path: &Path, waiting: impl Fn()) -> Result<File, SetupError> {
    let file = File::create(path).map_err(|error| SetupError::io("create", path, &error))?;
    let end = Instant::now() + LOCK_BOUND;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(error)) => return Err(SetupError::io("lock", path, &error)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() > end => return Err(stuck(path)),
            Err(fs::TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            waiting();
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

fn stuck(path: &Path) -> SetupError {
    let message = format!(
        "another msx has held `{}` for more than {} minutes",
        path.display(),
        LOCK_BOUND.as_secs() / 60
    );
    SetupError::new(message, format!("find it with `fuser {}`, end it and try again", path.display()))
}

/// Removes a folder and all in it; it need not exist.
pub fn remove(folder: &Path) -> Result<(), SetupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SetupError::io("remove", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Removes the folders beside `kept` that were made by [`complete`], with their locks. Best effort: they only take
/// room on the disk.
pub fn remove_others(kept: &Path) {
    let siblings = kept.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let others: Vec<PathBuf> =
        siblings.map(|entry| entry.path()).filter(|path| path.is_dir() && path != kept).collect();
    for folder in others {
        let _ = remove(&folder);
        let _ = fs::remove_file(folder.with_added_extension("lock"));
    }
}
