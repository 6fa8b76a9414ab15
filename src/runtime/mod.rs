//! What every language runtime of a project needs, whichever it is: programs that are run to their end within a bound,
//! what the machine offers, folders in a cache that are complete or not there, the SDK that travels in the binary, and
//! the helper that imports the project's modules. Which runtime, and how it is called, is for the rooms above.
//!
//! Programs are started by the caller's [`Runner`] only.

pub mod cache;
mod discovery;
pub mod embedded;
mod error;
mod host;
mod program;

pub use discovery::{Discovery, Importer, ModuleError, discover};
pub use error::{Setting, SetupError};
pub use host::{Host, is_executable};
pub use program::{Command, Finished, Purpose, Runner, Tail, bounded};
