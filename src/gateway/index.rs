//! What a person sees who opens the gateway's address: its services and how to call each.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::problem::{self, Problem, reply};
use super::{Gateway, Target, browser};

pub(super) async fn index(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    problem::respond(browser::check(request.headers()).and_then(|()| {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed("GET, HEAD"));
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let page = page(host, &(gateway.edge.services)());
        let mut page = reply(StatusCode::OK, "text/plain; charset=utf-8", page.into_bytes());
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        Ok(page)
    }))
}

fn page(host: &str, services: &[Target]) -> String {
    let mut page = "Services of this msx gateway. Each takes a JSON object of its parameters:\n".to_owned();
    for target in services.iter().filter(|target| target.is_public()) {
        let Target { name, signature, .. } = target;
        let _ = write!(page, "\n{}\n", signature.named(name.as_str()));
        for line in
            signature.doc.iter().flat_map(|doc| doc.trim().lines()).take_while(|line| !line.is_empty())
        {
            let _ = writeln!(page, "    {}", line.trim());
        }
        let body = signature.example();
        let _ = writeln!(
            page,
            "    curl http://{host}/call/{name} -H 'content-type: application/json' -d '{body}'"
        );
    }
    page
}
