//! Answers to bytes: a status line, the headers that every answer has, and a body of known length.
//! Never chunked, never compressed, never cached by anybody, and never readable by another site's pages.
//! Source: RFC 9110 and RFC 9112.

use std::io::Write as _;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Served.
    Ok,
    /// Not a request that is understood.
    BadRequest,
    /// Its Host is none that is served.
    Forbidden,
    /// Nothing is served there.
    NotFound,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// Its head is longer than [`crate::request::HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// A mistake of ours.
    Internal,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Internal => "500 Internal Server Error",
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How the request ended.
    pub status: Status,
    /// What the body is.
    pub content_type: &'static str,
    /// What the page may load and run; None for what is no page.
    pub content_security_policy: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A refusal with a line of text for people.
    pub fn refusal(status: Status, why: &str) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            content_security_policy: None,
            body: format!("{why}\n").into_bytes(),
        }
    }

    /// A body that was made.
    pub fn of(content_type: &'static str, body: Vec<u8>) -> Response {
        Response {
            status: Status::Ok,
            content_type,
            content_security_policy: None,
            body,
        }
    }

    /// Appends the answer. To a HEAD the body is left out, but its length is told.
    pub fn write(&self, out: &mut Vec<u8>, is_head: bool, keeps_alive: bool) {
        out.reserve(512 + self.body.len());
        let connection = if keeps_alive { "keep-alive" } else { "close" };
        let _ = write!(
            out,
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n",
            self.status.line(),
            self.content_type,
            self.body.len(),
        );
        if self.status == Status::MethodNotAllowed {
            out.extend_from_slice(b"Allow: GET, HEAD\r\n");
        }
        if let Some(policy) = &self.content_security_policy {
            let _ = write!(out, "Content-Security-Policy: {policy}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !is_head {
            out.extend_from_slice(&self.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_request_learns_the_length_and_gets_no_body() {
        let response = Response::of("application/json", b"{}".to_vec());
        let (mut whole, mut head) = (Vec::new(), Vec::new());
        response.write(&mut whole, false, true);
        response.write(&mut head, true, true);
        assert_eq!(whole, [&head[..], b"{}"].concat());
        let text = String::from_utf8(head).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"));
        assert!(
            text.contains("Content-Length: 2\r\n") && text.contains("Cache-Control: no-store\r\n")
        );
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let mut out = Vec::new();
        Response::refusal(Status::MethodNotAllowed, "no").write(&mut out, false, false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("Allow: GET, HEAD\r\n") && text.contains("Connection: close\r\n"));
    }
}
