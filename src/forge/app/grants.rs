//! PURE · which permissions a token asks for: what the service can't do without, and what it uses where it was granted.

use std::collections::BTreeMap;

use super::problem::Missing;

/// Name and level. Without these nothing works: find pull requests, fetch commits, write the comment.
const NEEDED: &[(&str, &str)] =
    &[("contents", "read"), ("metadata", "read"), ("pull_requests", "write")];
/// Used where the installation has them; asked for at no higher level than here.
const WELCOME: &[(&str, &str)] = &[
    ("actions", "read"),
    ("checks", "write"),
    ("deployments", "write"),
    ("members", "read"),
    ("statuses", "write"),
];

/// A higher level includes the lower ones.
fn rank(level: &str) -> u8 {
    match level {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

/// What a token is to be good for, out of what the installation has; or what is missing there.
pub(super) fn asked(
    granted: &BTreeMap<String, String>,
) -> Result<BTreeMap<&'static str, &'static str>, Vec<Missing>> {
    let has = |name: &str| granted.get(name).map_or("", String::as_str);
    let missing = below(NEEDED, granted);
    if !missing.is_empty() {
        return Err(missing);
    }
    let welcome = WELCOME.iter().filter_map(|(name, level)| match rank(has(name)) {
        0 => None,
        1 => Some((*name, "read")),
        _ => Some((*name, *level)),
    });
    Ok(NEEDED.iter().copied().chain(welcome).collect())
}

/// Those of `wanted` that are not granted, or at a lower level.
fn below(
    wanted: &'static [(&'static str, &'static str)],
    granted: &BTreeMap<String, String>,
) -> Vec<Missing> {
    let has = |name: &str| granted.get(name).map_or(0, |level| rank(level));
    wanted
        .iter()
        .filter(|(name, level)| has(name) < rank(level))
        .map(|(name, level)| Missing { name, level, has_some: has(name) > 0 })
        .collect()
}

/// What is missing of what is needed, and of what is welcome.
pub(super) fn missing(granted: &BTreeMap<String, String>) -> (Vec<Missing>, Vec<Missing>) {
    (below(NEEDED, granted), below(WELCOME, granted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_token_asks_for_what_is_needed_and_for_what_is_welcome_and_there() {
        let few = [("metadata", "read"), ("contents", "write"), ("pull_requests", "write")];
        let needed: BTreeMap<_, _> = NEEDED.iter().copied().collect();
        assert_eq!(asked(&granted(&few)), Ok(needed.clone()), "contents only to read");
        let mut many = granted(&few);
        many.extend(granted(&[
            ("checks", "write"),
            ("deployments", "read"),
            ("members", "write"),
            ("administration", "write"),
        ]));
        let mut expected = needed;
        expected.extend([("checks", "write"), ("deployments", "read"), ("members", "read")]);
        assert_eq!(asked(&many), Ok(expected));
    }

    #[test]
    fn the_manifest_asks_for_all_of_it() {
        let manifest = include_str!("../../../deploy/github-app.json");
        let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
        let has: BTreeMap<String, String> =
            serde_json::from_value(manifest["default_permissions"].clone()).unwrap();
        let all: BTreeMap<_, _> = NEEDED.iter().chain(WELCOME).copied().collect();
        assert_eq!(asked(&has), Ok(all));
        // Writing code or settings is never asked for, and issues only so that comments on pull requests are told.
        for (name, level) in &has {
            let known = NEEDED.iter().chain(WELCOME).any(|(n, l)| n == name && l == level);
            assert!(known || (name == "issues" && level == "read"), "{name}: {level}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_level() {
        let missing = asked(&granted(&[("metadata", "read"), ("pull_requests", "read")]));
        let words: Vec<String> = missing.unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(words, ["Contents: read", "Pull requests: write (it has read)"]);
        assert_eq!(asked(&BTreeMap::new()).unwrap_err().len(), 3);
    }
}
