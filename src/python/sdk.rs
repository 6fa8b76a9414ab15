//! The Python side of msx.

use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::runtime::{SetupError, embedded};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/sdk/python/src/msx"]
struct Sdk;

/// Writes the SDK unless it is there, and returns the folder to put on `sys.path`.
pub(super) async fn install(cache: &Path) -> Result<PathBuf, SetupError> {
    embedded::install::<Sdk>(&cache.join("sdk"), "msx", is_source).await
}

/// A build in a used checkout also sees what Python compiled there.
fn is_source(path: &str) -> bool {
    path.ends_with(".py") || path.ends_with("py.typed")
}
