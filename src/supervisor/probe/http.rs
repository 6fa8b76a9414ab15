//! `http`: whether a page is there. Written by hand, as only the first line of the answer counts.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::dial::Endpoint;

/// A longer first line is none of HTTP.
const LINE_BYTES_MAX: u64 = 4_096;

pub async fn ask(endpoint: &Endpoint, path: &str) -> Result<(), String> {
    let line = first_line(endpoint, path).await.map_err(|error| error.to_string())?;
    match status(&line) {
        Some(200..=399) => Ok(()),
        Some(_) => Err(line.trim_end().to_owned()),
        None => Err("the answer is not HTTP".to_owned()),
    }
}

async fn first_line(endpoint: &Endpoint, path: &str) -> io::Result<String> {
    let (mut stream, host) = (endpoint.dial().await?, endpoint.host());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: msx\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let status = rest.split_whitespace().next()?;
    (version.starts_with("HTTP/1.") && status.len() == 3).then(|| status.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status("HTTP/1.0 404\r\n"), Some(404));
        for line in ["", "SSH-2.0-OpenSSH", "HTTP/1.1 OK", "HTTP/1.1 20", "HTTP/2 200"] {
            assert_eq!(status(line), None, "{line}");
        }
    }
}
