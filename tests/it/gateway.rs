//! The gateway and the fronts, as programs and browsers meet them: results, refusals, and clients that misbehave.

use crate::support::Sandbox;
use crate::support::http::{Http, Response};
use crate::support::hub::{Hub, wait_for};

/// A hub, and files by which its services tell what they do and are told what to do.
struct Desk<'a> {
    hub: Hub<'a>,
    gateway: String,
}

impl<'a> Desk<'a> {
    fn up(sandbox: &'a Sandbox) -> Self {
        let hub = Hub::up(sandbox, &[]);
        let gateway = hub.gateway();
        Self { hub, gateway }
    }

    fn connect(&self) -> Http {
        Http::connect(&self.gateway)
    }

    /// The body that names a file for `linger` and `narrow`.
    fn mark(&self, name: &str) -> String {
        format!("{{\"mark\": \"{}\"}}", self.hub.sandbox.path(name).display())
    }

    fn wait_until(&self, mark: &str, text: &str) {
        let file = self.hub.sandbox.path(mark);
        wait_for(&format!("{mark} to be {text}"), || {
            (std::fs::read_to_string(&file).ok()? == text).then_some(())
        });
    }

    fn go_on(&self, mark: &str) {
        std::fs::write(self.hub.sandbox.path(mark), "go on").unwrap();
    }

    fn front(&self, service: &str) -> Http {
        Http::connect(self.hub.service(service)["address"].as_str().unwrap())
    }

    fn queue(&self, service: &str) -> u64 {
        self.hub.service(service)["queue"].as_u64().unwrap()
    }
}

/// Compares a whole answer with an inline snapshot.
macro_rules! assert_response {
    ($desk:expr, $response:expr, @$expected:literal) => {{
        let (desk, response): (&Desk, Response) = ($desk, $response);
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&desk.hub.sandbox.root().display().to_string().replace('.', r"\."), "[ROOT]");
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
        // Python marks a part of a line, depending on its version.
        settings.add_filter(r" *[~^]+\\n", "");
        settings.bind(|| insta::assert_snapshot!(response, @$expected));
    }};
}

#[test]
fn answers() {
    let sandbox = Sandbox::project("gateway");
    let desk = Desk::up(&sandbox);
    results_and_refusals(&desk);
    pages_of_others_are_kept_out(&desk);
    fronts_call_their_one_service(&desk);
}

#[test]
fn clients() {
    let sandbox = Sandbox::project("gateway");
    let desk = Desk::up(&sandbox);
    clients_that_leave(&desk);
    connections(&desk);
    clients_that_talk_nonsense(&desk);
}

