//! Watches source files and tells which of them changed. Compares content, since editors write a file more than once
//! and touch it without changing it; watches folders, since editors replace files.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

/// A burst of writes counts as one change.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Watches as long as it is kept.
pub struct Watch {
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

impl Watch {
    /// Tells `changed` the source files below these folders whose content changed. It is called on a thread of its own.
    pub fn start(
        folders: &BTreeSet<PathBuf>,
        mut changed: impl FnMut(Vec<PathBuf>) + Send + 'static,
    ) -> Result<Self, notify::Error> {
        let mut known = Contents::of(folders);
        let mut debouncer = new_debouncer(DEBOUNCE, None, move |result: DebounceEventResult| {
            let Ok(events) = result else { return };
            let paths = events.iter().flat_map(|event| event.paths.iter());
            let files: BTreeSet<&PathBuf> = paths.filter(|path| is_source(path)).collect();
            let new: Vec<PathBuf> = files.into_iter().filter(|file| known.is_new(file)).cloned().collect();
            if !new.is_empty() {
                changed(new);
            }
        })?;
        for folder in folders {
            debouncer.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(Self { _debouncer: debouncer })
    }
}

/// Files of the languages of services.
const SOURCES: [&str; 6] = ["py", "mjs", "js", "cjs", "mts", "ts"];

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| SOURCES.iter().any(|known| extension == *known))
}

/// A folder that holds no code of the project's own.
fn is_foreign(folder: &OsStr) -> bool {
    folder == "node_modules" || folder.as_encoded_bytes().starts_with(b".")
}

/// What the files held when they were last looked at.
#[derive(Default)]
struct Contents(HashMap<PathBuf, u64>);

impl Contents {
    fn of(folders: &BTreeSet<PathBuf>) -> Self {
        let mut contents = Self::default();
        for folder in folders {
            contents.read_folder(folder);
        }
        contents
    }

    fn read_folder(&mut self, folder: &Path) {
        // What cannot be read counts as new when it changes.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_foreign(&entry.file_name()) => {
                    self.read_folder(&path);
                }
                Ok(kind) if kind.is_file() && is_source(&path) => drop(self.is_new(&path)),
                _ => (),
            }
        }
    }

    /// Whether the file holds something else than before. A file that is gone is not new: what follows will be.
    fn is_new(&mut self, file: &Path) -> bool {
        let Ok(content) = std::fs::read(file) else { return false };
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let hash = hasher.finish();
        self.0.insert(file.to_owned(), hash) != Some(hash)
    }
}
