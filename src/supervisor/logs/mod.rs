//! What instances print: pipes → segments in `.msx/logs/<service>/` → followers that read the files.
//!
//! The files stand between child and terminal, so a slow terminal never stalls a child. A slow disk stalls it for at
//! most `STALL_MAX`, after which lines are dropped and counted; the number is written once writing works again.
//! One thread writes all files; every service has one sequence of segments for all its instances, so its bound holds
//! however many instances it has had. A line reads `2026-11-24T10:00:00.000Z a-1 out TEXT` and is fit for grep.

mod lines;
mod pump;
mod reader;
mod record;
mod segments;
mod store;

use std::time::Duration;

pub use lines::Lines;
pub use pump::Pump;
pub use reader::{Position, Reader, Selection, Unknown, select};
pub use record::{Entry, Stream};
pub use store::LogStore;

/// A longer line is cut and marked: one line must not fill a segment.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one segment after which the next one begins.
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Segments kept of each service: 32 MiB, some 300,000 lines.
const SEGMENTS_MAX: usize = 8;
/// Bytes taken from a pipe at once, which become one write.
const READ_BYTES: usize = 8 * 1024;
/// Batches on their way to the disk, of all services together: about 256 KiB of ordinary lines.
const BATCHES_MAX: usize = 32;
/// How long a child may be held up by a slow disk before its lines are dropped.
const STALL_MAX: Duration = Duration::from_secs(1);
/// How long `Pump::finished` waits for the disk after the pipes have ended.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// Lines that a pump remembers for the reason of a crash, and the bytes kept of each.
const LAST_LINES_MAX: usize = 50;
const LAST_LINE_BYTES_MAX: usize = 2 * 1024;

#[cfg(test)]
mod tests;
