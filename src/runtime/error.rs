//! The one error of making a runtime ready: what failed, what to do next, and the words of the other side.

use std::io;
use std::path::Path;

/// Why a runtime could not be made ready, in the parts that a terminal shows apart.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SetupError {
    /// What was being done, to what, and why it failed: one sentence.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// The last lines that the failed program printed, as they are.
    pub detail: Option<String>,
    /// The setting that is to be corrected, where it is one.
    pub setting: Option<Setting>,
}

/// A key of `[python]`, or of `[node]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Interpreter,
    Requirements,
    NodeInterpreter,
}

impl SetupError {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()), detail: None, setting: None }
    }

    /// Adds what a program printed; nothing when it printed nothing.
    pub fn with_detail(mut self, text: &str) -> Self {
        self.detail = (!text.is_empty()).then(|| text.to_owned());
        self
    }

    /// Says which setting is wrong.
    pub fn about(self, setting: Setting) -> Self {
        Self { setting: Some(setting), ..self }
    }

    /// A file operation that failed: `verb` as in "could not read".
    pub fn io(verb: &str, path: &Path, error: &io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::StorageFull => "free some disk space and try again".to_owned(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "check who may use this path; XDG_CACHE_HOME moves the cache of msx elsewhere".to_owned()
            }
            io::ErrorKind::NotADirectory => {
                "a part of this path is a file: remove it; XDG_CACHE_HOME moves the cache of msx elsewhere"
                    .to_owned()
            }
            _ => "check this path and try again".to_owned(),
        };
        Self::new(format!("could not {verb} `{}`: {error}", path.display()), help)
    }
}
