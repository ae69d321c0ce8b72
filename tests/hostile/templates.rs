//! Handlebars templates that want to run for ever, grow without end, or see what is not theirs.

use super::{Case, files};

const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n";

fn one(name: &'static str, text: impl AsRef<str>) -> Case {
    files(name, &[("deploy/a.yaml.hbs", &format!("{HEAD}{}", text.as_ref()))])
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut deep = String::new();
    for _ in 0..5000 {
        deep.push_str("{{#if env.name}}");
    }
    let brackets =
        format!("  a: \"{{{{{}env.name{}}}}}\"\n", "(not ".repeat(5000), ")".repeat(5000));
    let nested = format!("  # {}x{}\n", "{{#each @root.env}}".repeat(20), "{{/each}}".repeat(20));
    let grows = "  a: \"{{#each env}}{{#each @root.env}}{{#each @root.env}}{{@root.commit.sha}}{{/each}}{{/each}}{{/each}}\"\n";
    vec![
        one("an unknown variable", "  a: \"{{pr.title}}\"\n"),
        one("an unknown variable in a condition", "  a: \"{{#if pr.title}}x{{/if}}\"\n"),
        one("a helper that reads the environment", "  a: \"{{env \"HOME\"}}\"\n"),
        one("a helper that looks up by a computed name", "  a: \"{{lookup env \"name\"}}\"\n"),
        one("a helper that writes to the log", "  a: \"{{log \"hello\" level=\"error\"}}\"\n"),
        one("a way up out of the context", "  a: \"{{../../../env.name}}{{../secret}}\"\n"),
        one("the prototype of JavaScript", "  a: \"{{env.constructor.prototype}}\"\n"),
        one("an inline partial", "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}\n"),
        one("a partial that is not there", "{{> nobody}}\n"),
        one("a partial from outside", "{{> ../../../../etc/passwd}}\n"),
        files(
            "a partial that includes itself",
            &[
                ("deploy/_loop.hbs", "x{{> loop}}"),
                ("deploy/a.yaml.hbs", &format!("{HEAD}  a: \"{{{{> loop}}}}\"\n")),
            ],
        ),
        files(
            "two partials that include each other",
            &[
                ("deploy/_ping.hbs", "x{{> pong}}"),
                ("deploy/_pong.hbs", "y{{> ping}}"),
                ("deploy/a.yaml.hbs", &format!("{HEAD}  a: \"{{{{> ping}}}}\"\n")),
            ],
        ),
        files(
            "partials that double eight and twenty times",
            &[
                ("deploy/_a.hbs", &"{{> b}}".repeat(30)),
                ("deploy/_b.hbs", &"{{> c}}".repeat(30)),
                ("deploy/_c.hbs", &"{{> d}}".repeat(30)),
                ("deploy/_d.hbs", &"{{> e}}".repeat(30)),
                ("deploy/_e.hbs", &"{{> f}}".repeat(30)),
                ("deploy/_f.hbs", &"{{commit.sha}}".repeat(30)),
                ("deploy/a.yaml.hbs", &format!("{HEAD}  a: \"{{{{> a}}}}\"\n")),
            ],
        ),
        one("5,000 blocks in one another", deep),
        one("5,000 brackets in one another", brackets),
        one("twenty loops in one another", nested),
        one("three loops in one another that stay small", grows),
        one("50,000 expressions", "  # {{env.name}}\n".repeat(50_000)),
        one("an indentation of a billion", "  a: \"{{indent 1000000000 env.name}}\"\n"),
        one("an indentation that is negative", "  a: \"{{indent -1 env.name}}\"\n"),
        one(
            "a replacement that grows",
            format!(
                "  a: '{{{{{}\"0\"{}}}}}'\n",
                "(replace \"0\" \"00000000000000000000000000000000\" ".repeat(25),
                ")".repeat(25)
            ),
        ),
        one("a value that is an object", "  a: \"{{env}}\"\n"),
        one("a block that is never closed", "  a: \"{{#if env.name}}\"\n"),
        one("text that is no template", "  a: \"{{{{{{{{\"\n"),
        one("a raw block", "  a: \"{{{{raw}}}} {{env.name}} {{{{/raw}}}}\"\n"),
        one("a comment that never ends", "  a: \"{{!-- \"\n"),
        files(
            "a template with 300 KiB",
            &[(
                "deploy/a.yaml.hbs",
                &format!("{HEAD}{}", "# padding padding padding\n".repeat(12_000)),
            )],
        ),
    ]
}
