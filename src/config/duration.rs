//! Durations as people write them: `100ms`, `30s`, `5m`, `1h`, also `1m30s`.

use std::time::Duration;

/// Units with their milliseconds; `ms` before `m` and `s`, so that the longest one is found first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `None` if the text is no duration or too long for the clock.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: u64 = rest[..digits].parse().ok()?;
        let (unit, unit_ms) = UNITS.into_iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        total_ms = total_ms.checked_add(amount.checked_mul(unit_ms)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (!text.trim().is_empty()).then_some(Duration::from_millis(total_ms))
}

/// The shortest way to write it that `parse` reads back: minutes, hours and days only from two on (`60s`, `2m`).
pub fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)] {
        if ms > unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in
            [("30s", 30_000), ("100ms", 100), ("5m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse(" 0s "), Some(Duration::ZERO));
    }

    #[test]
    fn refuses_the_rest() {
        for text in
            ["", " ", "30", "s", "-1s", "1.5s", "1 s", "30 sec", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn shows_the_unit_that_fits() {
        for (text, shown) in
            [("60s", "60s"), ("120s", "2m"), ("90s", "90s"), ("7200s", "2h"), ("1500ms", "1500ms")]
        {
            assert_eq!(parse(text).map(show).as_deref(), Some(shown));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in 0..u64::from(u32::MAX)) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
