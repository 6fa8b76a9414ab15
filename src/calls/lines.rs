//! The lines of programs at which calls are made. There are few of them and many calls, so each is kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// Lines that are known at once. A program that has more makes its calls at lines that it invents.
const LINES_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Lines(HashSet<Arc<str>>);

impl Lines {
    /// The same text, held by all who have it.
    pub fn share(&mut self, line: Option<Arc<str>>) -> Option<Arc<str>> {
        let line = line?;
        if let Some(known) = self.0.get(&line) {
            return Some(known.clone());
        }
        if self.0.len() >= LINES_MAX {
            self.0.clear();
        }
        self.0.insert(line.clone());
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_once_and_not_without_bound() {
        let mut lines = Lines::default();
        let first = lines.share(Some("a.py:1 in f".into())).unwrap();
        let again = lines.share(Some("a.py:1 in f".into())).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        (0..2 * LINES_MAX).for_each(|line| drop(lines.share(Some(format!("a.py:{line} in g").into()))));
        assert!(lines.0.len() <= LINES_MAX);
        assert_eq!(lines.share(None), None);
    }
}
