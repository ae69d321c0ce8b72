//! `docs/guard.md` is written from the table of rules and from their examples, and compared with what is stored.
//! `BIVOUAC_REGENERATE=1` writes it anew.
#[cfg(test)]
use std::fmt::Write as _;

use super::examples::{EXAMPLES, Example, of_example};
use crate::domain::guard::{RULES, RuleInfo, Severity, annotations};

const HEAD: &str = include_str!("page_head.md");
const TAIL: &str = include_str!("page_tail.md");

#[test]
fn the_page_says_what_the_rules_do() {
    let page = page();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guard.md");
    #[expect(clippy::disallowed_methods, reason = "a test that writes what it would compare")]
    if std::env::var("BIVOUAC_REGENERATE").is_ok() {
        std::fs::write(path, &page).expect("docs/ can be written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/guard.md is out of date: run this test with BIVOUAC_REGENERATE=1"
    );
}

#[test]
fn each_rule_has_an_example() {
    for info in &RULES {
        assert!(EXAMPLES.iter().any(|example| example.rule == info.rule), "{}", info.id);
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    contents(&mut page);
    for info in &RULES {
        rule(&mut page, info);
    }
    ingress_annotations(&mut page);
    behind(&mut page);
    page.push_str(TAIL);
    page
}

fn contents(page: &mut String) {
    page.push_str("\n## Rules\n\n| id | name | | since |\n| --- | --- | --- | --- |\n");
    for RuleInfo { id, name, severity, since, .. } in &RULES {
        let _ = writeln!(
            page,
            "| [{id}](#{}-{name}) | {name} | {} | {since} |",
            id.to_lowercase(),
            word(*severity)
        );
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Refused => "Refuses",
        Severity::Warning => "Warns",
    }
}

fn rule(page: &mut String, info: &RuleInfo) {
    let RuleInfo { id, name, severity, since, what, reason, hint, rule, behind: _ } = info;
    let _ = write!(page, "\n### {id} {name}\n\n*{}, since {since}.*", word(*severity));
    match what {
        [one] => {
            let _ = write!(page, " *What:* {one}\n\n");
        }
        several => {
            page.push_str(" *What:*\n\n");
            for one in *several {
                let _ = writeln!(page, "* {one}");
            }
            page.push('\n');
        }
    }
    let _ = writeln!(page, "*Why:* {reason}\n*Mend:* {hint}");
    for example in EXAMPLES.iter().filter(|example| example.rule == *rule) {
        show(page, example);
    }
}

fn show(page: &mut String, example: &Example) {
    let Example { title, setting, refused, mended, .. } = example;
    let findings = of_example(example, refused);
    let given = if setting.is_empty() { String::new() } else { format!(" With `{setting}`:") };
    let _ = write!(page, "\n**{title}**{given}\n\n```yaml\n{}\n```\n\n", refused.trim());
    for finding in &findings {
        let (id, name) = (finding.rule.id(), finding.rule.name());
        let _ = writeln!(
            page,
            "> * `{}`: {} (rule `{id} {name}`)<br>\n>   What to do: {}",
            finding.origin, finding.message, finding.hint
        );
    }
    let _ = write!(page, "\nMended:\n\n```yaml\n{}\n```\n", mended.trim());
}

fn ingress_annotations(page: &mut String) {
    page.push_str(
        "\n## Annotations of an Ingress\n\nAllowed are names without a domain, and everything of these domains, which no \
         controller obeys: ",
    );
    let domains: Vec<String> =
        annotations::HARMLESS_DOMAINS.iter().map(|domain| format!("`{domain}/`")).collect();
    page.push_str(&domains.join(", "));
    page.push_str(
        ".\n`kubernetes.io/ingress.class` may name the class of `url.ingressClass`, and `cert-manager.io/cluster-issuer` the \
         issuer of `url.tls`. Of controllers' own, only those that tune how a request is passed on are\nallowed. \
         For nginx no value may hold any of `{};\"'#\\` or a backquote; for the others only words, figures, blanks and \
         `.,-_/:%`.\n\n| domain | names |\n| --- | --- |\n",
    );
    for (domain, names) in annotations::allowed_on_ingress() {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| `{domain}/` | {} |", names.join(", "));
    }
    page.push_str(
        "\nA list of what is allowed stands here because controllers read hundreds of annotations and each version reads \
         more; the ones left out hold configuration\n(snippets), name further hosts (`server-alias`, `from-to-www-redirect`), \
         ask foreign hosts (`auth-url`, `mirror-target`), take shares of others' traffic (`canary`, `group.name`) or read \
         Secrets of other namespaces.\n",
    );
}

fn behind(page: &mut String) {
    page.push_str(
        "\n## What stands behind the guard\n\nThe guard explains; it is not the wall. A bundle is applied by impersonating \
         `system:serviceaccount:<camp>:bivouac-deployer`, an account that is bound to `isolation.deployerRole`\nin that one \
         namespace. The namespace enforces the Pod Security level of `isolation.podSecurity`. So the API server refuses the \
         following again, if the guard should miss it:\n\n| | by RBAC of the deployer | by the admission policy | by Pod Security | by the API's own \
         checks | **only by the guard** |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for RuleInfo { id, behind, .. } in &RULES {
        let _ = writeln!(
            page,
            "| {id} | {} | {} | {} | {} | {} |",
            behind.rbac, behind.policy, behind.pod_security, behind.api, behind.nothing
        );
    }
}
