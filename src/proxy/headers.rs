//! What HTTP says of the heads of messages that pass through: what is refused, what ends here, and what is added. Pure.
//!
//! hyper's parser has refused already: obs-fold, a bare CR, NUL, a space before a colon, differing or malformed
//! Content-Lengths, and Transfer-Encoding in HTTP/1.0 or without a last `chunked`. A Content-Length beside `chunked` it
//! drops, and closes the connection behind the response. `tests/hostile.rs` holds it to that.

use std::cell::RefCell;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};

use super::refused::Refused;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// They concern one connection only. `Trailer` stays: it announces what passes through.
const HOP_BY_HOP: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// What `Connection` may not take away: without them the message would be another one.
const KEPT: [HeaderName; 2] = [HOST, CONTENT_LENGTH];

/// Refuses what the two sides could understand differently.
pub fn check(head: &Parts) -> Result<(), Refused> {
    if head.method == Method::CONNECT {
        return Err(Refused::no_tunnel());
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings.next().is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !is_chunked || codings.next().is_some() {
        return Err(Refused::bad_request("the only Transfer-Encoding of a request is `chunked`"));
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (None, _) if head.version == Version::HTTP_10 => Ok(()),
        _ => Err(Refused::bad_request("a request has one Host header, which names one host")),
    }
}

/// Whether it can be `host:port`; which host it names is the service's affair.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(byte))
}

/// What a request asks of the connection that it came on.
#[derive(Debug, Default, PartialEq)]
pub struct Wishes {
    /// The protocol that it would rather speak (`websocket`).
    pub upgrade: Option<HeaderValue>,
    /// It waits to be asked for its body.
    pub expects_continue: bool,
}

/// Turns the head of a request into the one that the instance gets.
pub fn pass_on(head: &mut Parts, client: &Client, has_body: bool) -> Wishes {
    let wishes = Wishes {
        upgrade: wanted_upgrade(head),
        expects_continue: has_body && head.version == Version::HTTP_11 && expects_continue(&head.headers),
    };
    let takes_trailers = has_token(&head.headers, TE, "trailers");
    to_origin_form(head);
    strip(&mut head.headers);
    drop_disguised(&mut head.headers);
    head.headers.remove(EXPECT);
    if wishes.expects_continue {
        head.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    ask_of_connection(&mut head.headers, &wishes, takes_trailers);
    client.tell(&mut head.headers);
    head.version = Version::HTTP_11;
    wishes
}

fn ask_of_connection(headers: &mut HeaderMap, wishes: &Wishes, takes_trailers: bool) {
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = &wishes.upgrade {
        headers.insert(UPGRADE, protocol.clone());
    }
    let named = match (&wishes.upgrade, takes_trailers) {
        (Some(_), true) => "upgrade, te",
        (Some(_), false) => "upgrade",
        (None, true) => "te",
        (None, false) => return,
    };
    headers.insert(CONNECTION, HeaderValue::from_static(named));
}

/// An upgrade to HTTP/2 is not one that a request can be passed on with.
fn wanted_upgrade(head: &Parts) -> Option<HeaderValue> {
    let wanted = head.headers.get(UPGRADE)?;
    let is_http2 = wanted.as_bytes().to_ascii_lowercase().windows(3).any(|part| part == b"h2c");
    let is_asked = head.version == Version::HTTP_11 && has_token(&head.headers, CONNECTION, "upgrade");
    (is_asked && !is_http2).then(|| wanted.clone())
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Of `GET http://host/path` the instance gets the path, and the host as a header (RFC 9112 3.2.2).
fn to_origin_form(head: &mut Parts) {
    let Some(authority) = head.uri.authority() else { return };
    if let Ok(host) = HeaderValue::from_str(authority.as_str().rsplit('@').next().unwrap_or_default()) {
        head.headers.insert(HOST, host);
    }
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    head.uri = Uri::from(path);
}

/// Turns the head of a response into the one that the client gets.
pub fn pass_back(headers: &mut HeaderMap) {
    // Chunked decides, whatever else it says.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers);
}

/// The same of a response that changes the protocol.
pub fn pass_back_upgrade(headers: &mut HeaderMap) {
    let protocol = headers.get(UPGRADE).cloned();
    pass_back(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    protocol.into_iter().for_each(|protocol| drop(headers.insert(UPGRADE, protocol)));
}

/// Whether the connection can be used again after this response.
pub fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    match version {
        Version::HTTP_10 => has_token(headers, CONNECTION, "keep-alive"),
        _ => !has_token(headers, CONNECTION, "close"),
    }
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = tokens(headers, CONNECTION)
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .filter(|name| !KEPT.contains(name))
            .collect();
        named.into_iter().chain([CONNECTION]).for_each(|name| drop(headers.remove(name)));
    }
    HOP_BY_HOP.into_iter().for_each(|name| drop(headers.remove(name)));
}

/// A gateway interface of the CGI family takes `_` for `-`: what only msx may say, or decides where a body ends, must
/// not come in by that way.
fn drop_disguised(headers: &mut HeaderMap) {
    let is_disguised = |name: &HeaderName| {
        let name = name.as_str();
        name.contains('_')
            && [
                "content-length",
                "transfer-encoding",
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "host",
            ]
            .contains(&name.replace('_', "-").as_str())
    };
    let disguised: Vec<HeaderName> = headers.keys().filter(|name| is_disguised(name)).cloned().collect();
    disguised.into_iter().for_each(|name| drop(headers.remove(name)));
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn has_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    // A weight may follow: `trailers;q=0.5`.
    let is_it = |token: &[u8]| {
        token
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(wanted.as_bytes())
    };
    tokens(headers, name).any(is_it)
}

/// Who sends the requests of a connection, as the instance is told.
pub struct Client {
    address: HeaderValue,
    /// `for=…` of the header `Forwarded`.
    node: String,
    /// The Host of the last request, and what `Forwarded` says with it: the next one has mostly the same.
    last: RefCell<Option<(Option<HeaderValue>, HeaderValue)>>,
}

impl Client {
    pub fn new(address: IpAddr) -> Self {
        let text = address.to_canonical().to_string();
        let node = if text.contains(':') { format!("for=\"[{text}]\"") } else { format!("for={text}") };
        let address = HeaderValue::from_str(&text).expect("an address is visible ASCII");
        Self { address, node, last: RefCell::default() }
    }

    /// Adds what proxies in front have not said, and itself behind what they have.
    fn tell(&self, headers: &mut HeaderMap) {
        let host = headers.get(HOST).cloned();
        let forwarded = self.forwarded(host.as_ref());
        join(headers, FORWARDED, &forwarded);
        join(headers, FORWARDED_FOR, &self.address);
        headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(FORWARDED_HOST).or_insert(host);
        }
    }

    fn forwarded(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((known, forwarded)) if known.as_ref() == host => forwarded.clone(),
            _ => {
                let forwarded = self.written(host);
                *last = Some((host.cloned(), forwarded.clone()));
                forwarded
            }
        }
    }

    fn written(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        let host = host.map_or_else(String::new, |host| format!(";host=\"{host}\""));
        HeaderValue::try_from(format!("{}{host};proto=http", self.node))
            .expect("both parts are visible ASCII")
    }
}

/// The lines of a list become one, with this element behind them.
fn join(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, element.clone());
        return;
    }
    let known = headers.get_all(&name).into_iter().map(HeaderValue::as_bytes);
    let all = known.chain([element.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
    let all = HeaderValue::from_bytes(&all).expect("values of headers, joined, are one");
    headers.insert(name, all);
}

#[cfg(test)]
mod tests;
