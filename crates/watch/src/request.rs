//! Bytes to requests: one head at a time, without a body, and everything else a refusal.
//! Never keeps state between calls and never looks past a fixed number of bytes, so slow peers cost nothing but those.
//! Source: RFC 9112; the head is parsed by `httparse`, which only this module names.

use crate::Status;

/// Bytes of a request's head; a longer one is refused.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;

/// What the bytes received so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole request, and how many bytes it took.
    Request {
        /// The request.
        request: Request,
        /// Bytes of its head.
        consumed: usize,
    },
    /// The start of a request.
    Incomplete,
    /// No request that is served; nothing after it is looked at.
    Refused(Status),
}

/// A GET or HEAD without a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path, without the query.
    pub path: String,
    /// What follows the first `?`; empty without one.
    pub query: String,
    /// The body is left out of the answer.
    pub is_head: bool,
    /// The connection may be used again.
    pub keeps_alive: bool,
    /// Whom it believes to talk to; none for what sent no Host, which no browser does.
    pub host: Option<String>,
    /// OpenMetrics is preferred to the older text format.
    pub wants_openmetrics: bool,
}

/// The request at the start of `bytes`. The answer for a stream is the same however it was divided.
pub fn decode(bytes: &[u8]) -> Decoded {
    let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(consumed)) => match checked(&parsed) {
            Ok(request) => Decoded::Request { request, consumed },
            Err(status) => Decoded::Refused(status),
        },
        Ok(httparse::Status::Partial) if head.len() < HEAD_BYTES_MAX => Decoded::Incomplete,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Decoded::Refused(Status::HeadTooLarge)
        }
        Err(_) => Decoded::Refused(Status::BadRequest),
    }
}

fn checked(parsed: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let is_head = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    let target = parsed.path.unwrap_or_default();
    if !target.starts_with('/') || has_body(parsed) {
        return Err(Status::BadRequest);
    }
    // Of two it is not known which one a browser meant.
    let mut hosts = values(parsed, "host");
    let (host, further) = (hosts.next(), hosts.next());
    if further.is_some() {
        return Err(Status::BadRequest);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Request {
        path: path.to_owned(),
        query: query.to_owned(),
        is_head,
        keeps_alive: keeps_alive(parsed),
        host: host.map(|host| host.trim().to_owned()),
        wants_openmetrics: wants_openmetrics(parsed),
    })
}

/// The values of all headers of this name, as far as they are text.
fn values<'a>(
    parsed: &'a httparse::Request<'_, '_>,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    let of_name = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    parsed
        .headers
        .iter()
        .filter(of_name)
        .map(|header| std::str::from_utf8(header.value).unwrap_or("?"))
}

/// The comma-separated elements of all headers of this name.
fn elements<'a>(
    parsed: &'a httparse::Request<'_, '_>,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    values(parsed, name)
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// A body would have to be skipped; nobody who reads has one to send.
fn has_body(parsed: &httparse::Request<'_, '_>) -> bool {
    values(parsed, "transfer-encoding").next().is_some()
        || values(parsed, "content-length").any(|length| length.trim() != "0")
}

fn keeps_alive(parsed: &httparse::Request<'_, '_>) -> bool {
    let says = |word: &str| {
        elements(parsed, "connection").any(|element| element.eq_ignore_ascii_case(word))
    };
    if parsed.version == Some(0) {
        says("keep-alive") && !says("close")
    } else {
        !says("close")
    }
}

/// Whether the Accept header likes OpenMetrics at least as well as plain text.
fn wants_openmetrics(parsed: &httparse::Request<'_, '_>) -> bool {
    let (mut openmetrics, mut plain) = (0.0f32, 0.0f32);
    for element in elements(parsed, "accept") {
        let mut parts = element.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            openmetrics = openmetrics.max(quality);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(quality);
        }
    }
    openmetrics > 0.0 && openmetrics >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Request {
        match decode(head.as_bytes()) {
            Decoded::Request { request, consumed } => {
                assert_eq!(consumed, head.len());
                request
            }
            other => panic!("{head:?} is {other:?}"),
        }
    }

    fn refused(head: &str) -> Status {
        match decode(head.as_bytes()) {
            Decoded::Refused(status) => status,
            other => panic!("{head:?} is {other:?}"),
        }
    }

    #[test]
    fn a_get_is_a_path_and_a_query() {
        let request =
            request("GET /api/prefixes?count=5&by=keys HTTP/1.1\r\nHost: whatever\r\n\r\n");
        assert_eq!(request.path, "/api/prefixes");
        assert_eq!(request.query, "count=5&by=keys");
        assert!(request.keeps_alive && !request.is_head && !request.wants_openmetrics);
        assert_eq!(request.host.as_deref(), Some("whatever"));
    }

    #[test]
    fn a_request_has_one_host_or_none() {
        for (headers, host) in [
            ("", None),
            ("Host:\r\n", Some("")),
            ("hOST:  a.b:80 \r\n", Some("a.b:80")),
            ("Host: \u{e9}\r\n", Some("\u{e9}")),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{headers}\r\n");
            assert_eq!(request(&head).host.as_deref(), host, "{headers:?}");
        }
        let two = "GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n";
        assert_eq!(refused(two), Status::BadRequest);
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_header_say() {
        for (head, keeps_alive) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
            (
                "GET / HTTP/1.1\r\nconnection: upgrade, close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(request(head).keeps_alive, keeps_alive, "{head:?}");
        }
    }

    #[test]
    fn openmetrics_is_written_to_those_who_prefer_it() {
        for (accept, wants) in [
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text; version=1.0.0", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                true,
            ),
            (
                "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.2",
                false,
            ),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=nonsense", false),
        ] {
            let head = format!("GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(request(&head).wants_openmetrics, wants, "{accept}");
        }
    }

    #[test]
    fn what_is_no_plain_reading_is_refused() {
        for (head, status) in [
            ("POST / HTTP/1.1\r\n\r\n", Status::MethodNotAllowed),
            ("DELETE /metrics HTTP/1.1\r\n\r\n", Status::MethodNotAllowed),
            (
                "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
                Status::BadRequest,
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Status::BadRequest,
            ),
            ("GET http://elsewhere/ HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/2.0\r\n\r\n", Status::BadRequest),
            ("*1\r\n$4\r\nPING\r\n", Status::BadRequest),
            ("\u{16}\u{3}\u{1}", Status::BadRequest),
        ] {
            assert_eq!(refused(head), status, "{head:?}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_bytes_and_lines() {
        let long = format!(
            "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(HEAD_BYTES_MAX)
        );
        assert_eq!(refused(&long), Status::HeadTooLarge);
        let endless = "\r\n".repeat(HEAD_BYTES_MAX);
        assert_eq!(refused(&endless), Status::HeadTooLarge);
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "a: b\r\n".repeat(HEADERS_MAX + 1)
        );
        assert_eq!(refused(&many), Status::HeadTooLarge);
    }

    #[test]
    fn every_beginning_of_a_request_is_incomplete() {
        let head = b"GET /metrics HTTP/1.1\r\nAccept: */*\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(decode(&head[..end]), Decoded::Incomplete, "{end}");
        }
        let two = [&head[..], &head[..]].concat();
        assert_eq!(decode(&two), decode(head));
    }
}
