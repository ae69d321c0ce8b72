//! PURE · Markdown of users → clean HTML: GitHub's extensions, no scripts, no images from elsewhere, no hidden
//! comments.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};

/// Renders what a user wrote.
pub(super) fn render(text: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_GFM;
    let mut raw = String::new();
    html::push_html(&mut raw, events(Parser::new_ext(text, options)).into_iter());
    cleaner().clean(&raw).to_string()
}

/// Images become links, soft breaks become breaks (as in GitHub's comments), and bare addresses become links.
fn events<'a>(parser: impl Iterator<Item = Event<'a>>) -> Vec<Event<'a>> {
    let mut found = Vec::new();
    let mut plain = 0_usize;
    for event in parser {
        match event {
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
                plain += 1;
                found.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            Event::End(TagEnd::Image) => {
                plain = plain.saturating_sub(1);
                found.push(Event::End(TagEnd::Link));
            }
            Event::Start(tag @ (Tag::Link { .. } | Tag::CodeBlock(_))) => {
                plain += 1;
                found.push(Event::Start(tag));
            }
            Event::End(tag @ (TagEnd::Link | TagEnd::CodeBlock)) => {
                plain = plain.saturating_sub(1);
                found.push(Event::End(tag));
            }
            Event::SoftBreak => found.push(Event::HardBreak),
            Event::Text(text) if plain == 0 => link_addresses(&text, &mut found),
            other => found.push(other),
        }
    }
    found
}

fn link_addresses(text: &str, found: &mut Vec<Event<'_>>) {
    let mut rest = text;
    loop {
        let at = ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min();
        let Some(at) = at else { break };
        let end = rest[at..].find([' ', '\t', '<', '>', '"', '|']).map_or(rest.len(), |n| at + n);
        let address = rest[at..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '*', '_']);
        let end = at + address.len();
        found.push(Event::Text(CowStr::from(rest[..at].to_owned())));
        found.push(Event::Start(Tag::Link {
            link_type: LinkType::Autolink,
            dest_url: address.to_owned().into(),
            title: "".into(),
            id: "".into(),
        }));
        found.push(Event::Text(CowStr::from(address.to_owned())));
        found.push(Event::End(TagEnd::Link));
        rest = &rest[end..];
    }
    found.push(Event::Text(CowStr::from(rest.to_owned())));
}

fn cleaner() -> ammonia::Builder<'static> {
    let mut builder = ammonia::Builder::default();
    builder
        .add_tags(["details", "summary", "input", "section"])
        .rm_tags(["img", "map", "area"])
        .add_tag_attributes("details", ["open"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        .add_tag_attributes("ol", ["start"])
        .add_allowed_classes(
            "blockquote",
            [
                "markdown-alert-note",
                "markdown-alert-tip",
                "markdown-alert-important",
                "markdown-alert-warning",
                "markdown-alert-caution",
            ],
        )
        .tag_attribute_values(HashMap::from([(
            "input",
            HashMap::from([("type", HashSet::from(["checkbox"]))]),
        )]))
        // Whatever a user writes as an input is a dead checkbox.
        .set_tag_attribute_value("input", "type", "checkbox")
        .set_tag_attribute_value("input", "disabled", "")
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            // Addresses in the page itself would lead around in the sandbox as if it had written them.
            ("a", "href") if value.starts_with("//") => None,
            _ => Some(Cow::Borrowed(value)),
        })
        .link_rel(Some("noopener noreferrer nofollow"));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_extensions_are_rendered() {
        let text = "| a | b |\n|---|---|\n| 1 | ~~2~~ |\n\n- [x] done\n\n<details><summary>More</summary>\n\nhidden **text**\n\n</details>\n\nsee http://pr-1.localhost:8080/ now.";
        let html = render(text);
        for part in [
            "<table>",
            "<del>2</del>",
            "checkbox",
            "<details><summary>More</summary>",
            "<strong>text</strong>",
            "<a href=\"http://pr-1.localhost:8080/\" rel=\"noopener noreferrer nofollow\">http://pr-1.localhost:8080/</a> now.",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn nothing_that_runs_or_loads_comes_through() {
        let hostile = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "![x](http://evil.example/track.png)",
            "[x](javascript:alert(1))",
            "<a href=\"javascript:alert(1)\" onclick=\"alert(1)\">x</a>",
            "<iframe src=\"http://evil.example\"></iframe>",
            "<svg onload=alert(1)>",
            "<style>body{display:none}</style>",
            "<form action=\"http://evil.example\"><input name=a type=password></form>",
            "<details ontoggle=alert(1) open>x</details>",
            "<div style=\"position:fixed\">x</div>",
            "<meta http-equiv=refresh content=\"0;url=http://evil.example\">",
        ];
        for text in hostile {
            let html = render(text);
            for bad in [
                "<script",
                "<img",
                "javascript:",
                "onerror",
                "onclick",
                "<iframe",
                "onload",
                "<style",
                "<form",
                "password",
                "ontoggle",
                "style=",
                "<meta",
            ] {
                assert!(!html.contains(bad), "{text} became {html}");
            }
        }
    }

    #[test]
    fn hidden_comments_stay_hidden() {
        assert_eq!(render("<!-- bivouac:v1 id=1 -->\nhello").trim(), "<p>hello</p>");
        assert!(!render("a <!-- secret --> b").contains("secret"));
    }

    #[test]
    fn addresses_in_code_stay_text() {
        assert!(!render("`http://a.example`").contains("<a "));
        assert!(!render("```\nhttp://a.example\n```").contains("<a "));
    }
}
