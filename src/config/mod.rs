//! The manifest: text → `raw` → `spec`, with every mistake at its place in the text. Pure: reads no disk, no environment.

pub mod spec;
