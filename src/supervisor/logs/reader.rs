//! The reading end: the lines of many services in one order of time, from any point on, while they grow.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::record::{self, Entry, Stream};
use super::segments;

/// Which lines to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Canonical names with the instance if only one is meant; empty: everything.
    chosen: Vec<(String, Option<String>)>,
}

/// A name that fits no log or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: String,
    /// The services it may mean, or, when it means none, those that have logs.
    pub candidates: Vec<String>,
    pub ambiguous: bool,
}

/// Where to start.
#[derive(Clone, Copy, Debug)]
pub enum Position {
    Start,
    /// Only what comes from now on.
    End,
    /// Lines of this moment and later.
    Since(Timestamp),
    /// Enough to have the last n lines.
    Last(usize),
}

/// Finds the logs that names mean: a canonical name, a short name, or an instance (`a-1`).
pub fn select(root: &Path, names: &[String]) -> io::Result<Result<Selection, Unknown>> {
    let services = segments::services(root)?;
    let chosen: Result<_, _> = names.iter().map(|name| resolve(&services, name)).collect();
    Ok(chosen.map(|chosen| Selection { chosen }))
}

fn resolve(services: &[String], name: &str) -> Result<(String, Option<String>), Unknown> {
    let unknown = |candidates: &[&String], ambiguous| Unknown {
        name: name.to_owned(),
        candidates: candidates.iter().map(|name| (*name).clone()).collect(),
        ambiguous,
    };
    match matching(services, name).as_slice() {
        [service] => return Ok(((*service).clone(), None)),
        [] => {}
        several => return Err(unknown(several, true)),
    }
    let base = name.rsplit_once('-').filter(|(_, n)| n.parse::<u32>().is_ok()).map(|(base, _)| base);
    match base.map(|base| matching(services, base)).unwrap_or_default().as_slice() {
        [service] => Ok(((*service).clone(), Some(name.to_owned()))),
        [] => Err(unknown(&services.iter().collect::<Vec<_>>(), false)),
        several => Err(unknown(several, true)),
    }
}

fn matching<'a>(services: &'a [String], name: &str) -> Vec<&'a String> {
    match services.iter().find(|service| *service == name) {
        Some(exact) => vec![exact],
        None => services.iter().filter(|service| service.rsplit('.').next() == Some(name)).collect(),
    }
}

impl Selection {
    fn has_service(&self, service: &str) -> bool {
        self.chosen.is_empty() || self.chosen.iter().any(|(name, _)| name == service)
    }

    fn has(&self, entry: &Entry) -> bool {
        let wanted = |(service, instance): &(String, Option<String>)| {
            **service == *entry.service && instance.as_ref().is_none_or(|i| *i == entry.instance)
        };
        self.chosen.is_empty() || self.chosen.iter().any(wanted)
    }
}

/// All selected logs, merged.
pub struct Reader {
    root: PathBuf,
    selection: Selection,
    since: Option<Timestamp>,
    cursors: Vec<Cursor>,
}

impl Reader {
    pub fn open(root: &Path, selection: Selection, position: Position) -> io::Result<Self> {
        let since = match position {
            Position::Since(time) => Some(time),
            _ => None,
        };
        let mut reader = Self { root: root.to_path_buf(), selection, since, cursors: Vec::new() };
        reader.add_services(position)?;
        Ok(reader)
    }

    /// The oldest line not yet read; `None` when there was none left at the last `refresh`.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        for cursor in &mut self.cursors {
            cursor.fill(&self.selection, self.since)?;
        }
        let waiting = self.cursors.iter_mut().filter(|cursor| cursor.ready.is_some());
        let oldest = waiting.min_by_key(|cursor| cursor.ready.as_ref().map(|entry| entry.time));
        Ok(oldest.and_then(|cursor| cursor.ready.take()))
    }

    /// Looks at the disk again: what was appended, and services that were not there before.
    pub fn refresh(&mut self) -> io::Result<()> {
        for cursor in &mut self.cursors {
            cursor.dry = false;
        }
        self.add_services(Position::Start)
    }

    fn add_services(&mut self, position: Position) -> io::Result<()> {
        for service in segments::services(&self.root)? {
            let known = self.cursors.iter().any(|cursor| *cursor.service == *service);
            if !known && self.selection.has_service(&service) {
                self.cursors.push(Cursor::open(&self.root, &service, position, &self.selection)?);
            }
        }
        Ok(())
    }
}

/// The position in the log of one service.
struct Cursor {
    service: Arc<str>,
    folder: PathBuf,
    segment: Option<Open>,
    /// Segments before this one are not read.
    first: u64,
    /// A line of which the end has not been written yet.
    partial: Vec<u8>,
    /// The next line, read ahead for the merge.
    ready: Option<Entry>,
    /// Read to the end: not asked again before `refresh`, so that many silent services cost nothing per line.
    dry: bool,
}

