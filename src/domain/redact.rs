//! PURE · text of programs (logs, messages of pods) without what looks like a secret. It can't know every secret: it
//! knows the usual shapes, and rather hides a word too many.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in place of a secret.
const HIDDEN: &str = "[hidden]";

struct Rules {
    key_block: Regex,
    user_info: Regex,
    scheme: Regex,
    assigned: Regex,
    shapes: Regex,
    words: Regex,
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are built in; every test compiles each of them"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the built-in pattern is well-formed")
}

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    key_block: pattern(
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\z)",
    ),
    user_info: pattern(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^/\s@:]*:[^\s/]*@"),
    scheme: pattern(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"),
    assigned: pattern(
        r#"(?i)([a-z0-9_.-]*(?:passw(?:or)?d|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization|cookie|session[_-]?id|signature)[a-z0-9_.-]*["']?\s*(?:=|:|=>)\s*)("[^"\n]*"?|'[^'\n]*'?|\[hidden\]|[^\s,;&}]+)"#,
    ),
    shapes: pattern(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{8,}|sk[_-](?:live|test|proj|ant)[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?)",
    ),
    words: pattern(r"[A-Za-z0-9_+=-]{32,}"),
});

/// `text` with `[hidden]` in place of what looks like a password, a token or a key.
#[must_use]
pub fn redact(text: &str) -> String {
    let Rules { key_block, user_info, scheme, assigned, shapes, words } = &*RULES;
    let text = key_block.replace_all(text, HIDDEN);
    let text = user_info.replace_all(&text, format!("${{1}}{HIDDEN}@"));
    let text = scheme.replace_all(&text, format!("${{1}} {HIDDEN}"));
    let text = assigned.replace_all(&text, |found: &Captures<'_>| {
        let value = &found[2];
        // `Authorization: Bearer [hidden]` has lost its secret already.
        let is_scheme = ["bearer", "basic"].iter().any(|word| value.eq_ignore_ascii_case(word));
        if is_scheme { found[0].to_owned() } else { format!("{}{HIDDEN}", &found[1]) }
    });
    let text = shapes.replace_all(&text, HIDDEN);
    words
        .replace_all(&text, |found: &Captures<'_>| {
            let word = &found[0];
            let has = |of: fn(&u8) -> bool| word.as_bytes().iter().any(of);
            // Hashes and names are of one case; what mixes all three is drawn at random.
            let random = has(u8::is_ascii_uppercase)
                && has(u8::is_ascii_lowercase)
                && word.bytes().filter(u8::is_ascii_digit).count() > 2;
            if random { HIDDEN.to_owned() } else { word.to_owned() }
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (text, expected) in [
            ("DB_PASSWORD=hunter2 starting", "DB_PASSWORD=[hidden] starting"),
            ("password: \"two words\", user: a", "password: [hidden], user: a"),
            ("{\"api_key\":\"abc\",\"port\":80}", "{\"api_key\":[hidden],\"port\":80}"),
            ("postgres://app:s3cret@db:5432/x", "postgres://[hidden]@db:5432/x"),
            ("redis://:p@ss@cache", "redis://[hidden]@cache"),
            ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [hidden]"),
            ("using ghp_0123456789abcdefghij now", "using [hidden] now"),
            ("key AKIAIOSFODNN7EXAMPLE", "key [hidden]"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt [hidden]"),
            ("drawn aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF", "drawn [hidden]"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nafter",
                "[hidden]\nafter",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[hidden]"),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn what_people_need_stays() {
        for text in [
            "panic: listen tcp :8080: bind: address already in use",
            "failed to pull image \"ghcr.io/acme/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "at com.acme.shop.CheckoutController.handle(CheckoutController.java:112)",
            "0/2 nodes are available: 2 Insufficient cpu.",
            "GET https://api.example.com/v1/items?page=2 500",
            "secret \"database\" not found",
            "deployment campfire-preview-environment-controller-manager-7c5f",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn redacting_twice_changes_nothing() {
        for text in ["token=abc", "Authorization: Bearer abcdefghijkl", "a://b:c@d"] {
            let once = redact(text);
            assert_eq!(redact(&once), once);
        }
    }
}
