//! The one error of the command line: what failed, what to do about it and the exit code.
//! Rooms keep their own errors; daemon and verbs turn them into this one, and `cli::run` alone prints it. Pure.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::protocol::control::{Problem, ProblemKind};

/// Why the program ends other than well. A detached hub hands it to the terminal that started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// What was being done, to what, and why it failed: one sentence, without a full stop.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Text of another program, shown as it is: a traceback, log lines, a manifest with carets.
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The command line or the manifest is wrong.
    Usage,
    Failed,
    /// The call raised: shown as Python shows it, with nothing around it.
    Remote,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read stdout went away (`msx logs | head`): nothing to say, nothing wrong.
    OutputClosed,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, detail: None }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Interrupted, message)
    }

    /// A write to stdout that failed.
    pub fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(FailureKind::OutputClosed, "stdout is closed"),
            _ => Self::failed(format!("cannot write to stdout: {error}")),
        }
    }

    /// A file or folder that msx needs and cannot use: `verb` as in "cannot open".
    pub fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::failed(format!("cannot {verb} {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => failure.with_help(
                "msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there",
            ),
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                failure.with_help("a file is where msx needs a folder: remove it, or give it another name")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                failure.with_help("free some disk space and try again")
            }
            _ => failure,
        }
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Usage => 2,
            FailureKind::Failed | FailureKind::Remote => 1,
            FailureKind::Interrupted => 130,
            FailureKind::OutputClosed => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let kind = match problem.kind {
            ProblemKind::Usage => FailureKind::Usage,
            ProblemKind::Remote => FailureKind::Remote,
            ProblemKind::Timeout | ProblemKind::Unavailable | ProblemKind::Internal => FailureKind::Failed,
        };
        Self { kind, message: problem.message, help: problem.help, detail: problem.detail }
    }
}
