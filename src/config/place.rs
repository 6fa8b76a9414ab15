//! Where a value was written: every value of the manifest carries its place, for errors and for `msx config`.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use miette::NamedSource;

/// A text that values come from, with the name that errors show.
pub type TextFile = NamedSource<String>;

/// Who said so.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nobody: msx's own default.
    Default,
    /// A piece of a manifest or of an `env_file`.
    Text { file: Arc<TextFile>, span: Range<usize> },
    /// The options of a decorator in the user's code, whose text is not at hand.
    Decorator { file: Arc<str>, line: u32 },
}

impl Place {
    /// Whether both point into the same text, so that one snippet can show them.
    pub fn shares_text(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text { file: a, .. }, Self::Text { file: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// `services.toml:14`, `@microservice at examples/b.py:5`, `default`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Text { file, span } => write!(f, "{}:{}", file.name(), line_of(file.inner(), span.start)),
            Self::Decorator { file, line } => write!(f, "@microservice at {file}:{line}"),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// A value and who said so; reads like the value.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Located<T> {
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// A value that nobody wrote.
    pub fn default(value: T) -> Self {
        Self::new(value, Place::Default)
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
