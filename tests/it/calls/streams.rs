//! Generators as services.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Project, checks, in_three_ways};
use crate::support::Sandbox;
use crate::support::http::Http;
use crate::support::hub::{kill, wait_for};

const CHECKS: &[(&str, fn(&Project))] = checks![
    a_caller_iterates,
    two_streams_are_zipped,
    tasks_iterate_side_by_side,
    generators_make_a_pipeline,
    a_caller_calls_between_items,
    what_a_generator_returns_arrives_by_yield_from,
    a_class_streams,
    an_exception_comes_behind_the_items,
    an_item_that_cannot_travel_names_the_service,
    misuse_is_explained,
    nobody_gets_ahead_of_a_caller_who_does_not_take,
    who_breaks_ends_the_generator,
    who_breaks_cancels_what_is_made,
    a_dead_generator_is_an_error_behind_its_items,
    a_dead_generator_that_may_run_again_goes_on,
    a_caller_that_is_run_again_gets_each_item_once,
    a_caller_that_is_tried_again_gets_each_item_once,
    a_cancelled_caller_ends_the_generator,
    a_run_is_bounded_from_item_to_item,
    a_timeout_holds_for_the_whole_stream,
    large_items_arrive,
    the_command_line_prints_each_item_at_once,
    the_gateway_answers_by_lines,
    the_gateway_answers_by_events,
    a_client_who_does_not_read_holds_the_generator,
];

in_three_ways!(Sandbox::project("streams"), CHECKS, in_place: checks![a_long_stream]);

fn a_long_stream(project: &Project) {
    assert_eq!(project.call(&["sums", "10000"]), json!([49_995_000, 49_995_000, 500_500, 500_500]));
}

fn a_caller_iterates(project: &Project) {
    let sums = json!([44_850, 44_850, 465, 465]);
    assert_eq!(project.call(&["sums", "300"]), sums);
    assert_eq!(project.call(&["asums", "300"]), sums);
}

fn two_streams_are_zipped(project: &Project) {
    let pairs = (0..200).map(|i| json!([i, i])).collect::<Value>();
    assert_eq!(project.call(&["zipped", "200"]), pairs);
    assert_eq!(project.call(&["azipped", "200"]), pairs);
}

fn tasks_iterate_side_by_side(project: &Project) {
    assert_eq!(project.call(&["at_once", "200"]), json!([19_900, 19_900, 210]));
}

fn generators_make_a_pipeline(project: &Project) {
    let squares = (0..200).filter(|i| i % 2 == 1).map(|i| json!(i * i)).collect::<Value>();
    assert_eq!(project.call(&["piped", "200"]), squares);
}

fn a_caller_calls_between_items(project: &Project) {
    assert_eq!(project.call(&["in_calls", "10"]), json!(295));
}

fn what_a_generator_returns_arrives_by_yield_from(project: &Project) {
    assert_eq!(project.call(&["whole", "2"]), json!([0, 1, "2 in all"]));
}

fn a_class_streams(project: &Project) {
    assert_eq!(project.call(&["of_class", "1"]), json!(["to", "be", "or"]));
}

fn an_exception_comes_behind_the_items(project: &Project) {
    let got = json!([0, 1, ["Odd", "2", true]]);
    assert_eq!(project.call(&["up_to_the_error", "2"]), got);
    assert_eq!(project.call(&["aup_to_the_error", "2"]), got);
    assert_eq!(project.call(&["up_to_the_error", "0"]), json!([["Odd", "0", true]]));
}

