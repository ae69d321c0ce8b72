//! PURE · names of environments, namespaces and hosts. Each fits its limit whatever goes in, and two different inputs
//! never share a name unless SHA-256's first 32 bits collide.
//!
//! Limits: a DNS label is at most 63 characters of `a-z0-9-` and begins and ends with a letter or digit (RFC 1123);
//! a label value in Kubernetes is at most 63 characters.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::id::PrNumber;

/// Most characters of a DNS label and of a label's value.
pub const LABEL_MAX: usize = 63;

/// Hex digits of the hash that ends a cut or derived name.
const HASH_DIGITS: usize = 8;

/// A name that is one DNS label: proven when built.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Takes `text` when it is a DNS label.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let fine = (1..=LABEL_MAX).contains(&bytes.len())
            && bytes.iter().all(|b| inner(*b) || *b == b'-')
            && bytes.first().copied().is_some_and(inner)
            && bytes.last().copied().is_some_and(inner);
        fine.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `stem` and the hash of `identity`, joined by `-` and cut in the stem to fit.
    fn hashed(stem: &str, identity: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in identity {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hex::encode(hash.finalize());
        let room = LABEL_MAX - HASH_DIGITS - 1;
        let stem = slug(stem, room);
        Self(format!("{stem}-{}", &digest[..HASH_DIGITS]))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text made fit for a DNS label: lower case, every run of other characters one `-`, none at the ends, at most `most`
/// characters; `x` when nothing is left. Never holds `--`, which begins an internationalised label.
#[must_use]
pub fn slug(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= most {
            break;
        }
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_matches('-');
    if out.is_empty() { "x".into() } else { out.into() }
}

/// The installation: part of marker, labels and hashes, so that two on one repository keep out of each other's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `--instance`.
    pub name: Label,
    /// The namespace where the service's own resources are.
    pub own_namespace: String,
    /// Name of the target cluster.
    pub target: String,
    /// What camps' namespaces begin with, say `camp-`.
    pub namespace_prefix: String,
}

/// Name of the record of a pull request: `<repository>-pr-<n>`, hashed when that would not fit a label's value.
#[must_use]
pub fn environment_name(repository: &str, number: PrNumber) -> Label {
    let plain = format!("{repository}-pr-{number}");
    Label::parse(&plain).unwrap_or_else(|| {
        let room = LABEL_MAX - HASH_DIGITS - 1 - format!("-pr-{number}").len();
        Label::hashed(
            &format!("{}-pr-{number}", slug(repository, room)),
            &[repository, &number.to_string()],
        )
    })
}

/// Name of the record of a branch: `<repository>-<slug>-<8 hex>`.
#[must_use]
pub fn branch_environment_name(repository: &str, branch: &str) -> Label {
    let repository_part = slug(repository, LABEL_MAX / 2);
    let room = LABEL_MAX - HASH_DIGITS - 2 - repository_part.len();
    let stem = format!("{repository_part}-{}", slug(branch, room));
    Label::hashed(&stem, &[repository, "branch", branch])
}

/// Name of a camp's namespace: `<prefix><environment>-<8 hex>`.
#[must_use]
pub fn namespace_name(instance: &Instance, environment: &str) -> Label {
    let Instance { name, own_namespace, target, namespace_prefix } = instance;
    Label::hashed(
        &format!("{namespace_prefix}{environment}"),
        &[name.as_str(), own_namespace, target, environment],
    )
}

/// The label below the wildcard domain: `<environment>`, or `<environment>-<app>` when there are several apps.
///
/// Never with `--`, and hashed when it had to be changed to fit, or when another environment could have that name.
#[must_use]
pub fn host_label(environment: &str, app: Option<&str>) -> Label {
    let plain = app.map_or_else(|| environment.to_owned(), |app| format!("{environment}-{app}"));
    match Label::parse(&plain) {
        Some(label) if !plain.contains("--") && !app.is_some_and(ends_like_an_environment) => label,
        _ => Label::hashed(&plain, &[environment, app.unwrap_or_default()]),
    }
}

/// Whether `app` ends as the name of an environment does: `pr-2`, `x-pr-2`, `x-1a2b3c4d`. The app `pr-2` of
/// `shop-pr-1` would have the host of `shop-pr-1`'s second pull request, if a Repository is called so.
fn ends_like_an_environment(app: &str) -> bool {
    let stem = app.trim_end_matches(|c: char| c.is_ascii_digit());
    let of_pull_request = stem.len() < app.len() && (stem == "pr-" || stem.ends_with("-pr-"));
    // A branch's environment ends in a hash.
    let last = app.rsplit('-').next().unwrap_or(app);
    let of_branch = last.len() == HASH_DIGITS && last.bytes().all(|b| b.is_ascii_hexdigit());
    of_pull_request || of_branch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::dns::is_dns_label;

    fn instance(name: &str, prefix: &str) -> Instance {
        Instance {
            name: Label::parse(name).expect("test names are labels"),
            own_namespace: "bivouac-system".into(),
            target: "in-cluster".into(),
            namespace_prefix: prefix.into(),
        }
    }

    #[test]
    fn names_read_well_when_they_fit() {
        assert_eq!(environment_name("shop", PrNumber(7)).as_str(), "shop-pr-7");
        assert_eq!(host_label("shop-pr-7", None).as_str(), "shop-pr-7");
        assert_eq!(host_label("shop-pr-7", Some("api")).as_str(), "shop-pr-7-api");
        let namespace = namespace_name(&instance("main", "camp-"), "shop-pr-7");
        assert!(namespace.as_str().starts_with("camp-shop-pr-7-"), "{namespace}");
    }

    #[test]
    fn no_app_takes_the_host_of_another_environment() {
        for (environment, app, other) in
            [("a-pr-1", "pr-2", "a-pr-1-pr-2"), ("a-pr-1", "x-pr-2", "a-pr-1-x-pr-2")]
        {
            assert_ne!(host_label(environment, Some(app)), host_label(other, None));
        }
        assert_eq!(host_label("a-pr-1", Some("pr-x2")).as_str(), "a-pr-1-pr-x2");
        // Of the branch `pr-1-x` of the Repository `a`, with an app that is called after its hash.
        let branch = branch_environment_name("a", "pr-1-x");
        let app = branch.as_str().strip_prefix("a-pr-1-").expect("its name begins so");
        assert_ne!(host_label("a-pr-1", Some(app)), host_label(branch.as_str(), None));
    }

    #[test]
    fn a_branchs_environment_is_called_after_it_and_two_branches_never_share_one() {
        let name = |repository: &str, branch: &str| {
            let label = branch_environment_name(repository, branch);
            assert!(label.as_str().len() <= LABEL_MAX, "{label}");
            label.as_str().to_owned()
        };
        assert!(name("shop", "main").starts_with("shop-main-"));
        assert!(name("shop", "release/1.2").starts_with("shop-release-1-2-"));
        assert_ne!(name("shop", "release/1"), name("shop", "release-1"));
        assert_ne!(name("shop", "a-b"), name("shop-a", "b"));
        let long = "x".repeat(255);
        assert_ne!(name(&"r".repeat(40), &long), name(&"r".repeat(40), &format!("{long}y")));
    }

    #[test]
    fn two_installations_never_share_a_namespace() {
        let one = namespace_name(&instance("one", "camp-"), "shop-pr-7");
        let two = namespace_name(&instance("two", "camp-"), "shop-pr-7");
        assert_ne!(one, two);
    }

    #[test]
    fn a_slug_is_never_empty_and_never_doubles_its_dash() {
        for (text, expected) in [
            ("Feature/ÄÖ_x", "feature-x"),
            ("", "x"),
            ("---", "x"),
            ("a--b", "a-b"),
            ("`rm -rf`", "rm-rf"),
        ] {
            assert_eq!(slug(text, 63), expected);
        }
    }

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
            prop_assert!(is_dns_label(&slug, most), "{}", slug);
        }

        #[test]
        fn every_name_is_a_label(repository in ".{0,200}", app in ".{0,100}", number in 1_u64.., prefix in "[a-z-]{0,70}") {
            let environment = environment_name(&repository, PrNumber(number));
            for label in [
                &environment,
                &namespace_name(&instance("main", &prefix), environment.as_str()),
                &host_label(environment.as_str(), Some(&app)),
                &host_label(environment.as_str(), None),
            ] {
                prop_assert!(Label::parse(label.as_str()).is_some(), "{}", label);
            }
            prop_assert!(!host_label(environment.as_str(), Some(&app)).as_str().contains("--"));
        }

        #[test]
        fn different_pull_requests_have_different_names(repository in "[a-z][a-z0-9-]{0,80}[a-z]", a in 1_u64..100_000, b in 1_u64..100_000) {
            prop_assume!(a != b);
            let (a, b) = (environment_name(&repository, PrNumber(a)), environment_name(&repository, PrNumber(b)));
            prop_assert_ne!(&a, &b);
            let instance = instance("main", "camp-");
            prop_assert_ne!(namespace_name(&instance, a.as_str()), namespace_name(&instance, b.as_str()));
            prop_assert_ne!(host_label(a.as_str(), None), host_label(b.as_str(), None));
        }
    }
}
