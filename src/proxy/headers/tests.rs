//! Rules of heads, as tables; and that no head of any form breaks them.

use proptest::prelude::*;

use super::*;
use http::Request;

fn head(method: &str, target: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn client() -> Client {
    Client::new("127.0.0.1".parse().unwrap())
}

/// What of a request passes, without what is told of its client.
fn passed(lines: &[(&str, &str)], has_body: bool) -> (Wishes, Vec<String>) {
    let mut head = head("POST", "/", lines);
    let wishes = pass_on(&mut head, &client(), has_body);
    let is_ours = |name: &HeaderName| name.as_str().contains("forwarded");
    let left = head.headers.iter().filter(|(name, _)| !is_ours(name));
    let mut left: Vec<_> = left.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    left.sort();
    (wishes, left)
}

#[test]
fn what_passes_of_a_request() {
    let table: &[(&[(&str, &str)], bool, &[&str])] = &[
        (&[("host", "a"), ("accept", "x"), ("accept", "y")], false, &["accept: x", "accept: y", "host: a"]),
        (&[("host", "a"), ("content-length", "3")], true, &["content-length: 3", "host: a"]),
        (
            &[("host", "a"), ("transfer-encoding", "chunked")],
            true,
            &["host: a", "transfer-encoding: chunked"],
        ),
        (
            &[
                ("host", "a"),
                ("connection", "keep-alive, X-A ,x-b"),
                ("x-a", "1"),
                ("x-b", "2"),
                ("x-c", "3"),
            ],
            false,
            &["host: a", "x-c: 3"],
        ),
        (&[("host", "a"), ("connection", "close"), ("connection", "x-a"), ("x-a", "1")], false, &["host: a"]),
        (
            &[("host", "a"), ("connection", "host, content-length"), ("content-length", "3")],
            true,
            &["content-length: 3", "host: a"],
        ),
        (
            &[("host", "a"), ("te", "trailers, gzip;q=0.5")],
            false,
            &["connection: te", "host: a", "te: trailers"],
        ),
        (&[("host", "a"), ("te", "gzip")], false, &["host: a"]),
        (
            &[("host", "a"), ("keep-alive", "5"), ("proxy-connection", "x"), ("proxy-authorization", "x")],
            false,
            &["host: a"],
        ),
        (&[("host", "a"), ("upgrade", "websocket")], false, &["host: a"]),
        (
            &[("host", "a"), ("content_length", "3"), ("transfer_encoding", "chunked"), ("x_mine", "1")],
            false,
            &["host: a", "x_mine: 1"],
        ),
        (&[("host", "a"), ("expect", "100-continue")], false, &["host: a"]),
        (
            &[("host", "a"), ("trailer", "x-sum"), ("transfer-encoding", "chunked")],
            true,
            &["host: a", "trailer: x-sum", "transfer-encoding: chunked"],
        ),
    ];
    for (lines, has_body, expected) in table {
        assert_eq!(passed(lines, *has_body).1, *expected, "{lines:?}");
    }
}

#[test]
fn what_a_request_wishes() {
    let upgrade = |lines: &[(&str, &str)]| {
        passed(lines, false).0.upgrade.map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(upgrade(&[("upgrade", "websocket"), ("connection", "Upgrade")]).as_deref(), Some("websocket"));
    assert_eq!(
        upgrade(&[("upgrade", "websocket"), ("connection", "keep-alive"), ("connection", "UPGRADE")])
            .as_deref(),
        Some("websocket")
    );
    assert_eq!(upgrade(&[("upgrade", "h2c"), ("connection", "upgrade")]), None);
    assert_eq!(upgrade(&[("connection", "upgrade")]), None);
    let expects = |lines: &[(&str, &str)], has_body| passed(lines, has_body).0.expects_continue;
    assert!(expects(&[("expect", "100-Continue"), ("content-length", "1")], true));
    assert!(!expects(&[("expect", "100-continue")], false));
    assert!(!expects(&[("expect", "tea"), ("content-length", "1")], true));
}

#[test]
fn who_asks_is_told_to_the_instance() {
    let told = |address: &str, lines: &[(&str, &str)]| {
        let mut head = head("GET", "/", lines);
        pass_on(&mut head, &Client::new(address.parse().unwrap()), false);
        [FORWARDED, FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST]
            .map(|name| head.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned())
    };
    assert_eq!(
        told("::1", &[("host", "a:1")]),
        ["for=\"[::1]\";host=\"a:1\";proto=http", "::1", "http", "a:1"]
    );
    assert_eq!(told("::ffff:10.0.0.9", &[]), ["for=10.0.0.9;proto=http", "10.0.0.9", "http", "-"]);
    assert_eq!(
        told(
            "10.0.0.9",
            &[
                ("host", "a"),
                ("forwarded", "for=x"),
                ("forwarded", "for=y"),
                ("x-forwarded-for", "x"),
                ("x-forwarded-host", "b"),
                ("x-forwarded-proto", "https")
            ]
        ),
        ["for=x, for=y, for=10.0.0.9;host=\"a\";proto=http", "x, 10.0.0.9", "https", "b"]
    );
}

#[test]
fn what_is_said_of_a_client_follows_the_host() {
    let client = client();
    for host in ["a", "a", "b", "a"] {
        let mut head = head("GET", "/", &[("host", host)]);
        pass_on(&mut head, &client, false);
        let expected = format!("for=127.0.0.1;host=\"{host}\";proto=http");
        assert_eq!(head.headers[FORWARDED], expected.as_str());
    }
}

#[test]
fn whether_a_connection_is_kept() {
    let keeps = |version, connection: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in connection {
            headers.append(CONNECTION, HeaderValue::from_str(value).unwrap());
        }
        keeps_alive(version, &headers)
    };
    assert!(keeps(Version::HTTP_11, &[]) && keeps(Version::HTTP_11, &["keep-alive"]));
    assert!(!keeps(Version::HTTP_11, &["keep-alive, Close"]) && !keeps(Version::HTTP_11, &["x", "close"]));
    assert!(!keeps(Version::HTTP_10, &[]) && keeps(Version::HTTP_10, &["Keep-Alive"]));
}

#[test]
fn an_upgrade_keeps_its_name_on_the_way_back() {
    let mut headers = HeaderMap::new();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    pass_back_upgrade(&mut headers);
    assert_eq!(
        (headers[UPGRADE].as_bytes(), headers[CONNECTION].as_bytes()),
        (&b"websocket"[..], &b"upgrade"[..])
    );
}

fn lines() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        Just("connection".to_owned()),
        Just("transfer-encoding".to_owned()),
        Just("content-length".to_owned()),
        Just("host".to_owned()),
        Just("te".to_owned()),
        Just("upgrade".to_owned()),
        Just("x-forwarded-for".to_owned()),
        "[a-z][a-z_-]{0,8}",
    ];
    let value = prop_oneof![
        Just("close".to_owned()),
        Just("chunked".to_owned()),
        Just("host, x, content-length, forwarded".to_owned()),
        "[ -~]{0,12}",
    ];
    prop::collection::vec((name, value), 0..8)
}

