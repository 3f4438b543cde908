//! As much of HTTP/1.1 as a client of a model needs: requests with a counted or chunked body, answers that are one
//! document or a stream of events.

use serde_json::Value;
use std::io::{self, BufRead, Read, Write};

/// The largest body that is read.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// The longest request line or header, and how many headers there may be.
const MAX_LINE: u64 = 64 * 1024;
const MAX_HEADERS: usize = 200;

/// One request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// Whether the client wants the connection closed.
    pub(crate) close: bool,
    /// The session that a header names.
    pub(crate) session: String,
}

/// What was read from a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The client closed it.
    End,
    Request(Request),
    /// A request that is refused with this status; its body is not read.
    Refused(u16),
}

/// Reads one request. `client` is told to go on when it asks before it sends a body.
pub(crate) fn read(from: &mut impl BufRead, client: &mut impl Write) -> io::Result<Incoming> {
    let Some(line) = read_line(from)? else {
        return Ok(Incoming::End);
    };
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        return Ok(Incoming::Refused(400));
    };
    let mut request = Request {
        method: method.into(),
        path: target.split('?').next().unwrap_or_default().into(),
        ..Request::default()
    };
    let (mut length, mut chunked, mut waits) = (0, false, false);
    for count in 0.. {
        let Some(line) = read_line(from)? else {
            return Ok(Incoming::Refused(400));
        };
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':').filter(|_| count < MAX_HEADERS) else {
            return Ok(Incoming::Refused(400));
        };
        let name = name.to_ascii_lowercase();
        if name == "x-session-id" {
            request.session = value.trim().into();
        }
        let value = value.trim().to_ascii_lowercase();
        match name.as_str() {
            "content-length" => match value.parse() {
                Ok(number) => length = number,
                Err(_) => return Ok(Incoming::Refused(400)),
            },
            "transfer-encoding" => chunked = value == "chunked",
            "content-encoding" if value != "identity" => return Ok(Incoming::Refused(415)),
            "connection" => request.close = value == "close",
            "expect" => waits = value == "100-continue",
            _ => {}
        }
    }
    if length > MAX_BODY {
        return Ok(Incoming::Refused(413));
    }
    if waits {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if chunked {
        match read_chunks(from)? {
            Ok(body) => request.body = body,
            Err(status) => return Ok(Incoming::Refused(status)),
        }
    } else {
        request.body = vec![0; length];
        from.read_exact(&mut request.body)?;
    }
    Ok(Incoming::Request(request))
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Result<Vec<u8>, u16>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?.unwrap_or_default();
        let digits = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            return Ok(Err(400));
        };
        if size == 0 {
            while read_line(from)?.is_some_and(|line| !line.is_empty()) {}
            return Ok(Ok(body));
        }
        if size > MAX_BODY - body.len() {
            return Ok(Err(413));
        }
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        read_line(from)?;
    }
}

/// One line without its end; `None` when the connection ended instead.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.take(MAX_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).into()))
}

/// Answers with one JSON document; a HEAD request gets its headers only.
pub(crate) fn answer(
    client: &mut impl Write,
    status: u16,
    document: &Value,
    head: bool,
) -> io::Result<()> {
    let body = document.to_string();
    let length = if head { 0 } else { body.len() };
    let reason = reason(status);
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    if !head {
        answer.push_str(&body);
    }
    client.write_all(answer.as_bytes())?;
    client.flush()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400..500 => "Client Error",
        _ => "Server Error",
    }
}

/// A stream of events; the connection ends with it.
pub(crate) struct Events<'a, W: Write>(&'a mut W);

impl<'a, W: Write> Events<'a, W> {
    /// Starts the stream.
    pub(crate) fn start(client: &'a mut W) -> io::Result<Self> {
        client.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nconnection: close\r\n\r\n",
        )?;
        Ok(Self(client))
    }

    /// Sends one event, named by its `type` when it has one.
    pub(crate) fn send(&mut self, event: &Value) -> io::Result<()> {
        let name = match event["type"].as_str() {
            Some(name) => format!("event: {name}\n"),
            None => String::new(),
        };
        self.write(&format!("{name}data: {event}\n\n"))
    }

    /// Sends a word instead of an event.
    pub(crate) fn word(&mut self, word: &str) -> io::Result<()> {
        self.write(&format!("data: {word}\n\n"))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(bytes: &str) -> Incoming {
        read(&mut bytes.as_bytes(), &mut Vec::new()).expect("readable")
    }

    fn request(bytes: &str) -> Request {
        match incoming(bytes) {
            Incoming::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies_are_counted_or_chunked() {
        let counted = request(
            "POST /v1/messages?beta=true HTTP/1.1\r\nContent-Length: 2\r\nX-Session-Id: sA\r\n\r\n{}rest",
        );
        assert_eq!(
            (
                counted.path.as_str(),
                &counted.body[..],
                counted.session.as_str()
            ),
            ("/v1/messages", &b"{}"[..], "sA")
        );
        let chunked = request(
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\n{\"\r\n3\r\na\"}\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.body, b"{\"a\"}");
    }

    #[test]
    fn what_is_not_spoken_is_refused() {
        for (bytes, status) in [
            ("POST / HTTP/1.1\r\ncontent-encoding: gzip\r\n\r\n", 415),
            ("POST / HTTP/1.1\r\ncontent-length: 33554433\r\n\r\n", 413),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2000001\r\n",
                413,
            ),
            ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
            ("hello\r\n\r\n", 400),
        ] {
            assert_eq!(incoming(bytes), Incoming::Refused(status), "{bytes}");
        }
        assert_eq!(incoming(""), Incoming::End);
    }
}
