//! The manifest: text → `raw` → `spec`, with every mistake at its place in the text. Pure: reads no disk, no
//! environment; the callers pass in texts and look-ups.
//!
//! - `raw` turns TOML, or a decorator's options, into a tree that knows where each value stands, and lays overlays
//!   over each other.
//! - `schema` is the one table of known keys; `section`, `field` and `value` read, check and show what it lists.
//! - `manifest` is what can be known before the services were found, `service` what comes after: the layers
//!   built-in default, `[defaults]`, decorator, `[services.NAME]` become one `spec::ServiceSpec` for each service.
//! - `command` is what only services with a `command` have.
//! - `late` places the mistakes that only the use of a value shows.
//! - `diagnostics` collects mistakes and shows all of them at once; `render` is the text of `msx config`.

pub mod command;
mod diagnostics;
mod duration;
mod env_file;
mod field;
mod late;
mod manifest;
mod names;
mod place;
mod raw;
pub mod render;
mod schema;
mod section;
mod service;
pub mod spec;
#[cfg(test)]
mod tests;
mod value;

pub use diagnostics::Diagnostics;
pub use late::Written;
pub use manifest::{Manifest, Source, parse};
pub use names::suggest;
pub use service::Found;
