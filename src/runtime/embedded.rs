//! Files that travel in the binary, so that they and msx are always of one version. They are written to the cache under the
//! hash of their content.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use super::cache::{self, Build};
use super::error::SetupError;

/// Writes these files unless they are there, below `inner` of a folder in `family`, and returns that folder.
pub async fn install<E: RustEmbed>(
    family: &Path,
    inner: &str,
    is_wanted: fn(&str) -> bool,
) -> Result<PathBuf, SetupError> {
    let files: Vec<String> = E::iter().map(String::from).filter(|path| is_wanted(path)).collect();
    let folder = family.join(content_hash::<E>(&files));
    cache::complete(&folder, Build::Aside, || {}, async |aside| write::<E>(&files, &aside.join(inner)))
        .await?;
    Ok(folder)
}

fn content_hash<E: RustEmbed>(files: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    for path in files {
        path.hash(&mut hasher);
        E::get(path).map(|file| file.metadata.sha256_hash()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn write<E: RustEmbed>(files: &[String], folder: &Path) -> Result<(), SetupError> {
    for path in files {
        let Some(file) = E::get(path) else { continue };
        let target = folder.join(path);
        fs::create_dir_all(target.parent().unwrap_or(folder))
            .and_then(|()| fs::write(&target, &file.data))
            .map_err(|error| SetupError::io("write", &target, &error))?;
    }
    Ok(())
}
