//! What keeps a web page in the user's browser from calling services on loopback: the Host must be a loopback name
//! (DNS rebinding), and a page may only talk to the address it came from (cross-site requests). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

use super::problem::Problem;

/// Refuses a request that a foreign page could have made.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let host = only(headers, HOST).filter(|host| is_loopback(host)).ok_or_else(|| {
        Problem::forbidden(
            "the Host header must name this machine: localhost, 127.0.0.1 or [::1], with any port",
        )
    })?;
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = only(headers, ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    match origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
        true => Ok(()),
        false => Err(Problem::forbidden(
            "pages of another origin may not call services (Origin differs from Host)",
        )),
    }
}

/// The header, if it is there once and is text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => return is_port(port) && name.parse() == Ok(Ipv6Addr::LOCALHOST),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let loopback = name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback());
    is_port(port) && (loopback || name.eq_ignore_ascii_case("localhost"))
}

/// `` or `:8080`
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_loopback_hosts_pass() {
        let good = ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]", "[::1]:65535"];
        let bad = [
            "",
            ":80",
            "localhost.",
            "localhost.evil.test",
            "evil.test:8080",
            "128.0.0.1",
            "127.0.0.1.evil.test",
            "127.1",
            "[::2]",
            "::1",
            "[::1]x",
            "[::1",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:1:2",
            "user@localhost",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
        ];
        for host in good {
            assert!(is_loopback(host), "{host}");
        }
        for host in bad {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn an_origin_must_be_the_host() {
        let with = |hosts: &[&str], origins: &[&str]| {
            let mut headers = HeaderMap::new();
            for (name, values) in [(HOST, hosts), (ORIGIN, origins)] {
                for value in values {
                    headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
                }
            }
            check(&headers).is_ok()
        };
        assert!(with(&["localhost:8080"], &[]));
        assert!(with(&["localhost:8080"], &["http://localhost:8080"]));
        for origin in [
            "null",
            "http://localhost:8081",
            "http://127.0.0.1:8080",
            "https://localhost:8080",
            "http://evil.test",
        ] {
            assert!(!with(&["localhost:8080"], &[origin]), "{origin}");
        }
        assert!(!with(&["localhost:8080"], &["http://localhost:8080", "http://evil.test"]));
        assert!(!with(&["localhost", "evil.test"], &[]));
        assert!(!with(&[], &[]));
    }
}
