//! A shell that knows what the pages use: `msx`, `curl`, `python`, `pytest`, `echo $?`, variables before a command, `$(…)`.
//!
//! What differs from a real one: `msx up` runs in the background, so that the page can go on; the gateway that a page
//! calls `127.0.0.1:8080` may listen elsewhere; a line that ends in `&` runs until the page ends; the call that is first in
//! the last `msx calls` is shown as `9k2m4xq7`; paths of the sandbox are shown as `/home/you/shop`; `cargo run --release --`
//! is the binary under test; `cargo build`, `cargo install`, `cargo test` and `pip` are the reader's business.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::hub::BOUND;
use crate::support::{Running, Sandbox, plain};

/// Where the pages say the gateway listens.
const GATEWAY: &str = "127.0.0.1:8080";
/// Where the pages say the project is.
const PROJECT: &str = "/home/you/shop";
/// What the pages call a call, in full and by its beginning.
const CALL: &str = "9k2m4xq7";
const CALL_START: &str = "9k2m";

pub struct Console<'a> {
    sandbox: &'a Sandbox,
    /// Where the gateway really listens, as `up` said.
    gateway: Option<String>,
    /// The id of the call that the page speaks of.
    call: Option<String>,
    background: Vec<Running>,
    last_code: i32,
}

/// What a command printed: stdout, then stderr.
pub struct Printed {
    pub text: String,
    pub succeeded: bool,
}

