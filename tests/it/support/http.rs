//! A plain HTTP client that can also send what no proper client would.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::hub::BOUND;

/// One connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    host: String,
}

/// An answer. Shown, it is whole but for what differs from run to run.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// In lower case, sorted.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Http {
    /// `address` is `http://HOST:PORT/` or `HOST:PORT`.
    pub fn connect(address: &str) -> Self {
        let host = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), host }
    }

    /// Sends these bytes. What the other side no longer reads is no matter here: its answer tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a whole request. A header given here stands in place of the usual one of its name.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        self.send(self.request(method, path, headers, body).as_bytes());
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let length = body.len().to_string();
        let usual =
            [("host", self.host.as_str()), ("content-type", "application/json"), ("content-length", &length)];
        let given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        let all = usual.iter().filter(|(name, _)| !given(name)).chain(headers);
        let lines: String = all.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{method} {path} HTTP/1.1\r\n{lines}\r\n{body}")
    }

    /// `POST` of JSON, and its answer.
    pub fn post(&mut self, path: &str, body: &str) -> Response {
        self.post_with(path, &[], body)
    }

    pub fn post_with(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.ask("POST", path, headers, body);
        self.response().expect("an answer")
    }

    /// The next answer; `None` when the other side closes instead.
    pub fn response(&mut self) -> Option<Response> {
        let lines = self.stream.by_ref().lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let status = head.first()?.split(' ').nth(1)?.parse().unwrap();
        let header = |line: &String| {
            line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        };
        let mut headers: Vec<(String, String)> = head[1..].iter().filter_map(header).collect();
        headers.sort();
        let is_chunked =
            headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        let body = if is_chunked { self.chunks() } else { self.bytes(length) };
        Some(Response { status, headers, body: String::from_utf8(body).unwrap() })
    }
}

impl Http {
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A body whose length was not known at its beginning.
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let chunk = self.bytes(size + 2);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }
}

impl Response {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        let told =
            self.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"));
        told.into_iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        write!(f, "\n{}", self.body)
    }
}
