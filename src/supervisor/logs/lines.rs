//! The newest lines of a process, and whether it has printed what somebody waits for.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{LAST_LINE_BYTES_MAX, LAST_LINES_MAX};

/// Handle on the lines of one process, of both pipes; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Recent>>);

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<String>,
    /// Texts that somebody waits for, and whether a line had it in it.
    sought: Vec<(String, bool)>,
}

impl Lines {
    /// The newest, at most `n` and at most 50, oldest first.
    pub fn last(&self, n: usize) -> Vec<String> {
        let recent = self.0.lock();
        recent.lines.iter().skip(recent.lines.len().saturating_sub(n)).cloned().collect()
    }

    /// Whether a line had this text in it since somebody asked first, or shortly before.
    pub fn has_printed(&self, text: &str) -> Result<(), String> {
        let mut recent = self.0.lock();
        if !recent.sought.iter().any(|(sought, _)| sought == text) {
            let is_there = recent.lines.iter().any(|line| line.contains(text));
            recent.sought.push((text.to_owned(), is_there));
        }
        let is_there = recent.sought.iter().any(|(sought, is_there)| sought == text && *is_there);
        if is_there { Ok(()) } else { Err(format!("it has not printed {text:?}")) }
    }

    pub(super) fn add(&self, line: &[u8]) {
        let kept = String::from_utf8_lossy(&line[..line.len().min(LAST_LINE_BYTES_MAX)]).into_owned();
        let mut recent = self.0.lock();
        for (text, is_there) in &mut recent.sought {
            *is_there |= kept.contains(text.as_str());
        }
        if recent.lines.len() == LAST_LINES_MAX {
            recent.lines.pop_front();
        }
        recent.lines.push_back(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_somebody_waits_for_is_remembered() {
        let lines = Lines::default();
        lines.add(b"starting");
        assert_eq!(lines.has_printed("ready").unwrap_err(), "it has not printed \"ready\"");
        lines.add(b"now ready for work");
        (0..2 * LAST_LINES_MAX).for_each(|_| lines.add(b"noise"));
        assert_eq!(lines.has_printed("ready"), Ok(()));
        assert_eq!(lines.last(1), ["noise"]);
    }

    #[test]
    fn a_line_that_came_before_the_question_counts() {
        let lines = Lines::default();
        lines.add(b"ready");
        assert_eq!(lines.has_printed("ready"), Ok(()));
    }
}
