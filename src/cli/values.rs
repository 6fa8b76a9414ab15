//! Values on the command line that clap has no type for. Pure.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::protocol::worker::IDEMPOTENCY_KEY_MAX;

/// `a=4`
pub fn instances(text: &str) -> Result<(String, u32), String> {
    let (name, number) = pair(text)?;
    Ok((name, count(number)?))
}

/// `a=4` or `a=auto`; `None` is auto.
pub fn instances_or_auto(text: &str) -> Result<(String, Option<u32>), String> {
    match pair(text)? {
        (name, "auto") => Ok((name, None)),
        (name, number) => Ok((name, Some(count(number).map_err(|e| format!("{e} or `auto`"))?))),
    }
}

fn pair(text: &str) -> Result<(String, &str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value)),
        _ => Err("expected NAME=NUMBER, for example `a=4`".into()),
    }
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number of instances: expected 0 or more"))
}

/// `500ms`, `10s`, `1h30m`
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "expected a time with its unit, for example `500ms`, `10s` or `1h30m`".into())
}

/// A key of visible ASCII characters, as it may stand in a header, too.
pub fn idempotency_key(text: &str) -> Result<String, String> {
    let is_one =
        (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    is_one.then(|| text.to_owned()).ok_or_else(|| {
        format!("expected 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters, without spaces")
    })
}

/// A moment (`2026-11-24T10:00`, UTC unless it has an offset) or how long ago (`10m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    At(Timestamp),
    Ago(Duration),
}

impl Since {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        let local = || {
            text.parse::<DateTime>().and_then(|civil| civil.to_zoned(TimeZone::UTC)).map(|z| z.timestamp())
        };
        let at = text.parse::<Timestamp>().or_else(|_| local());
        at.map(Self::At)
            .map_err(|_| "expected how long ago (`10m`, `1h30m`) or a time (`2026-11-24T10:00`)".into())
    }

    pub fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_instances_has_a_name() {
        assert_eq!(instances("a.a=0"), Ok(("a.a".into(), 0)));
        for wrong in ["a", "=4", "a=", "a=-1", "a=four", "a=auto"] {
            assert!(instances(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn auto_is_no_number() {
        assert_eq!(instances_or_auto("a=auto"), Ok(("a".into(), None)));
        assert_eq!(instances_or_auto("a=3"), Ok(("a".into(), Some(3))));
    }

    #[test]
    fn durations_need_a_unit_and_a_value() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["10", "", "0s", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn since_takes_moments_and_ages() {
        let at = |text: &str| Ok(Since::At(text.parse().unwrap()));
        assert_eq!(Since::parse("2026-11-24T10:00"), at("2026-11-24T10:00:00Z"));
        assert_eq!(Since::parse("2026-11-24T10:00:00+01:00"), at("2026-11-24T09:00:00Z"));
        assert_eq!(Since::parse("2026-11-24"), at("2026-11-24T00:00:00Z"));
        assert_eq!(Since::parse("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        assert!(Since::parse("yesterday").is_err());
    }
}
