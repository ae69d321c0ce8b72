//! PURE · how many camps one sweep may end: a list that would end too many is more likely a mistake (a token of another
//! account, a restored forge, a wrong repository) than the truth.

use super::bundle::sha256_hex;

/// So many may always end at once.
const ALWAYS: usize = 5;
/// And so many of a hundred.
const PER_CENT: usize = 20;

/// A camp that would end: name and UID of its record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// Name of the Environment.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Whether ending `ends` of `camps` camps at once is more than `max(5, 20 %)`.
#[must_use]
pub fn is_too_many(ends: usize, camps: usize) -> bool {
    ends > ALWAYS && ends.saturating_mul(100) > camps.saturating_mul(PER_CENT)
}

/// Identifies exactly this list: 16 hex digits, whatever its order.
#[must_use]
pub fn digest(endings: &[Ending]) -> String {
    let mut sorted: Vec<&Ending> = endings.iter().collect();
    sorted.sort();
    let lines: String =
        sorted.iter().flat_map(|one| [one.name.as_str(), " ", one.uid.as_str(), "\n"]).collect();
    sha256_hex(lines.as_bytes()).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_or_a_fifth_whichever_is_more() {
        for (ends, camps, too_many) in [
            (0, 0, false),
            (5, 5, false),
            (6, 6, true),
            (6, 29, true),
            (6, 30, false),
            (7, 30, true),
            (20, 100, false),
            (21, 100, true),
            (usize::MAX, 1, true),
        ] {
            assert_eq!(is_too_many(ends, camps), too_many, "{ends} of {camps}");
        }
    }

    #[test]
    fn the_digest_is_of_the_list_and_not_of_its_order() {
        let one = |name: &str, uid: &str| Ending { name: name.into(), uid: uid.into() };
        let (a, b, c) = (one("a", "1"), one("b", "2"), one("c", "3"));
        let both = digest(&[a.clone(), b.clone()]);
        assert_eq!(both, digest(&[b.clone(), a.clone()]));
        assert_eq!(both.len(), 16);
        assert_ne!(both, digest(&[a.clone(), b.clone(), c]));
        assert_ne!(both, digest(&[a, one("b", "another record of that name")]));
    }
}
