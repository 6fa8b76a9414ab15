//! The Python side of msx. It travels in the binary, so that both are always of one version, and is written to the
//! cache under the hash of its content.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use super::cache::{self, Build};
use super::error::PythonError;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/sdk/python/src/msx"]
struct Sdk;

/// Writes the SDK unless it is there, and returns the folder to put on `sys.path`.
pub(super) async fn install(cache: &Path) -> Result<PathBuf, PythonError> {
    let folder = cache.join("sdk").join(content_hash());
    cache::complete(&folder, Build::Aside, || {}, async |aside| write(&aside.join("msx"))).await?;
    Ok(folder)
}

/// Its source files: a build in a used checkout also sees what Python compiled there.
fn files() -> impl Iterator<Item = String> {
    let is_source = |path: &str| path.ends_with(".py") || path.ends_with("py.typed");
    Sdk::iter().map(String::from).filter(move |path| is_source(path))
}

fn content_hash() -> String {
    let mut hasher = DefaultHasher::new();
    for path in files() {
        path.hash(&mut hasher);
        Sdk::get(&path).map(|file| file.metadata.sha256_hash()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn write(package: &Path) -> Result<(), PythonError> {
    for path in files() {
        let Some(file) = Sdk::get(&path) else { continue };
        let target = package.join(path);
        let folder = target.parent().unwrap_or(package);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&target, &file.data))
            .map_err(|error| PythonError::io("write", &target, &error))?;
    }
    Ok(())
}
