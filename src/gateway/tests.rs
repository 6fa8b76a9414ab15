use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use hyper::body::Frame;
use parking_lot::Mutex;
use tower_service::Service;

use super::*;
use crate::protocol::error::RemoteError;

const JSON: (&str, &str) = ("content-type", "application/json");
const LOCAL: (&str, &str) = ("host", "127.0.0.1:8080");

fn target(id: u32, name: &str) -> Target {
    let signature = br#"{"text": "(x: int)", "doc": "Adds one.\nTo a number.\n\nMore.", "params": [{"name": "x",
        "kind": "positional_or_keyword", "annotation": "int", "required": true, "schema": {"type": "integer"}}]}"#;
    let signature = match name {
        "m.free" => String::from_utf8_lossy(signature).replace("schema", "later"),
        _ => String::from_utf8_lossy(signature).into_owned(),
    };
    Target {
        id: ServiceId(id),
        name: ServiceName::new(name),
        signature: Arc::new(Signature::parse(signature.as_bytes()).unwrap()),
        exposed: !HIDDEN.contains(&name),
    }
}

const HIDDEN: [&str; 3] = ["m.hidden", "z.twin", "y.veiled"];

const SERVICES: [&str; 15] = [
    "m.echo",
    "m.hidden",
    "msx.orchestrator.scale",
    "m.raises",
    "m.slow",
    "m.dies",
    "m.full",
    "m.strange",
    "m.gone",
    "m.free",
    "x.twin",
    "y.twin",
    "z.twin",
    "x.veiled",
    "y.veiled",
];

/// What each service does with its arguments.
fn outcome(id: ServiceId, arguments: Bytes) -> Outcome {
    let of_user = RemoteError {
        kind: "builtins.ValueError".to_owned(),
        message: "no \"x\"".to_owned(),
        service: "m.raises".to_owned(),
        traceback: "Traceback:\n  line 1".to_owned(),
        ..Default::default()
    };
    match SERVICES[id.0 as usize] {
        "m.raises" => Outcome::Error(of_user.encode()),
        "m.slow" => Outcome::Error(RemoteError::timeout("m.slow", "ran for 30 s", "stack").encode()),
        "m.dies" => Outcome::Error(RemoteError::instance_died("m.dies", "killed by signal 9").encode()),
        "m.gone" => Outcome::Error(RemoteError::service_unavailable("m.gone", "it keeps ending").encode()),
        "m.strange" => Outcome::Value(Bytes::from_static(b"\xc1")),
        "m.full" => Outcome::Refused {
            reason: "queue_full",
            message: "1024 calls wait already".to_owned(),
            retry_after_s: 2,
        },
        _ => Outcome::Value(arguments),
    }
}

type Stream = Arc<dyn Fn(ServiceId, Bytes, Terms, Render) -> Begun + Send + Sync>;

fn edge_with(ask: impl Fn(ServiceId, Bytes, Terms) -> Answer + Send + Sync + 'static) -> Arc<Edge> {
    let all = || SERVICES.iter().zip(0..).map(|(name, id)| target(id, name)).collect::<Vec<_>>();
    let lookup = move |id: ServiceId| all().into_iter().nth(id.0 as usize);
    let stream: Stream = Arc::new(|_, _, _, _| unreachable!("no service here is a generator"));
    Arc::new(Edge { lookup: Arc::new(lookup), services: Arc::new(all), ask: Arc::new(ask), stream })
}