struct Open {
    number: u64,
    file: BufReader<File>,
    /// A newer segment exists, so this one no longer grows.
    sealed: bool,
}

/// What there is beyond the end of a segment.
enum Beyond {
    Nothing,
    More,
    /// More, but segments between were removed before they were read.
    Gap,
}

impl Cursor {
    fn open(root: &Path, service: &str, position: Position, selection: &Selection) -> io::Result<Self> {
        let mut cursor = Self {
            service: Arc::from(service),
            folder: segments::folder(root, service),
            segment: None,
            first: 0,
            partial: Vec::new(),
            ready: None,
            dry: false,
        };
        match position {
            Position::Start => {}
            Position::End | Position::Last(0) => cursor.seek_end()?,
            Position::Since(time) => cursor.first = cursor.first_written_since(time)?,
            Position::Last(n) => cursor.first = cursor.first_of_last(n, selection)?,
        }
        Ok(cursor)
    }

    fn seek_end(&mut self) -> io::Result<()> {
        if let Some(number) = segments::list(&self.folder)?.last() {
            self.open_segment(*number)?;
        }
        if let Some(open) = &mut self.segment {
            open.file.seek(SeekFrom::End(0))?;
        }
        Ok(())
    }

    /// The last segment is read in any case: it may grow.
    fn first_written_since(&self, time: Timestamp) -> io::Result<u64> {
        let numbers = segments::list(&self.folder)?;
        let changed_since = |number: &&u64| {
            let changed =
                fs::metadata(segments::path(&self.folder, **number)).and_then(|meta| meta.modified());
            changed.is_ok_and(|changed| Timestamp::try_from(changed).is_ok_and(|changed| changed >= time))
        };
        Ok(numbers.iter().find(changed_since).or(numbers.last()).copied().unwrap_or(0))
    }

    fn first_of_last(&self, n: usize, selection: &Selection) -> io::Result<u64> {
        let (mut first, mut lines) = (0, 0);
        for number in segments::list(&self.folder)?.into_iter().rev() {
            if lines >= n {
                break;
            }
            let text = fs::read(segments::path(&self.folder, number))?;
            let parsed =
                text.split(|byte| *byte == b'\n').filter_map(|line| record::parse(&self.service, line));
            lines += parsed.filter(|entry| selection.has(entry)).count();
            first = number;
        }
        Ok(first)
    }

    /// Reads ahead to the next selected line, if there is one.
    fn fill(&mut self, selection: &Selection, since: Option<Timestamp>) -> io::Result<()> {
        while self.ready.is_none() && !self.dry {
            match self.read_entry()? {
                None => self.dry = true,
                Some(entry) if selection.has(&entry) && since.is_none_or(|since| entry.time >= since) => {
                    self.ready = Some(entry);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn read_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.read_line()? {
                let entry = record::parse(&self.service, &self.partial[..self.partial.len() - 1]);
                self.partial.clear();
                if entry.is_some() {
                    return Ok(entry);
                }
                continue;
            }
            match self.advance()? {
                Beyond::More => {}
                Beyond::Nothing => return Ok(None),
                Beyond::Gap => return Ok(Some(self.gap())),
            }
        }
    }

    /// Whether `partial` is now a whole line.
    fn read_line(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.segment else { return Ok(false) };
        open.file.read_until(b'\n', &mut self.partial)?;
        Ok(self.partial.ends_with(b"\n"))
    }

    /// At the end of a segment: goes on to the next one.
    fn advance(&mut self) -> io::Result<Beyond> {
        let current = self.segment.as_ref().map_or(self.first.saturating_sub(1), |open| open.number);
        let Some(next) = segments::list(&self.folder)?.into_iter().find(|number| *number > current) else {
            return Ok(Beyond::Nothing);
        };
        match &mut self.segment {
            // It may have grown between our last read and the beginning of the next segment: read once more.
            Some(open) if !open.sealed => {
                open.sealed = true;
                return Ok(Beyond::More);
            }
            _ => {}
        }
        let lost = self.segment.is_some() && next > current + 1;
        self.partial.clear();
        self.open_segment(next)?;
        Ok(if lost { Beyond::Gap } else { Beyond::More })
    }

    /// A segment that the bound removed meanwhile is no error: the next look finds a later one.
    fn open_segment(&mut self, number: u64) -> io::Result<()> {
        match File::open(segments::path(&self.folder, number)) {
            Ok(file) => self.segment = Some(Open { number, file: BufReader::new(file), sealed: false }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn gap(&self) -> Entry {
        Entry {
            time: Timestamp::now(),
            service: self.service.clone(),
            instance: self.service.to_string(),
            stream: Stream::Store,
            line: "lines are missing here: they were removed before they were read".into(),
        }
    }
}