impl<'a> Console<'a> {
    pub fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, gateway: None, call: None, background: Vec::new(), last_code: 0 }
    }

    pub fn run(&mut self, line: &str) -> Printed {
        let line = line
            .strip_prefix("cargo run --release -- ")
            .map_or(line.to_owned(), |verb| format!("msx {verb}"));
        let line = self.substituted(line);
        let line = self.with_call(line);
        let words = words(&line);
        let is_setting =
            |word: &&String| word.split_once('=').is_some_and(|(name, _)| name == name.to_uppercase());
        let settings: Vec<&String> = words.iter().take_while(is_setting).collect();
        let env: Vec<(&str, &str)> = settings.iter().filter_map(|setting| setting.split_once('=')).collect();
        let words: Vec<&str> = words[settings.len()..].iter().map(String::as_str).collect();
        let (code, text) = match words.as_slice() {
            ["echo", "$?"] => (0, self.last_code.to_string()),
            ["cargo" | "pip" | "export" | "sudo", ..] => (0, String::new()),
            ["msx", args @ .., "&"] => {
                self.background.push(self.sandbox.start(args));
                (0, String::new())
            }
            ["msx", args @ ..] => self.msx(args, &env),
            ["python" | "python3", args @ ..] => self.python(args, &env),
            ["pytest", args @ ..] => self.pytest(args),
            ["rm" | "touch", ..] => ended(&mut self.sandbox.shell(&line)),
            ["curl", args @ ..] => (0, self.curl(args)),
            _ => panic!("the pages' console does not know `{line}`"),
        };
        self.last_code = code;
        Printed { text: self.as_written(&text), succeeded: code == 0 }
    }

    /// The line with the output of each `$(command)` in its place.
    fn substituted(&mut self, mut line: String) -> String {
        while let Some(start) = line.find("$(") {
            let end = start + line[start..].find(')').unwrap();
            let inner = line[start + 2..end].to_owned();
            let printed = self.run(&inner);
            assert!(printed.succeeded, "`{inner}` printed\n{}", printed.text);
            line.replace_range(start..=end, &printed.text);
        }
        line
    }

    /// The line with the id of the call that is meant.
    fn with_call(&self, line: String) -> String {
        match &self.call {
            Some(id) => line.replace(CALL, id).replace(CALL_START, &id[..CALL_START.len()]),
            None => line,
        }
    }

    fn msx(&mut self, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
        let mut args = args.to_vec();
        let is_up = args.first() == Some(&"up");
        if is_up && !args.iter().any(|arg| matches!(*arg, "-d" | "--wait" | "--help")) {
            args.extend(["-d", "--wait"]);
        }
        let (code, text) = ended(self.sandbox.msx(&args).envs(env.iter().copied()));
        if is_up && let Some((_, rest)) = text.split_once("gateway: http://") {
            self.gateway = rest.split_once('/').map(|(address, _)| address.to_owned());
        }
        if args.first() == Some(&"calls") && !args.contains(&"retry") {
            let first = text.lines().nth(1).and_then(|row| row.split_whitespace().next());
            self.call = first.filter(|id| id.len() == CALL.len()).map(str::to_owned);
        }
        (code, text)
    }

    /// Python as it is where the SDK was installed.
    fn python(&self, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/python/src");
        let path = std::env::join_paths([vec![sdk], self.packages()].concat()).unwrap();
        let mut python = Command::new("python3");
        python.args(args).current_dir(self.sandbox.root());
        plain(&mut python);
        python.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        ended(python.envs(env.iter().copied()))
    }

    /// As where the SDK was installed together with its plugin.
    fn pytest(&self, args: &[&str]) -> (i32, String) {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/python/src");
        let mut pytest = Command::new(crate::sdk::environment().join("bin/python"));
        pytest.args(["-m", "pytest", "-p", "msx.testing", "-p", "no:cacheprovider"]).args(args);
        plain(&mut pytest);
        pytest.env("PYTHONPATH", sdk).env("PYTHONDONTWRITEBYTECODE", "1").env("COLUMNS", "80");
        ended(pytest.current_dir(self.sandbox.root()))
    }

    /// What msx has fetched for itself, which the SDK needs.
    fn packages(&self) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache/msx/deps");
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    fn curl(&self, args: &[&str]) -> String {
        let request = Request::parse(args);
        let url = request.url.replace(GATEWAY, self.gateway.as_deref().unwrap_or(GATEWAY));
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap_or((&url, ""));
        let host =
            if request.header("host").is_some() { String::new() } else { format!("Host: {address}\r\n") };
        let headers: String = request.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let (method, body, length) = (request.method, request.body, request.body.len());
        let message = format!(
            "{method} /{path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_owned() };
        if request.shows_head { format!("{head}\n\n{body}").replace('\r', "") } else { body }
    }

    /// The output with the places that the pages know.
    fn as_written(&self, text: &str) -> String {
        let root = self.sandbox.root();
        let folder = root.file_name().unwrap().to_str().unwrap();
        let text = text.replace(root.to_str().unwrap(), PROJECT).replace(folder, "shop");
        let text = match &self.gateway {
            Some(gateway) => text.replace(gateway, GATEWAY),
            None => text,
        };
        let text = self.call.as_ref().map_or(text.clone(), |id| text.replace(id, CALL));
        let lines = text.lines().filter(|line| !line.starts_with("note: port 8080 is taken"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// The flags of curl that the pages use.
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<String>,
    body: &'a str,
    shows_head: bool,
}

impl<'a> Request<'a> {
    fn parse(args: &[&'a str]) -> Self {
        let mut request = Self { method: "GET", url: "", headers: Vec::new(), body: "", shows_head: false };
        let mut args = args.iter().copied();
        while let Some(arg) = args.next() {
            match arg {
                "-i" => request.shows_head = true,
                "-X" => request.method = args.next().unwrap(),
                "-H" => request.headers.push(args.next().unwrap().to_owned()),
                "-d" | "--json" => {
                    (request.method, request.body) = ("POST", args.next().unwrap());
                    if arg == "--json" {
                        request.headers.push("content-type: application/json".to_owned());
                    }
                }
                url if url.starts_with("http://") => request.url = url,
                other => panic!("the pages' curl does not know `{other}`"),
            }
        }
        request
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter_map(|header| header.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// The words of a command line; quotes of both kinds group, `#` after a space begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    for char in line.chars() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => word.push(char),
            (None, '\'' | '"') => (quote, is_word) = (Some(char), true),
            (None, '#') if !is_word => break,
            (None, ' ') => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, _) => {
                word.push(char);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

/// A body whose length was not known at its beginning.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}
