//! The SDK for Node.js.

use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::runtime::{SetupError, embedded};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/sdk/node/src"]
struct Sdk;

/// Writes the SDK unless it is there, and returns its folder.
pub(super) async fn install(cache: &Path) -> Result<PathBuf, SetupError> {
    embedded::install::<Sdk>(&cache.join("sdk-node"), "", |_| true).await
}
