//! The SDK for Node.js. It travels in the binary like the one for Python, and is written to the cache under the hash of
//! its content.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::python::{Build, PythonError, complete};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/sdk/node/src"]
struct Sdk;

/// Writes the SDK unless it is there, and returns its folder.
pub(super) async fn install(cache: &Path) -> Result<PathBuf, PythonError> {
    let folder = cache.join("sdk-node").join(content_hash());
    complete(&folder, Build::Aside, || {}, async |aside| write(aside)).await?;
    Ok(folder)
}

fn content_hash() -> String {
    let mut hasher = DefaultHasher::new();
    for path in Sdk::iter() {
        path.hash(&mut hasher);
        Sdk::get(&path).map(|file| file.metadata.sha256_hash()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn write(folder: &Path) -> Result<(), PythonError> {
    fs::create_dir_all(folder).map_err(|error| PythonError::io("create the folder", folder, &error))?;
    for path in Sdk::iter() {
        let Some(file) = Sdk::get(&path) else { continue };
        let target = folder.join(&*path);
        fs::write(&target, &file.data).map_err(|error| PythonError::io("write", &target, &error))?;
    }
    Ok(())
}
