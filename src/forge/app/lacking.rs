//! PURE · which permissions an App does not ask for. In: what it asks for; out: sentences' parts.

use std::collections::BTreeMap;

use super::grants;

/// What is missing, as `Pull requests: write`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// Nothing works without.
    pub needed: Vec<String>,
    /// Something is left out without.
    pub welcome: Vec<String>,
}

/// What `asked` lacks.
#[must_use]
pub fn lacks(asked: &BTreeMap<String, String>) -> Lacks {
    let (needed, welcome) = grants::missing(asked);
    let words = |all: Vec<super::Missing>| all.iter().map(ToString::to_string).collect();
    Lacks { needed: words(needed), welcome: words(welcome) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_and_what_is_welcome_are_told_apart() {
        let asked = [("metadata", "read"), ("pull_requests", "write"), ("checks", "read")];
        let asked = asked.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
        let Lacks { needed, welcome } = lacks(&asked);
        assert_eq!(needed, ["Contents: read"]);
        assert_eq!(
            welcome,
            [
                "Actions: read",
                "Checks: write (it has read)",
                "Deployments: write",
                "Members: read",
                "Statuses: write"
            ]
        );
    }
}