fn an_item_that_cannot_travel_names_the_service(project: &Project) {
    let (code, stderr) = project.hub.call_fails(&["cannot_travel"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("TypeError: ends.cannot_travel: an item of it: "), "{stderr}");
}

fn misuse_is_explained(project: &Project) {
    let like = "UsageError: makers.count is a generator, so a call of it has items instead of a result; use: \
                for item in count(…), or async for in an async def";
    assert_eq!(
        project.call(&["misused"]),
        json!([
            like,
            "UsageError: gather takes calls that were started, like a.start(x); this is a ThreadStream",
            like,
            "UsageError: makers.count is a generator, and was called like a function: iterate over its items",
            "UsageError: makers.count is a generator, and its items cannot be kept for an idempotency_key",
        ])
    );
    assert_eq!(
        project.call(&["amisused"]),
        json!([
            "UsageError: this is a stream, not a call: iterate over it (`async for item in …`)",
            "UsageError: count(…) would block the running event loop; use: async for item in count(…)",
        ])
    );
}

/// How many items a generator has made when it holds no slot, and is seen so many times to make no more.
fn stands_still(project: &Project, service: &str, name: &str) -> u64 {
    let (mut last, mut looks) = (0, 0);
    wait_for("the generator to wait", || {
        let made = project.marks(&format!("{name}.made"));
        let is_busy = project.hub.service(service)["instances"][0]["busy"] != 0;
        looks = if is_busy || made == 0 || made != last { 0 } else { looks + 1 };
        last = made;
        (looks >= 20).then_some(made)
    })
}

/// A window of items, and not one more, however long nobody asks.
fn nobody_gets_ahead_of_a_caller_who_does_not_take(project: &Project) {
    for (service, name) in [("looks_at_the_first", "ahead"), ("alooks_at_the_first", "aahead")] {
        let mut call = project.hub.sandbox.msx(&["call", service, name]);
        let call = call.stdout(Stdio::piped()).spawn().unwrap();
        wait_for("the first item", || (project.marks(&format!("{name}.looked")) > 0).then_some(()));
        let made = stands_still(project, if name == "ahead" { "endless" } else { "aendless" }, name);
        // A replay makes its items again.
        let bound = if project.replays { 64 + 1 + 2 * 64 } else { 64 + 2 * 64 };
        assert!((64..=bound).contains(&made), "{made} items");
        std::fs::write(project.sandbox.path("marks").join(format!("{name}.go")), ".").unwrap();
        let output = call.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "125250");
        wait_for("the end of the generator", || (project.marks(&format!("{name}.left")) > 0).then_some(()));
    }
}

fn who_breaks_ends_the_generator(project: &Project) {
    assert_eq!(project.call(&["breaks", "broken"]), json!([0, 1, 2]));
    assert_eq!(project.call(&["abreaks", "abroken"]), json!([0, 1, 2]));
    // Its only slot is free.
    assert_eq!(project.call(&["breaks", "broken.again"]), json!([0, 1, 2]));
}

fn who_breaks_cancels_what_is_made(project: &Project) {
    assert_eq!(project.call(&["breaks_in_a_long_item", "long"]), json!([0]));
    assert_eq!(project.marks("long.cancelled"), 1);
}

fn a_dead_generator_is_an_error_behind_its_items(project: &Project) {
    assert_eq!(project.call(&["outlives", "dying", "5", "3", "dead"]), json!([0, 1, 2, "died"]));
}

fn a_dead_generator_that_may_run_again_goes_on(project: &Project) {
    let all: Value = (0..150).collect();
    assert_eq!(project.call(&["outlives", "dying_again", "150", "100", "revived"]), all);
    assert_eq!(project.marks("revived.died"), 1);
}

fn a_caller_that_is_run_again_gets_each_item_once(project: &Project) {
    let all: Value = (0..150).collect();
    assert_eq!(project.call(&["retried", "150", "100", "again"]), all);
    assert_eq!(project.marks("again.killed"), 1);
}

fn a_caller_that_is_tried_again_gets_each_item_once(project: &Project) {
    let all: Value = (0..150).collect();
    assert_eq!(project.call(&["fails_once", "150", "healed"]), all);
    assert_eq!(project.marks("healed.failed"), 1);
}

