//! PURE · is a name from outside one that DNS, and so Kubernetes, takes?

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