fn results_and_refusals(desk: &Desk) {
    let mut http = desk.connect();

    assert_response!(desk, http.post("/call/add", r#"{"x": 1, "y": 2}"#), @r"
    200
    content-type: application/json
    x-content-type-options: nosniff

    3
    ");
    assert_response!(desk, http.post("/call/desk.add", r#"{"x": 12345678901234567890123}"#), @r"
    200
    content-type: application/json
    x-content-type-options: nosniff

    12345678901234567890123
    ");
    assert_response!(desk, http.post("/call/join", r#"{"_args": ["a", "b"], "_kwargs": {"by": "-"}}"#), @r#"
    200
    content-type: application/json
    x-content-type-options: nosniff

    "a-b"
    "#);

    http.ask("GET", "/", &[], "");
    assert_response!(desk, http.response().unwrap(), @r#"
    200
    content-security-policy: default-src 'none'
    content-type: text/plain; charset=utf-8
    x-content-type-options: nosniff

    Services of this msx gateway. Each takes a JSON object of its parameters:

    desk.add(x: int, y: int = 0)
        Adds two numbers.
        curl http://127.0.0.1:[PORT]/call/desk.add -H 'content-type: application/json' -d '{"x": 1}'

    desk.join(*words: str, by: str = ' ')
        curl http://127.0.0.1:[PORT]/call/desk.join -H 'content-type: application/json' -d '{}'

    desk.fail(text: str)
        curl http://127.0.0.1:[PORT]/call/desk.fail -H 'content-type: application/json' -d '{"text": "text"}'

    desk.size(text: str)
        curl http://127.0.0.1:[PORT]/call/desk.size -H 'content-type: application/json' -d '{"text": "text"}'

    desk.narrow(mark: str)
        curl http://127.0.0.1:[PORT]/call/desk.narrow -H 'content-type: application/json' -d '{"mark": "text"}'

    desk.linger(mark: str)
        Runs until the file says `go on`, or until it is cancelled.
        curl http://127.0.0.1:[PORT]/call/desk.linger -H 'content-type: application/json' -d '{"mark": "text"}'
    "#);

    let unknown = http.post("/call/nobody", "{}");
    for name in ["hidden", "desk.hidden", "msx.orchestrator.services", "services", "%68idden"] {
        let refused = http.post(&format!("/call/{name}"), "{}");
        let as_unknown = unknown.to_string().replace("nobody", &name.replace("%68", "h"));
        assert_eq!(refused.to_string(), as_unknown, "nothing is to be learnt of {name}");
    }
    assert_response!(desk, unknown, @r#"
    404
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:not-found","title":"Not found","status":404,"detail":"there is no service `nobody`"}
    "#);
    assert_response!(desk, http.post("/calls/add", "{}"), @r#"
    404
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:not-found","title":"Not found","status":404,"detail":"there is nothing here: calls go by POST to /call/SERVICE, and GET / lists the services"}
    "#);
    http.ask("PUT", "/call/add", &[], "{}");
    assert_response!(desk, http.response().unwrap(), @r#"
    405
    allow: POST
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:method","title":"Method not allowed","status":405,"detail":"this address takes only POST"}
    "#);
    assert_response!(desk, http.post_with("/call/add", &[("content-type", "text/plain")], r#"{"x": 1}"#), @r#"
    415
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:media-type","title":"Unsupported media type","status":415,"detail":"arguments are sent with the header `content-type: application/json`"}
    "#);
    assert_response!(desk, http.post("/call/add", r#"{"x": 1"#), @r#"
    400
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:bad-request","title":"Bad request","status":400,"detail":"the arguments of add() are not JSON: EOF while parsing an object at line 1 column 7"}
    "#);
    assert_response!(desk, http.post("/call/add", r#"{"x": "1", "z/~": null}"#), @r#"
    422
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:arguments","title":"Arguments do not fit","status":422,"detail":"add() takes an integer as `x`, not a string, and has no parameter `z/~`; its signature is add(x: int, y: int = 0)","errors":[{"pointer":"/x","message":"takes an integer as `x`, not a string"},{"pointer":"/z~1~0","message":"has no parameter `z/~`"}]}
    "#);
    assert_response!(desk, http.post("/call/join", r#"{"_args": ["a", 2]}"#), @r#"
    422
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:arguments","title":"Arguments do not fit","status":422,"detail":"join() takes a string as `words`, not an integer; its signature is join(*words: str, by: str = ' ')","errors":[{"pointer":"/_args/1","message":"takes a string as `words`, not an integer"}]}
    "#);
    assert_response!(desk, http.post("/call/fail", r#"{"text": "no \"luck\""}"#), @r#"
    500
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:exception","title":"Exception","status":500,"detail":"builtins.ValueError: no \"luck\"","exception":"builtins.ValueError","message":"no \"luck\"","traceback":"Traceback (most recent call last):\n  File \"[ROOT]/desk.py\", line 26, in fail\n    raise ValueError(text)\nValueError: no \"luck\"\n","service":"desk.fail"}
    "#);
}

fn pages_of_others_are_kept_out(desk: &Desk) {
    let mut http = desk.connect();
    let body = r#"{"x": 1}"#;

    let same = desk.gateway.clone();
    assert_eq!(http.post_with("/call/add", &[("origin", &same)], body).status, 200);
    assert_eq!(http.post_with("/call/add", &[("host", "localhost:1")], body).status, 200);
    assert_response!(desk, http.post_with("/call/add", &[("host", "evil.test")], body), @r#"
    403
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:forbidden","title":"Forbidden","status":403,"detail":"the Host header must name this machine: localhost, 127.0.0.1 or [::1], with any port"}
    "#);
    assert_response!(desk, http.post_with("/call/add", &[("origin", "http://evil.test")], body), @r#"
    403
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:forbidden","title":"Forbidden","status":403,"detail":"pages of another origin may not call services (Origin differs from Host)"}
    "#);
    assert_eq!(http.post_with("/call/add", &[("origin", "null")], body).status, 403);
    // What a page can send without being asked for leave first.
    let form = [("content-type", "application/x-www-form-urlencoded"), ("origin", "http://evil.test")];
    assert_eq!(http.post_with("/call/add", &form, "x=1").status, 403);
    http.ask("OPTIONS", "/call/add", &[("origin", "http://evil.test")], "");
    let preflight = http.response().unwrap();
    assert_eq!(preflight.status, 403);
    assert!(!preflight.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{preflight}");

    let mut front = desk.front("add");
    assert_eq!(front.post_with("/", &[("host", "evil.test")], body).status, 403);
    assert_eq!(front.post_with("/", &[("content-type", "text/plain")], body).status, 415);
    http.ask("GET", "/", &[("host", "evil.test")], "");
    assert_eq!(http.response().unwrap().status, 403);
}

fn fronts_call_their_one_service(desk: &Desk) {
    assert_response!(desk, desk.front("add").post("/", r#"{"x": 1, "y": 2}"#), @r"
    200
    content-type: application/json
    x-content-type-options: nosniff

    3
    ");
    assert_response!(desk, desk.front("hidden").post("/", "{}"), @r#"
    200
    content-type: application/json
    x-content-type-options: nosniff

    "seen"
    "#);
    let mut front = desk.front("add");
    assert_response!(desk, front.post("/call/add", r#"{"x": 1}"#), @r#"
    404
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:not-found","title":"Not found","status":404,"detail":"there is nothing here: desk.add is called by POST to /"}
    "#);
    front.ask("GET", "/", &[], "");
    assert_response!(desk, front.response().unwrap(), @r#"
    405
    allow: POST
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:method","title":"Method not allowed","status":405,"detail":"this address takes only POST"}
    "#);
}

#[test]
fn calls_that_are_not_taken_or_do_not_end() {
    let sandbox = Sandbox::project("gateway");
    let desk = Desk::up(&sandbox);
    let mut http = desk.connect();

    let late = http.post_with("/call/linger", &[("x-request-timeout", "1")], &desk.mark("late"));
    assert_response!(&desk, late, @r#"
    504
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:timeout","title":"Call did not end in time","status":504,"detail":"msx.TimeoutError: desk.linger did not answer before the deadline of the request, so the call was cancelled","exception":"msx.TimeoutError","message":"desk.linger did not answer before the deadline of the request, so the call was cancelled","traceback":"","service":"desk.linger"}
    "#);
    desk.wait_until("late", "cancelled");
    let wrong = http.post_with("/call/linger", &[("x-request-timeout", "soon")], &desk.mark("never"));
    assert_response!(&desk, wrong, @r#"
    400
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:bad-request","title":"Bad request","status":400,"detail":"X-Request-Timeout must be a number of seconds above 0, like `2.5`"}
    "#);

    // One runs, one waits, and there is room for no other.
    let (mut running, mut waiting) = (desk.connect(), desk.connect());
    running.ask("POST", "/call/narrow", &[], &desk.mark("first"));
    desk.wait_until("first", "begun");
    waiting.ask("POST", "/call/narrow", &[], &desk.mark("second"));
    wait_for("a call in the queue", || (desk.queue("narrow") == 1).then_some(()));
    assert_response!(&desk, http.post("/call/narrow", &desk.mark("third")), @r#"
    503
    content-type: application/problem+json
    retry-after: 1
    x-content-type-options: nosniff
    x-msx-reason: queue_full

    {"type":"urn:msx:unavailable","title":"Try again later","status":503,"detail":"the queue of desk.narrow is full (its max is 1)"}
    "#);
    // One that waits and is given up makes room.
    drop(waiting);
    wait_for("an empty queue", || (desk.queue("narrow") == 0).then_some(()));
    let mut waiting = desk.connect();
    waiting.ask("POST", "/call/narrow", &[], &desk.mark("fourth"));
    desk.go_on("first");
    assert_eq!(running.response().unwrap().body, "\"done\"");
    desk.wait_until("fourth", "begun");
    desk.go_on("fourth");
    assert_eq!(waiting.response().unwrap().body, "\"done\"");
    assert!(!sandbox.path("second").exists() && !sandbox.path("third").exists());

    desk.hub.msx(&["scale", "narrow=0"]);
    assert_response!(&desk, http.post("/call/narrow", &desk.mark("fifth")), @r#"
    503
    content-type: application/problem+json
    retry-after: 30
    x-content-type-options: nosniff
    x-msx-reason: scaled_to_zero

    {"type":"urn:msx:unavailable","title":"Try again later","status":503,"detail":"desk.narrow is scaled to 0 instances"}
    "#);
}

fn clients_that_leave(desk: &Desk) {
    let mut http = desk.connect();
    http.ask("POST", "/call/linger", &[], &desk.mark("left"));
    desk.wait_until("left", "begun");
    drop(http);
    desk.wait_until("left", "cancelled");

    let mut front = desk.front("linger");
    front.ask("POST", "/", &[], &desk.mark("front"));
    desk.wait_until("front", "begun");
    drop(front);
    desk.wait_until("front", "cancelled");

    // In the middle of a body there is no call yet.
    let mut http = desk.connect();
    http.ask("POST", "/call/add", &[("content-length", "1000")], "{\"x\": 1");
    drop(http);
    assert_eq!(desk.connect().post("/call/add", r#"{"x": 1}"#).body, "1");
}

fn connections(desk: &Desk) {
    let body = |n: usize| format!("{{\"x\": {n}}}");

    // Kept alive.
    let mut http = desk.connect();
    for n in 0..5 {
        assert_eq!(http.post("/call/add", &body(n)).body, n.to_string());
    }
    // Pipelined: answered in their order, also where the first takes longest.
    let mut http = desk.connect();
    let slow = http.request("POST", "/call/linger", &[], &desk.mark("slow"));
    let quick: String = (0..3).map(|n| http.request("POST", "/call/add", &[], &body(n))).collect();
    http.send(format!("{slow}{quick}").as_bytes());
    desk.wait_until("slow", "begun");
    desk.go_on("slow");
    let answers: Vec<String> = (0..4).map(|_| http.response().unwrap().body).collect();
    assert_eq!(answers, ["\"done\"", "0", "1", "2"]);
    // In small pieces, chunked, and with a question before the body.
    let mut http = desk.connect();
    for byte in http.request("POST", "/call/add", &[], &body(7)).bytes() {
        http.send(&[byte]);
    }
    assert_eq!(http.response().unwrap().body, "7");
    let head =
        format!("POST /call/add HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n", "localhost");
    http.send(
        format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"x\":\r\n3\r\n 8}}\r\n0\r\n\r\n").as_bytes(),
    );
    assert_eq!(http.response().unwrap().body, "8");
    http.send(format!("{head}content-length: 8\r\nexpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(http.response().unwrap().status, 100);
    http.send(b"{\"x\": 9}");
    assert_eq!(http.response().unwrap().body, "9");
    // A client that only reads from now on is still answered.
    let mut http = desk.connect();
    http.ask("POST", "/call/add", &[("connection", "close")], &body(1));
    assert_eq!(http.response().unwrap().body, "1");
    assert!(http.response().is_none(), "it asked for the connection to be closed");
}

fn clients_that_talk_nonsense(desk: &Desk) {
    let mut bystander = desk.connect();
    let mut works = || assert_eq!(bystander.post("/call/add", r#"{"x": 1}"#).body, "1");

    // The heads of these never come to an end; all others go on.
    let mut slow: Vec<Http> = (0..50).map(|_| desk.connect()).collect();
    slow.iter_mut().for_each(|http| http.send(b"POST /call/add HTTP/1.1\r\nhost: loc"));
    works();
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /call/add HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /call/add HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST /call/add HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let mut http = desk.connect();
        http.send(garbage);
        let answer = http.response();
        let status = answer.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400)), "{status:?} to {:?}", String::from_utf8_lossy(garbage));
        assert!(http.response().is_none(), "closed after {:?}", String::from_utf8_lossy(garbage));
        works();
    }
    // Two lengths: the one who reads the other one could be made to see another request.
    let mut http = desk.connect();
    http.send(b"POST /call/add HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\ncontent-length: 9\r\n\r\n{\"x\": 1}");
    assert_eq!(http.response().unwrap().status, 400);
    // Heads without measure.
    for head in [
        format!("x-large: {}\r\n", "a".repeat(1 << 20)),
        (0..2000).map(|n| format!("x-{n}: 1\r\n")).collect(),
    ] {
        let mut http = desk.connect();
        http.send(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{head}\r\n").as_bytes());
        let status = http.response().map(|answer| answer.status);
        assert!(matches!(status, None | Some(431)), "{status:?}");
        works();
    }
    let mut http = desk.connect();
    http.send(format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(1 << 20)).as_bytes());
    let status = http.response().map(|answer| answer.status);
    assert!(matches!(status, None | Some(414 | 431)), "{status:?}");
    // A body beyond the bound is refused before it is sent.
    let mut http = desk.connect();
    http.ask("POST", "/call/size", &[("content-length", "33554433")], "");
    assert_response!(desk, http.response().unwrap(), @r#"
    413
    content-type: application/problem+json
    x-content-type-options: nosniff

    {"type":"urn:msx:too-large","title":"Arguments too large","status":413,"detail":"the body has more than 33554432 bytes"}
    "#);
    assert!(http.response().is_none());
    // One within it is taken.
    let mut http = desk.connect();
    let text = "a".repeat((32 << 20) - 100);
    assert_eq!(http.post("/call/size", &format!("{{\"text\": \"{text}\"}}")).body, text.len().to_string());
    works();
    drop(slow);
}
