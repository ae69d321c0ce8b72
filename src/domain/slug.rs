//! PURE · text from outside → letters, digits and `-` that can stand in a DNS label.

/// `text` in lower case with every run of other characters as one `-`, at most `most` characters, no `-` at either
/// end; `x` when nothing is left.
#[must_use]
pub fn slug(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= most {
            break;
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() { "x".into() } else { out.into() }
}

/// Whether `text` is a DNS label: lower-case letters, digits and `-`, 1 to `most` characters, beginning and ending
/// with a letter or digit.
#[must_use]
pub fn is_dns_label(text: &str, most: usize) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= most
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Whether `text` is DNS labels with dots between, 253 characters at most.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_dns_label(label, 253))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hostile_branch_becomes_a_plain_word() {
        assert_eq!(slug("Feature/{{env}} \"x\"\n@all", 40), "feature-env-x-all");
        assert_eq!(slug("///", 40), "x");
        assert_eq!(slug("ab-cd", 3), "ab");
    }

    proptest! {
        #[test]
        fn every_slug_is_a_dns_label(text in ".*", most in 1_usize..63) {
            let slug = slug(&text, most);
            prop_assert!(is_dns_label(&slug, most.max(1)), "{slug:?}");
        }
    }
}
