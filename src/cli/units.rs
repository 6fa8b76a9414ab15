//! Numbers for people: three digits say enough. Pure.

/// `1.2 ms`, `35 ms`, `1.5 s`
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1000.0),
        ms if ms < 1000.0 => format!("{} ms", short(ms)),
        ms => format!("{} s", short(ms / 1000.0)),
    }
}

/// A duration that may be short or long: `35 ms`, `1.5 s`, `5m1s`
pub fn span(seconds: f64) -> String {
    if seconds < 100.0 { millis(seconds * 1000.0) } else { age(seconds) }
}

/// `42s`, `5m`, `3h20m`, `2d4h`
pub fn age(seconds: f64) -> String {
    let (s, m, h) = (seconds.max(0.0) as u64, 60, 3600);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        small => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match s {
        s if s < m => format!("{s}s"),
        s if s < 10 * m => two(s / m, "m", s % m, "s"),
        s if s < h => format!("{}m", s / m),
        s if s < 24 * h => two(s / h, "h", s % h / m, "m"),
        s => two(s / (24 * h), "d", s % (24 * h) / h, "h"),
    }
}

/// `512 B`, `41 MiB`, `1.5 GiB`
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return format!("{} {unit}", if unit == "B" { bytes.to_string() } else { short(value) });
        }
        value /= 1024.0;
    }
    format!("{} TiB", short(value))
}

/// `0`, `0.4`, `12`, `24.1k`
pub fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".into(),
        r if r < 1000.0 => short(r),
        r => format!("{}k", short(r / 1000.0)),
    }
}

/// Share of one core: `35%`, `180%`
pub fn cpu(cores: f64) -> String {
    format!("{:.0}%", cores * 100.0)
}

/// One decimal below 10, and below 100 when it says something.
fn short(value: f64) -> String {
    let digits =
        usize::from(value < 10.0 || (value < 100.0 && value.fract() >= 0.05 && value.fract() < 0.95));
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_takes_over_where_the_last_gets_long() {
        assert_eq!(
            [0.04, 1.24, 99.96, 999.0, 1500.0].map(millis),
            ["40 µs", "1.2 ms", "100 ms", "999 ms", "1.5 s"]
        );
        assert_eq!([0.0003, 1.5, 187_200.0].map(span), ["300 µs", "1.5 s", "2d4h"]);
        assert_eq!([512, 1023, 42 << 20, 3 << 29].map(bytes), ["512 B", "1.0 KiB", "42 MiB", "1.5 GiB"]);
        assert_eq!([0.0, 0.42, 12.3, 640.0, 24_100.0].map(rate), ["0", "0.4", "12.3", "640", "24.1k"]);
        assert_eq!(
            [59.9, 60.0, 301.0, 3599.0, 12_000.0, 187_200.0].map(age),
            ["59s", "1m", "5m1s", "59m", "3h20m", "2d4h"]
        );
        assert_eq!([0.0, 0.354, 1.8].map(cpu), ["0%", "35%", "180%"]);
    }
}