fn edge() -> Arc<Edge> {
    edge_with(|id, arguments, _| Box::pin(async move { outcome(id, arguments) }))
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// Status, headers and body as one text.
async fn exchange(mut router: Router, request: Request) -> String {
    let response = Service::call(&mut router, request).await.unwrap();
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    parts.headers.remove("content-length");
    let mut headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    format!("{}\n{}\n\n{}", parts.status.as_u16(), headers.join("\n"), String::from_utf8_lossy(&body))
}

async fn post(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    exchange(router(edge()), request("POST", path, headers, body.to_owned())).await
}

/// A whole problem response; `headers` beside the usual ones, `more` beside the usual members.
fn problem(headers: &[&str], [kind, title, status, detail]: [&str; 4], more: &str) -> String {
    let usual = ["content-type: application/problem+json", "x-content-type-options: nosniff"];
    let mut headers = [headers, &usual].concat();
    headers.sort_unstable();
    let body = format!(
        r#"{{"type":"urn:msx:{kind}","title":"{title}","status":{status},"detail":"{detail}"{more}}}"#
    );
    format!("{status}\n{}\n\n{body}", headers.join("\n"))
}

fn not_found(detail: &str) -> String {
    problem(&[], ["not-found", "Not found", "404", detail], "")
}

fn bad_request(detail: &str) -> String {
    problem(&[], ["bad-request", "Bad request", "400", detail], "")
}

fn bad_host() -> String {
    let detail = "the Host header must name this machine: localhost, 127.0.0.1 or [::1], with any port";
    problem(&[], ["forbidden", "Forbidden", "403", detail], "")
}

fn too_large(what: &str) -> String {
    problem(&[], ["too-large", "Arguments too large", "413", &format!("{what} more than 33554432 bytes")], "")
}

#[tokio::test]
async fn a_result_is_the_whole_body() {
    let expected = "200\ncontent-type: application/json\nx-content-type-options: nosniff\n\n";
    for (path, body, result) in [
        ("/call/m.echo", r#"{"x": 1}"#, r#"[[],{"x":1}]"#),
        ("/call/echo", r#" {"_args": [12345678901234567890123]} "#, "[[12345678901234567890123],{}]"),
        ("/call/ech%6F", r#"{"x": 1}"#, r#"[[],{"x":1}]"#),
        // Short for the one that is exposed, as if there were no other.
        ("/call/veiled", r#"{"x": 1}"#, r#"[[],{"x":1}]"#),
    ] {
        assert_eq!(post(path, &[JSON, LOCAL], body).await, format!("{expected}{result}"), "{path}");
    }
    let charset = ("content-type", "Application/JSON; charset=utf-8");
    assert!(post("/call/echo", &[charset, LOCAL], "{\"x\": 1}").await.starts_with("200\n"));
    let same_origin = [JSON, LOCAL, ("origin", "http://127.0.0.1:8080")];
    assert!(post("/call/echo", &same_origin, "{\"x\": 1}").await.starts_with("200\n"));
}

#[tokio::test]
async fn refusals_are_problems() {
    let unknown = |name: &str| not_found(&format!("there is no service `{name}`"));
    let not_json = || {
        let detail = "arguments are sent with the header `content-type: application/json`";
        problem(&[], ["media-type", "Unsupported media type", "415", detail], "")
    };
    let foreign = "pages of another origin may not call services (Origin differs from Host)";
    let mistakes = "takes an integer as `x`, not a string, and has no parameter `z`";
    let arguments = problem(
        &[],
        [
            "arguments",
            "Arguments do not fit",
            "422",
            &format!("echo() {mistakes}; its signature is echo(x: int)"),
        ],
        r#","errors":[{"pointer":"/x","message":"takes an integer as `x`, not a string"},{"pointer":"/z","message":"has no parameter `z`"}]"#,
    );
    let cases = [
        ("/call/nope", vec![JSON, LOCAL], "{}", unknown("nope")),
        ("/call/hidden", vec![JSON, LOCAL], "{}", unknown("hidden")),
        ("/call/m.hidden", vec![JSON, LOCAL], "{}", unknown("m.hidden")),
        ("/call/z.twin", vec![JSON, LOCAL], "{}", unknown("z.twin")),
        (
            "/call/twin",
            vec![JSON, LOCAL],
            "{}",
            not_found("`twin` is ambiguous: it is the short name of `x.twin` and `y.twin`"),
        ),
        ("/call/scale", vec![JSON, LOCAL], "{}", unknown("scale")),
        ("/call/msx.orchestrator.scale", vec![JSON, LOCAL], "{}", unknown("msx.orchestrator.scale")),
        ("/call/%ff", vec![JSON, LOCAL], "{}", not_found("the name of the service is not UTF-8")),
        (
            "/nowhere",
            vec![LOCAL],
            "{}",
            not_found(
                "there is nothing here: calls go by POST to /call/SERVICE, and GET / lists the services",
            ),
        ),
        ("/call/echo", vec![LOCAL], "{}", not_json()),
        ("/call/echo", vec![LOCAL], "", not_json()),
        ("/call/echo", vec![LOCAL, ("content-type", "text/plain")], "{}", not_json()),
        ("/call/echo", vec![LOCAL, ("content-type", "application/jsonx")], "{}", not_json()),
        ("/call/echo", vec![JSON, ("host", "evil.test")], "{}", bad_host()),
        ("/call/nope", vec![("host", "evil.test")], "{}", bad_host()),
        ("/nowhere", vec![("host", "evil.test")], "{}", bad_host()),
        (
            "/call/echo",
            vec![JSON, LOCAL, ("origin", "http://evil.test")],
            "{}",
            problem(&[], ["forbidden", "Forbidden", "403", foreign], ""),
        ),
        (
            "/call/echo",
            vec![JSON, LOCAL],
            "{\"x\":",
            bad_request("the arguments of echo() are not JSON: EOF while parsing a value at line 1 column 5"),
        ),
        (
            "/call/echo",
            vec![JSON, LOCAL, ("x-request-timeout", "-1")],
            "{}",
            bad_request("X-Request-Timeout must be a number of seconds above 0, like `2.5`"),
        ),
        ("/call/echo", vec![JSON, LOCAL], "{\"x\": \"1\", \"z\": 2}", arguments),
    ];
    for (path, headers, body, expected) in cases {
        assert_eq!(post(path, &headers, body).await, expected, "{path} {headers:?} {body}");
    }
}

#[tokio::test]
async fn failures_of_the_call_keep_their_story() {
    let cases = [
        (
            "raises",
            problem(
                &[],
                ["exception", "Exception", "500", r#"builtins.ValueError: no \"x\""#],
                r#","exception":"builtins.ValueError","message":"no \"x\"","traceback":"Traceback:\n  line 1","service":"m.raises""#,
            ),
        ),
        (
            "slow",
            problem(
                &[],
                ["timeout", "Call did not end in time", "504", "msx.TimeoutError: ran for 30 s"],
                r#","exception":"msx.TimeoutError","message":"ran for 30 s","traceback":"stack","service":"m.slow""#,
            ),
        ),
        (
            "dies",
            problem(
                &[],
                ["instance-died", "Instance died", "502", "msx.InstanceDied: killed by signal 9"],
                r#","exception":"msx.InstanceDied","message":"killed by signal 9","traceback":"","service":"m.dies""#,
            ),
        ),
        (
            "gone",
            problem(
                &[],
                ["unavailable", "Service unavailable", "503", "msx.ServiceUnavailable: it keeps ending"],
                r#","exception":"msx.ServiceUnavailable","message":"it keeps ending","traceback":"","service":"m.gone""#,
            ),
        ),
        (
            "strange",
            problem(
                &[],
                [
                    "result",
                    "Result cannot be shown as JSON",
                    "500",
                    "the result of m.strange: a value is not MessagePack",
                ],
                "",
            ),
        ),
        (
            "full",
            problem(
                &["retry-after: 2", "x-msx-reason: queue_full"],
                ["unavailable", "Try again later", "503", "1024 calls wait already"],
                "",
            ),
        ),
    ];
    for (name, expected) in cases {
        assert_eq!(post(&format!("/call/{name}"), &[JSON, LOCAL], "{\"x\": 1}").await, expected);
    }
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let expected = |methods: &str| {
        let detail = format!("this address takes only {methods}");
        problem(&[&format!("allow: {methods}")], ["method", "Method not allowed", "405", &detail], "")
    };
    for method in ["GET", "PUT", "OPTIONS"] {
        let answer = exchange(router(edge()), request(method, "/call/echo", &[LOCAL], "")).await;
        assert_eq!(answer, expected("POST"));
    }
    assert_eq!(post("/", &[JSON, LOCAL], "").await, expected("GET, HEAD"));
}

#[tokio::test]
async fn bodies_have_a_bound() {
    let body = vec![b' '; (32 << 20) + 1];
    let known = request("POST", "/call/echo", &[JSON, LOCAL], body.clone());
    assert_eq!(exchange(router(edge()), known).await, too_large("the body has"));
    let streamed = Body::new(Chunks(body.chunks(1 << 20).map(Bytes::copy_from_slice).collect()));
    let unknown = request("POST", "/call/echo", &[JSON, LOCAL], streamed);
    assert_eq!(exchange(router(edge()), unknown).await, too_large("the body has"));
    let floats = format!("{{\"x\": [{}1.5]}}", "1.5,".repeat(4_000_000));
    assert_eq!(post("/call/free", &[JSON, LOCAL], &floats).await, too_large("the arguments take"));
}

/// A body that does not tell its length, and never ends.
#[derive(Default)]
struct Chunks(VecDeque<Bytes>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn the_deadline_is_a_minute_or_less() {
    let seen = Arc::new(Mutex::new(None));
    let sink = seen.clone();
    let edge = edge_with(move |_, arguments, terms| {
        *sink.lock() = terms.deadline;
        Box::pin(async { Outcome::Value(arguments) })
    });
    for (timeout, expected_s) in [(None, 60.0), (Some("2.5"), 2.5), (Some("1e9"), 60.0)] {
        let mut headers = vec![JSON, LOCAL];
        headers.extend(timeout.map(|value| ("x-request-timeout", value)));
        let before = Instant::now();
        exchange(router(edge.clone()), request("POST", "/call/echo", &headers, "{\"x\": 1}")).await;
        let wait = seen.lock().take().unwrap() - before;
        assert!((expected_s..expected_s + 5.0).contains(&wait.as_secs_f64()), "{timeout:?}: {wait:?}");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_taken_from_its_header() {
    let edge = edge_with(|_, _, terms| {
        let key = terms.idempotency_key.expect("a key");
        Box::pin(async move { Outcome::Value(rmp_serde::to_vec(&*key).unwrap().into()) })
    });
    let ask = async |key: &str| {
        let headers = [JSON, LOCAL, ("idempotency-key", key)];
        exchange(router(edge.clone()), request("POST", "/call/echo", &headers, "{\"x\": 1}")).await
    };
    let answer = ask("order-7").await;
    assert!(answer.starts_with("200\n") && answer.ends_with("\"order-7\""), "{answer}");
    for key in ["", &"k".repeat(257)] {
        let answer = ask(key).await;
        assert!(answer.starts_with("400\n") && answer.contains("Idempotency-Key must be"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let headers = [JSON, LOCAL, ("x-request-timeout", "0.01")];
    let silent = Body::new(Chunks::default());
    let answer = exchange(router(edge()), request("POST", "/call/echo", &headers, silent)).await;
    assert!(answer.starts_with("408\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_ask() {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicBool::new(false));
    let flag = gone.clone();
    let edge = edge_with(move |_, _, _| {
        let ask = Gone(flag.clone());
        Box::pin(async move {
            let _ask = ask;
            std::future::pending().await
        })
    });
    let mut gateway = router(edge);
    let call = Service::call(&mut gateway, request("POST", "/call/echo", &[JSON, LOCAL], "{\"x\": 1}"));
    assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    assert!(gone.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_index_lists_what_can_be_called() {
    let answer = exchange(router(edge()), request("GET", "/", &[LOCAL], "")).await;
    let expected = "200\ncontent-security-policy: default-src 'none'\ncontent-type: text/plain; charset=utf-8\nx-content-type-options: nosniff\n\n\
        Services of this msx gateway. Each takes a JSON object of its parameters:\n\
        \nm.echo(x: int)\n    Adds one.\n    To a number.\n    \
        curl http://127.0.0.1:8080/call/m.echo -H 'content-type: application/json' -d '{\"x\": 1}'\n\
        \nm.raises(x: int)\n";
    assert!(answer.starts_with(expected), "{answer}");
    assert!(!answer.contains("hidden") && !answer.contains("orchestrator"), "{answer}");
}

#[tokio::test]
async fn a_front_calls_its_one_service() {
    let front = || front::router(edge(), ServiceId(1), ServiceName::new("m.hidden"));
    let answer = exchange(front(), request("POST", "/", &[JSON, LOCAL], "{\"x\": 1}")).await;
    assert_eq!(
        answer,
        "200\ncontent-type: application/json\nx-content-type-options: nosniff\n\n[[],{\"x\":1}]"
    );
    let answer = exchange(front(), request("POST", "/", &[JSON, ("host", "evil.test")], "{\"x\": 1}")).await;
    assert_eq!(answer, bad_host());
    let answer = exchange(front(), request("GET", "/", &[LOCAL], "")).await;
    assert!(answer.starts_with("405\nallow: POST\n"), "{answer}");
    let answer = exchange(front(), request("POST", "/call/m.echo", &[JSON, LOCAL], "{}")).await;
    assert_eq!(answer, not_found("there is nothing here: m.hidden is called by POST to /"));
}
