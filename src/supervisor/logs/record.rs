//! One line of a log and its form on disk; the cutting of a byte stream into lines. Pure.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;

use super::LINE_BYTES_MAX;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    /// The log store itself: lines that were dropped.
    Store,
}

impl Stream {
    /// For other programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Store => "msx",
        }
    }

    /// In the files.
    fn tag(self) -> &'static str {
        match self {
            Self::Stdout => "out",
            Self::Stderr => "err",
            Self::Store => "msx",
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Store].into_iter().find(|s| s.tag().as_bytes() == text)
    }
}

/// One line as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub time: Timestamp,
    /// Canonical name.
    pub service: Arc<str>,
    /// `a-1`
    pub instance: String,
    pub stream: Stream,
    pub line: String,
}

/// The time as it stands in the files: always 24 bytes, so that text order is time order.
pub(super) fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Appends one line in the form of the files.
pub(super) fn encode(out: &mut Vec<u8>, stamp: &str, instance: &str, stream: Stream, line: &[u8]) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{stamp} {instance} {} ", stream.tag());
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// The reverse of `encode`; `None` for a line that a dying hub left half written.
pub(super) fn parse(service: &Arc<str>, text: &[u8]) -> Option<Entry> {
    let mut fields = text.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let instance = std::str::from_utf8(fields.next()?).ok()?.to_owned();
    let stream = Stream::parse(fields.next()?)?;
    let line = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Entry { time, service: service.clone(), instance, stream, line })
}

/// Cuts what a pipe delivers into lines. It keeps at most `LINE_BYTES_MAX` of a line that has not ended.
#[derive(Default)]
pub(super) struct Splitter {
    partial: Vec<u8>,
    /// Bytes of the unfinished line that were not kept.
    cut: u64,
}

impl Splitter {
    pub(super) fn feed(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.end_line(emit);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The stream has ended: a last line without newline counts.
    pub(super) fn finish(&mut self, emit: &mut impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.end_line(emit);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..room]);
        self.cut += (bytes.len() - room) as u64;
    }

    fn end_line(&mut self, emit: &mut impl FnMut(&[u8])) {
        if self.cut > 0 {
            let _ = write!(self.partial, " [msx: {} bytes of this line were cut]", self.cut);
        }
        emit(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
        self.cut = 0;
        self.partial.clear();
        self.partial.shrink_to(super::READ_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut out) = (Splitter::default(), Vec::new());
        let mut emit = |line: &[u8]| out.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            splitter.feed(chunk, &mut emit);
        }
        splitter.finish(&mut emit);
        out
    }

    #[test]
    fn lines_do_not_depend_on_how_the_pipe_delivers_them() {
        let expected = ["one", "", "two", "three"];
        assert_eq!(lines(&[b"one\n\ntwo\r\nthree"]), expected);
        assert_eq!(lines(&[b"on", b"e", b"\n", b"\ntwo\r", b"\nth", b"ree"]), expected);
    }

    #[test]
    fn a_final_newline_adds_no_line() {
        assert_eq!(lines(&[b"one\n"]), ["one"]);
        assert_eq!(lines(&[]), [""; 0]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so_and_the_next_is_whole() {
        let long = vec![b'x'; LINE_BYTES_MAX + 7];
        let got = lines(&[&long[..100], &long[100..], b"\nnext\n"]);
        assert_eq!(got[0], "x".repeat(LINE_BYTES_MAX) + " [msx: 7 bytes of this line were cut]");
        assert_eq!(got[1], "next");
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let (time, service) = ("2026-11-24T10:00:00.120Z".parse().unwrap(), Arc::from("a.a"));
        let mut out = Vec::new();
        encode(&mut out, &stamp(time), "a-1", Stream::Stderr, b"  two  spaces ");
        assert_eq!(String::from_utf8_lossy(&out), "2026-11-24T10:00:00.120Z a-1 err   two  spaces \n");
        let entry = parse(&service, &out[..out.len() - 1]).unwrap();
        let expected = Entry {
            time,
            service,
            instance: "a-1".into(),
            stream: Stream::Stderr,
            line: "  two  spaces ".into(),
        };
        assert_eq!(entry, expected);
    }

    #[test]
    fn a_torn_line_is_none() {
        for torn in
            ["", "2026-11-24T10:00", "2026-11-24T10:00:00.120Z a-1", "2026-11-24T10:00:00.120Z a-1 what x"]
        {
            assert_eq!(parse(&Arc::from("a.a"), torn.as_bytes()), None, "{torn}");
        }
    }
}