proptest! {
    /// Of whatever comes, the instance gets one way to tell where the body ends, and nothing of one connection only.
    #[test]
    fn no_head_breaks_the_rules(lines in lines(), has_body in any::<bool>(), is_upgrade in any::<bool>()) {
        let mut given: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (&**name, &**value)).collect();
        if is_upgrade {
            given.extend([("connection", "upgrade"), ("upgrade", "websocket")]);
        }
        let mut head = head("POST", "/", &given);
        if check(&head).is_err() {
            return Ok(());
        }
        // As hyper leaves it.
        if head.headers.contains_key(TRANSFER_ENCODING) {
            head.headers.remove(CONTENT_LENGTH);
        }
        pass_on(&mut head, &client(), has_body);
        let headers = &head.headers;
        let ends = usize::from(headers.contains_key(CONTENT_LENGTH)) + usize::from(headers.contains_key(TRANSFER_ENCODING));
        prop_assert!(ends <= 1 && (!has_body || ends == 1));
        prop_assert!(headers.get_all(CONNECTION).iter().count() <= 1);
        prop_assert!(!headers.contains_key("keep-alive") && !headers.contains_key("proxy-authorization"));
        prop_assert!(headers[FORWARDED_FOR].as_bytes().ends_with(b"127.0.0.1"));
        prop_assert_eq!(headers.get_all(HOST).iter().count(), 1);
    }
}
