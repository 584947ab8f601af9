//! Whom a request believes it talks to: an address, this machine, or a name that somebody else may have made.
//! Never asks what a name stands for: whoever owns it says so, and may say this machine's address to the next browser.
//! Source: RFC 9110, section 7.2, for Host; Jackson and others, "Protecting browsers from DNS rebinding" (2007).
//!
//! A page of another site cannot read answers of this one, unless its site is this one: its owner has the name of his site
//! stand for our address, and then the browser sends our port a Host with his name. An address in its place cannot be his,
//! and `localhost` never stands for anything else.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The word of `metrics-hosts` that lets every name in.
const ANY: &str = "*";

/// Whether a request with this Host is served; `names` are those of `metrics-hosts`, with spaces between.
pub fn is_served(host: &str, names: &str) -> bool {
    let Some(name) = name_of(host) else {
        return false;
    };
    let is_address = match name.strip_prefix('[') {
        Some(inner) => inner
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => name.parse::<Ipv4Addr>().is_ok(),
    };
    is_address
        || name.eq_ignore_ascii_case("localhost")
        || names
            .split_ascii_whitespace()
            .any(|known| known == ANY || known.eq_ignore_ascii_case(name))
}

/// What stands before the port; `None` for what is no Host.
fn name_of(host: &str) -> Option<&str> {
    let end = match host.find(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let ends_well = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (ends_well && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_this_machine_are_served_on_any_port() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9121",
            "10.1.2.3:",
            "[::1]",
            "[::1]:9121",
            "[fe80::1]:80",
            "localhost",
            "LocalHost:9121",
        ] {
            assert!(is_served(host, ""), "{host}");
        }
    }

    #[test]
    fn names_that_somebody_else_may_own_are_not() {
        for host in [
            "evil.example",
            "evil.example:9121",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9121",
            "evil.localhost",
            "1.2.3",
            "::1",
            "[evil.example]",
            "[::1",
            "[::1]evil.example",
            "[::1]:80:evil.example",
            "localhost:80.evil.example",
            "localhost evil.example",
            "127.0.0.1:9121@evil.example",
            "",
            ":9121",
            "*",
        ] {
            assert!(!is_served(host, ""), "{host}");
            assert!(!is_served(host, "pinyon.internal scraper"), "{host}");
        }
    }

    #[test]
    fn names_that_are_listed_are_served() {
        let names = "pinyon.internal scraper";
        assert!(is_served("pinyon.internal:9121", names));
        assert!(is_served("Scraper", names));
        assert!(!is_served("pinyon", names), "a part of a name is none");
        assert!(!is_served("a.pinyon.internal", names));
        assert!(is_served("evil.example:9121", "scraper *"));
        assert!(!is_served("[::1", "*"), "not even then");
    }
}
