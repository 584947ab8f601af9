//! The page for people: one file, with a policy that lets nothing run but what stands in it.
//! Never holds a figure: the page asks `/api/overview` for them.
//! Source: Content Security Policy level 3.

use crate::Response;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE: &str = include_str!("page.html");
/// What stands in the page where a nonce belongs.
const NONCE_MARK: &str = "NONCE-OF-THIS-ANSWER";

/// The page, with a nonce of its own.
pub fn response() -> Response {
    let nonce = nonce();
    let body = PAGE.replace(NONCE_MARK, &nonce).into_bytes();
    Response {
        content_security_policy: Some(format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )),
        ..Response::of("text/html; charset=utf-8", body)
    }
}

/// A text that nobody can foresee: a keyed hash of a count, by a key of this process.
fn nonce() -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let half = |half: u8| {
        let mut hasher = KEY.build_hasher();
        hasher.write_u64(count);
        hasher.write_u8(half);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        assert!(PAGE.len() < 60_000, "{} bytes", PAGE.len());
        let foreign = ["http://", "https://", "//cdn", "@import", "url("];
        let own = PAGE.replace("http://www.w3.org/2000/svg", "");
        for word in foreign {
            assert!(!own.contains(word), "{word}");
        }
        assert!(!PAGE.contains("innerHTML") && !PAGE.contains("insertAdjacentHTML"));
    }

    #[test]
    fn every_answer_has_a_nonce_of_its_own() {
        let (one, other) = (response(), response());
        assert_ne!(one.content_security_policy, other.content_security_policy);
        let body = String::from_utf8(one.body).unwrap();
        assert!(!body.contains(NONCE_MARK));
        let policy = one.content_security_policy.unwrap();
        let nonce = policy
            .split("'nonce-")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        assert_eq!(body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    }
}
