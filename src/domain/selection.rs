//! PURE · does `select` of the policy take this pull request? Every refusal names rule, wish and finding.

use super::policy::Select;

/// What `select` looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Branch that is proposed.
    pub head_branch: &'a str,
    /// Branch that it is proposed to.
    pub base_branch: &'a str,
    /// Labels.
    pub labels: &'a [String],
    /// Not ready for review.
    pub draft: bool,
}

/// `Ok` when all conditions hold, else the first that does not, as a sentence.
pub fn select(rules: &Select, subject: &Subject<'_>) -> Result<(), String> {
    let Select { base_branches, head_branches, labels_all, labels_none, drafts } = rules;
    if subject.draft && !drafts {
        return Err("it is a draft, and drafts get no camp (select.drafts)".into());
    }
    for (what, key, patterns, branch) in [
        ("base", "baseBranches", base_branches, subject.base_branch),
        ("head", "headBranches", head_branches, subject.head_branch),
    ] {
        if !patterns.is_empty() && !patterns.iter().any(|pattern| matches(pattern, branch)) {
            return Err(format!(
                "its {what} branch {branch:?} is none of {} (select.{key})",
                patterns.join(", ")
            ));
        }
    }
    if let Some(missing) = labels_all.iter().find(|label| !has(subject.labels, label)) {
        return Err(format!("it lacks the label {missing:?} (select.labels.all)"));
    }
    if let Some(there) = labels_none.iter().find(|label| has(subject.labels, label)) {
        return Err(format!("it has the label {there:?} (select.labels.none)"));
    }
    Ok(())
}

/// Whether a branch is one of those that have an environment each.
pub fn branch(patterns: &[String], name: &str) -> Result<(), String> {
    if patterns.iter().any(|pattern| matches(pattern, name)) {
        return Ok(());
    }
    Err(match patterns {
        [] => "the Repository names no branches that have an environment (branches)".to_owned(),
        patterns => format!("branch {name:?} is none of {} (branches)", patterns.join(", ")),
    })
}

/// GitHub does not tell labels apart by case.
fn has(labels: &[String], wanted: &str) -> bool {
    labels.iter().any(|label| label.eq_ignore_ascii_case(wanted))
}

/// `*` stands for any characters, also none, also `/`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            match rest.find(between) {
                Some(at) => rest = &rest[at + between.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Select {
        Select {
            base_branches: vec!["main".into(), "release/*".into()],
            head_branches: vec![],
            labels_all: vec!["preview".into()],
            labels_none: vec!["no-preview".into()],
            drafts: false,
        }
    }

    #[test]
    fn the_first_condition_that_fails_is_named() {
        let labels = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for (base, label_names, draft, expected) in [
            ("main", &["Preview"][..], false, Ok(())),
            ("release/1.2", &["preview"], false, Ok(())),
            (
                "main",
                &["preview"],
                true,
                Err("it is a draft, and drafts get no camp (select.drafts)"),
            ),
            (
                "dev",
                &["preview"],
                false,
                Err("its base branch \"dev\" is none of main, release/* (select.baseBranches)"),
            ),
            ("main", &[], false, Err("it lacks the label \"preview\" (select.labels.all)")),
            (
                "main",
                &["preview", "no-preview"],
                false,
                Err("it has the label \"no-preview\" (select.labels.none)"),
            ),
        ] {
            let labels = labels(label_names);
            let subject = Subject { head_branch: "x", base_branch: base, labels: &labels, draft };
            assert_eq!(
                select(&rules(), &subject),
                expected.map_err(str::to_owned),
                "{base} {labels:?} {draft}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a/b", true),
            ("feature/*", "feature/", true),
            ("feature/*", "feature", false),
            ("*-wip", "x-wip", true),
            ("*-wip", "x-wip2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("main", "main2", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
