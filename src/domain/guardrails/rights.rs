//! PURE · rights that the service needs, against those that it has; and the rule that gives one.

use std::collections::{BTreeMap, BTreeSet};

/// One thing that somebody must be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: String,
    /// Resource, in the plural.
    pub resource: String,
    /// Verb.
    pub verb: String,
    /// The one object, where it is about one.
    pub name: Option<String>,
}

impl Right {
    /// On all objects.
    #[must_use]
    pub fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self { group: group.into(), resource: resource.into(), verb: verb.into(), name: None }
    }

    /// The same on one object.
    #[must_use]
    pub fn on(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

/// A rule that somebody has: of a role, or as the API server tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldRule {
    /// API groups.
    pub groups: Vec<String>,
    /// Resources.
    pub resources: Vec<String>,
    /// Names of objects; empty for all.
    pub names: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
}

impl HeldRule {
    fn gives(&self, right: &Right) -> bool {
        let has = |list: &[String], one: &str| list.iter().any(|item| item == "*" || item == one);
        has(&self.groups, &right.group)
            && has(&self.resources, &right.resource)
            && has(&self.verbs, &right.verb)
            && (self.names.is_empty()
                || right.name.as_ref().is_some_and(|name| self.names.contains(name)))
    }
}

/// Those of `needed` that no rule gives.
#[must_use]
pub fn missing(needed: &[Right], held: &[HeldRule]) -> Vec<Right> {
    needed.iter().filter(|right| !held.iter().any(|rule| rule.gives(right))).cloned().collect()
}

/// Group, verbs, and whether it is for named objects only.
type RuleKey<'a> = (&'a str, BTreeSet<&'a str>, bool);

/// `rights` as rules of a role, in the form of YAML on one line each, joined by commas.
#[must_use]
pub fn rule_text(rights: &[Right]) -> String {
    // What differs in the verb only is one rule, and then what differs in the resource only.
    let mut verbs: BTreeMap<(&str, &str, Option<&str>), BTreeSet<&str>> = BTreeMap::new();
    for Right { group, resource, verb, name } in rights {
        verbs.entry((group, resource, name.as_deref())).or_default().insert(verb);
    }
    let mut rules: BTreeMap<RuleKey<'_>, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for ((group, resource, name), verbs) in verbs {
        let (resources, names) = rules.entry((group, verbs, name.is_some())).or_default();
        resources.insert(resource);
        names.extend(name);
    }
    let list = |items: &BTreeSet<&str>| items.iter().copied().collect::<Vec<_>>().join(", ");
    let rules = rules.iter().map(|((group, verbs, _), (resources, names))| {
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(", resourceNames: [{}]", list(names))
        };
        format!(
            "{{apiGroups: [\"{group}\"], resources: [{}]{names}, verbs: [{}]}}",
            list(resources),
            list(verbs)
        )
    });
    rules.collect::<Vec<_>>().join(", ")
}

/// One sentence about rights that are missing, with the rule to add to ClusterRole `role`.
#[must_use]
pub fn sentence(rights: &[Right], role: &str) -> String {
    let first = rights.iter().take(3).map(|Right { resource, verb, name, .. }| match name {
        Some(name) => format!("{verb} {resource} {name}"),
        None => format!("{verb} {resource}"),
    });
    let first = first.collect::<Vec<_>>().join(", ");
    let more = match rights.len() {
        0..=3 => String::new(),
        all => format!(" and {} more", all - 3),
    };
    format!(
        "the service may not {first}{more}: add to ClusterRole {role} the rule {} (deploy/rbac.yaml has it)",
        rule_text(rights)
    )
}

/// The right that an API server's refusal names: `User "x" cannot patch resource "secrets" in API group "" …`.
#[must_use]
pub fn right_of_refusal(message: &str) -> Option<Right> {
    let (_, rest) = message.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, _) = rest.split_once('"')?;
    let plain = |text: &str| {
        text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./*".contains(&b))
    };
    (plain(verb) && plain(resource) && plain(group)).then(|| Right::new(group, resource, verb))
}