fn a_cancelled_caller_ends_the_generator(project: &Project) {
    let mut call = project.hub.sandbox.msx(&["call", "takes_for_ever", "dropped"]);
    let mut call = call.stderr(Stdio::null()).spawn().unwrap();
    wait_for("some items", || (project.marks("dropped.taken") > 3).then_some(()));
    kill(i32::try_from(call.id()).unwrap(), 2);
    call.wait().unwrap();
    wait_for("the end of the generator", || (project.marks("dropped.left") > 0).then_some(()));
    project.rests();
}

fn a_run_is_bounded_from_item_to_item(project: &Project) {
    let lines = project.hub.call(&["slow", "slow"]);
    assert_eq!(lines, "0\n1\n2\n3\n4");
}

fn a_timeout_holds_for_the_whole_stream(project: &Project) {
    let got = project.call(&["late", "late"]);
    let message = "ends.endless did not answer within 0.5 s, the timeout of this call, so it was cancelled";
    assert_eq!(got, json!([true, message]));
}

fn large_items_arrive(project: &Project) {
    assert_eq!(project.call(&["weighs", "10", "1000000"]), json!(10_000_000));
}

fn the_command_line_prints_each_item_at_once(project: &Project) {
    let mut call = project.hub.sandbox.msx(&["call", "endless", "printed", "0.01"]);
    let mut call = call.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(call.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(5).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    kill(i32::try_from(call.id()).unwrap(), 2);
    assert_eq!(call.wait().unwrap().code(), Some(130));
    wait_for("the end of the generator", || (project.marks("printed.left") > 0).then_some(()));

    assert_eq!(project.hub.call(&["Words", "1"]), "to\nbe\nor");
    assert_eq!(project.hub.call(&["Words", "1", "--json"]), "\"to\"\n\"be\"\n\"or\"");
    let (code, stderr) = project.hub.call_fails(&["count", "2", "true"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("makers.Odd: 2"), "{stderr}");
    let (_, stderr) = project.hub.call_fails(&["count", "2", "--idempotency-key", "k"]);
    assert!(stderr.contains("its items cannot be kept for an idempotency key"), "{stderr}");
}

fn the_gateway_answers_by_lines(project: &Project) {
    let mut client = Http::connect(&project.hub.gateway());
    let response = client.post("/call/count", r#"{"n": 3}"#);
    assert_eq!((response.status, response.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(response.body, "0\n1\n2\n");
    let response = client.post("/call/count", r#"{"n": 2, "fails": true}"#);
    let lines: Vec<Value> = response.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[..2], [json!(0), json!(1)]);
    assert_eq!(lines[2]["exception"], "makers.Odd");
    let response = client.post("/call/count", r#"{"n": 0, "fails": true}"#);
    assert_eq!((response.status, response.header("content-type")), (500, "application/problem+json"));
    let response = client.post_with("/call/count", &[("idempotency-key", "k")], r#"{"n": 3}"#);
    assert_eq!(response.status, 400);
}

fn the_gateway_answers_by_events(project: &Project) {
    let mut client = Http::connect(&project.hub.gateway());
    let response = client.post_with("/call/Words", &[("accept", "text/event-stream")], r#"{"times": 1}"#);
    assert_eq!(response.header("content-type"), "text/event-stream");
    let events = "data: \"to\"\n\ndata: \"be\"\n\ndata: \"or\"\n\nevent: end\ndata: null\n\n";
    assert_eq!(response.body, events);
}

/// What the sockets hold is on its way; then nothing more is made. When the client goes, the generator ends.
fn a_client_who_does_not_read_holds_the_generator(project: &Project) {
    let mut client = TcpStream::connect(project.hub.gateway().trim_start_matches("http://")).unwrap();
    let body = r#"{"name": "unread", "size": 100000}"#;
    let head = "POST /call/aendless HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    write!(client, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let made = stands_still(project, "aendless", "unread");
    assert!(project.replays || made < 1_000, "{made} items of 100 kB");
    drop(client);
    wait_for("the end of the generator", || (project.marks("unread.left") > 0).then_some(()));
    project.rests();
}
