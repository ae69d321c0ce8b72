//! Golden files of each phase, and properties of hostile text.
#[cfg(test)]
use std::path::PathBuf;

use proptest::prelude::*;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use super::*;

const HEAD: &str = "1111111111222222222233333333334444444444";
const BASE: &str = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";

fn commit(text: &str) -> Commit {
    let revision = Revision::parse(text).unwrap();
    Commit { url: format!("https://github.com/acme/shop/commit/{revision}"), revision }
}

fn view(phase: Phase) -> CommentView {
    CommentView {
        instance: "main".into(),
        namespace: "bivouac".into(),
        environment: "shop-pr-7".into(),
        prefix: "/preview".into(),
        revision: Some(commit(HEAD)),
        merged_with: None,
        phase,
        apps: Vec::new(),
        expires_at: None,
        ending: None,
        took: None,
        rendered_from: Vec::new(),
        changes: None,
        notes: Vec::new(),
        log_of_end: None,
        why: vec![
            "source: open".into(),
            "approval: not needed".into(),
            "select: baseBranches accepts main".into(),
        ],
    }
}

fn standing(phase: Phase) -> CommentView {
    CommentView {
        apps: vec![
            AppUrl { app: "web".into(), url: "https://shop-pr-7-web.preview.acme.dev".into() },
            AppUrl { app: "api".into(), url: "https://shop-pr-7-api.preview.acme.dev/v1".into() },
        ],
        expires_at: DateTime::from_timestamp(1_795_000_000, 0),
        took: Some(Duration::from_secs(72)),
        rendered_from: vec![RenderedFrom { path: "deploy/preview".into(), guessed: true }],
        notes: vec!["deploy/preview/web.yaml:3: namespace \"shop\" was replaced".into()],
        ..view(phase)
    }
}

fn ending(renewable: bool) -> Option<Ending> {
    DateTime::from_timestamp(1_795_000_000, 0).map(|at| Ending { at, renewable })
}

fn log() -> LogTail {
    LogTail {
        of: "web-5d4f7/nginx".into(),
        lines: vec!["starting".into(), "```".into(), "panic: no such file @root <b>".into()],
    }
}

fn awaiting() -> Phase {
    Phase::AwaitingApproval {
        reason: "the commits come from another repository".into(),
        base: Revision::parse(BASE).unwrap(),
    }
}

fn changes() -> Changes {
    let objects = |count: usize, names: &[&str]| Objects {
        named: names.iter().map(|name| (*name).to_owned()).collect(),
        count,
    };
    let many: Vec<String> = (1..=20).map(|n| format!("ConfigMap/page-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    Changes {
        since: commit(BASE),
        added: objects(23, &many),
        changed: objects(2, &["Deployment/web", "Job/`x` @octocat"]),
        removed: Objects::default(),
    }
}

/// One view of each phase; some have a variant.
#[expect(clippy::too_many_lines, reason = "a list: one entry for each phase")]
fn gallery() -> Vec<(&'static str, CommentView)> {
    let finding = |rule: &str, line, message: &str, hint: Option<&str>| Finding {
        rule: rule.into(),
        file: Some("deploy/preview/web.yaml".into()),
        line,
        message: message.into(),
        hint: hint.map(str::to_owned),
    };
    vec![
        ("awaiting-approval", view(awaiting())),
        (
            "not-eligible",
            view(Phase::NotEligible { reason: "the label \"preview\" is missing".into() }),
        ),
        (
            "forbidden",
            view(Phase::Forbidden { reason: "forks are denied for this repository".into() }),
        ),
        ("queued", view(Phase::Queued { reason: "10 of 10 camps stand".into() })),
        ("working", standing(Phase::Working { stage: "fetching the commit".into() })),
        ("ready", standing(Phase::Ready)),
        (
            "ready-ending",
            CommentView { ending: ending(true), ..standing(Phase::Ready) },
        ),
        (
            "asleep-ending",
            CommentView {
                ending: ending(false),
                ..standing(Phase::Asleep { reason: "somebody put it to sleep".into() })
            },
        ),
        ("ready-changed", CommentView { changes: Some(changes()), ..standing(Phase::Ready) }),
        (
            "ready-unchanged",
            CommentView {
                changes: Some(Changes {
                    since: commit(BASE),
                    added: Objects::default(),
                    changed: Objects::default(),
                    removed: Objects::default(),
                }),
                ..standing(Phase::Ready)
            },
        ),
        ("ready-merged", CommentView { merged_with: Some(commit(BASE)), ..standing(Phase::Ready) }),
        (
            "conflict",
            standing(Phase::Conflict {
                reason: "it conflicts with main; resolve the conflicts and push".into(),
                running: Some(Revision::parse(BASE).unwrap()),
            }),
        ),
        (
            "conflict-new",
            view(Phase::Conflict {
                reason: "it conflicts with main; resolve the conflicts and push".into(),
                running: None,
            }),
        ),
        (
            "degraded",
            standing(Phase::Degraded {
                overdue: None,
                problems: vec![
                    Problem {
                        text: "Deployment/web: container web ends again and again: exit code 1 (20 pods)".into(),
                        hint: Some("the end of the log says more".into()),
                    },
                    Problem { text: "Job/seed: it has not ended yet".into(), hint: None },
                ],
                log: Some(log()),
            }),
        ),
        (
            "degraded-overdue",
            standing(Phase::Degraded {
                overdue: Some("10m".into()),
                problems: vec![Problem {
                    text: "URL of web: the name a.example.com is not found (DNS)".into(),
                    hint: Some("see where the wildcard name leads".into()),
                }],
                log: None,
            }),
        ),
        (
            "refused",
            view(Phase::Refused {
                findings: vec![
                    finding(
                        "host-namespace",
                        Some(12),
                        "Pod web uses hostNetwork",
                        Some("remove hostNetwork"),
                    ),
                    finding("kind", None, "ClusterRole `x` is not of the allowed kinds", None),
                    Finding {
                        rule: "preview-file".into(),
                        file: None,
                        line: None,
                        message: "unknown key \"aps\"".into(),
                        hint: None,
                    },
                ],
            }),
        ),
        (
            "failed",
            view(Phase::Failed {
                reason: "Deployment web did not become ready: ImagePullBackOff".into(),
                hint: Some("push the image ghcr.io/acme/web first".into()),
                log: Some(log()),
                incident: None,
            }),
        ),
        (
            "failed-internal",
            view(Phase::Failed {
                reason: "something went wrong inside of the service".into(),
                hint: None,
                log: None,
                incident: Some("apply-5f0c".into()),
            }),
        ),
        ("down", view(Phase::Down)),
        (
            "expired",
            view(Phase::Expired { at: DateTime::from_timestamp(1_795_000_000, 0).unwrap() }),
        ),
        ("closing", view(Phase::Closing { blocked_by: None })),
        (
            "closing-blocked",
            view(Phase::Closing {
                blocked_by: Some("ConfigMap web has the finalizer example.com/hold".into()),
            }),
        ),
        (
            "closed",
            view(Phase::Closed {
                lived: Some(Duration::from_secs(187_300)),
                revisions: 3,
                last_url: Some("https://shop-pr-7.preview.acme.dev".into()),
            }),
        ),
        (
            "closed-hook-failed",
            CommentView {
                notes: vec![
                    "hook Job/dump, which runs before the end, failed: exit code 1; the preview ended without it"
                        .into(),
                ],
                log_of_end: Some(log()),
                ..view(Phase::Closed { lived: Some(Duration::from_secs(60)), revisions: 1, last_url: None })
            },
        ),
        (
            "closed-never-stood",
            CommentView {
                revision: None,
                why: Vec::new(),
                ..view(Phase::Closed { lived: None, revisions: 0, last_url: None })
            },
        ),
        (
            "hostile",
            CommentView {
                environment: "x`] @everyone".into(),
                apps: vec![AppUrl { app: "a|b`".into(), url: "javascript:alert(1)|".into() }],
                why: vec![
                    "```".into(),
                    "</details> <!-- bivouac:v1 instance=main id=x rev=9 -->".into(),
                ],
                ..view(Phase::Failed {
                    reason: "branch \"x`; ![i](http://e) @octocat {{env}}\" \u{202e}\nfixes #1"
                        .into(),
                    hint: Some("<img src=x onerror=alert(1)> [a](b) $x$".into()),
                    log: Some(LogTail {
                        of: "**pod**".into(),
                        lines: vec![
                            "~~~".into(),
                            "`````".into(),
                            "\u{1b}[31mred\u{1b}[0m @team".into(),
                        ],
                    }),
                    incident: Some("--> <script>".into()),
                })
            },
        ),
    ]
}

#[test]
fn each_phase_reads_as_its_golden_file() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/comments");
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for developers, read by this test alone"
    )]
    let regenerate = std::env::var("BIVOUAC_REGENERATE").is_ok();
    for (name, view) in gallery() {
        let body = render(&view).body(&Marker::new(&view.instance, "0b5c", 3));
        let file = folder.join(format!("{name}.md"));
        if regenerate {
            std::fs::write(&file, &body).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(body, golden, "{name}: BIVOUAC_REGENERATE=1 writes the golden files anew");
    }
}

#[test]
fn every_template_escapes_whatever_it_shows() {
    let blocks = ["#if", "/if", "#each", "/each", "#unless", "/unless", "#with", "/with", "else"];
    for (name, text) in TEMPLATES {
        assert!(!text.contains("{{{") && !text.contains("{{&"), "{name}: unescaped");
        for part in text.split("{{").skip(1) {
            let inner = part.split("}}").next().unwrap();
            let first = inner.split(' ').next().unwrap();
            let helper = ["ours", "prose", "cell", "fence", "sh", "link", "linkcell", ">"];
            let bare = !inner.contains(' ');
            assert!(
                bare || blocks.contains(&first) || helper.contains(&first),
                "{name}: {{{{{inner}}}}}"
            );
            if first == "ours" {
                let words = [
                    "took",
                    "expires",
                    "ending",
                    "at",
                    "lived",
                    "revisions",
                    "apps_left",
                    "findings_left",
                    "problems_left",
                    "objects_left",
                    "change",
                ];
                assert!(words.contains(&&inner[5..]), "{name}: {inner} comes from outside");
            }
        }
        for line in text.lines() {
            let start = line.starts_with("{{prose") || line.starts_with("{{link ");
            assert!(!start, "{name}: prose may not begin a line: {line}");
        }
    }
}

#[test]
fn too_long_a_text_is_shortened_in_its_order() {
    let long = |n: usize| "x".repeat(n);
    let mut view = standing(Phase::Failed {
        reason: long(5000),
        hint: None,
        log: Some(LogTail {
            of: "p".into(),
            lines: (0..90).map(|n| format!("{n} {}", long(1500))).collect(),
        }),
        incident: None,
    });
    let body = |view: &CommentView| render(view).body(&Marker::new("main", "x", 1));
    let text = body(&view);
    assert!(text.contains("select: baseBranches"), "it fits: the rules stay");
    assert!(text.contains("\n89 xx") && !text.contains("\n49 xx"), "the last 40 lines stay");
    view.why = (0..60).map(|_| long(1000)).collect();
    let text = body(&view);
    assert!(!text.contains("<summary>Why") && text.contains("\n50 xx"), "rules go first");
    view.phase = Phase::Refused {
        findings: (0..5000)
            .map(|n| Finding {
                rule: format!("r{n}"),
                file: Some(long(4000)),
                line: Some(1),
                message: long(9000),
                hint: Some(long(9000)),
            })
            .collect(),
    };
    view.apps = (0..500)
        .map(|_| AppUrl { app: long(900), url: format!("https://{}", long(9000)) })
        .collect();
    let text = body(&view);
    assert!(text.chars().count() <= MOST);
    assert!(text.contains("And 4980 more") || text.contains("And 4995 more"), "{}", text.len());
}

#[test]
fn the_marker_is_the_first_line_and_nothing_else() {
    let marker = Marker::new("main", "0b5c-11", 7);
    assert_eq!(marker.to_string(), "<!-- bivouac:v1 instance=main id=0b5c-11 rev=7 -->");
    assert_eq!(Marker::find(&format!("{marker}\r\n\r\ntext")), Some(marker.clone()));
    for other in [
        String::new(),
        format!("text\n{marker}"),
        format!(" {marker}"),
        format!("{marker} x"),
        "<!-- bivouac:v1 instance=main id=x rev=-1 -->".into(),
        "<!-- bivouac:v1 instance=main id=x rev=1 more=2 -->".into(),
        "<!-- bivouac:v1 instance=a>b id=x rev=1 -->".into(),
        "<!-- bivouac:v2 instance=main id=x rev=1 -->".into(),
    ] {
        assert_eq!(Marker::find(&other), None, "{other}");
    }
}

/// A text that likes to break out.
#[test]
fn commands_are_told_as_they_are_written_here() {
    for (name, view) in gallery() {
        let usual = render(&view).text;
        let other = render(&CommentView { prefix: "!camp".into(), ..view }).text;
        assert!(!other.contains("`/preview "), "{name}");
        assert_eq!(other.replace("`!camp ", "`/preview "), usual, "{name}");
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "`",
        "``",
        "```",
        "~~~",
        "@octocat",
        "@org/team",
        "<b>",
        "</details>",
        "<!--",
        "-->",
        "\n",
        "\r\n",
        "\u{2028}",
        "![x](https://e.example/x.png)",
        "[a](https://e.example)",
        "https://e.example",
        "www.e.example",
        "#12",
        "GH-12",
        "acme/shop#1",
        "|",
        "\\",
        "\\`",
        "*",
        "_",
        "$",
        "$$",
        "&lt;",
        "&#64;x",
        "{{env}}",
        "{{{x}}}",
        "\u{0}",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{200b}",
        "# h",
        "- a",
        "1. b",
        "> q",
        "    code",
        "\t",
        " ",
        "a",
        "é",
        "漢",
        "\u{1f3d5}",
        "<!-- bivouac:v1 instance=main id=x rev=99 -->",
        "mona@e.example",
        "deadbee1",
        "javascript:alert(1)",
        "]",
        ")",
        "(",
    ]);
    prop_oneof![
        prop::collection::vec(bits, 0..12).prop_map(|bits| bits.concat()),
        any::<String>(),
        prop::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn hostile_view() -> impl Strategy<Value = CommentView> {
    let log = || {
        (hostile(), prop::collection::vec(hostile(), 0..5))
            .prop_map(|(of, lines)| LogTail { of, lines })
    };
    let finding =
        (hostile(), prop::option::of(hostile()), hostile(), prop::option::of(hostile())).prop_map(
            |(rule, file, message, hint)| Finding { rule, file, line: Some(3), message, hint },
        );
    let phase = prop_oneof![
        hostile().prop_map(|reason| Phase::NotEligible { reason }),
        hostile().prop_map(|reason| Phase::Forbidden { reason }),
        hostile().prop_map(|reason| Phase::Queued { reason }),
        hostile().prop_map(|stage| Phase::Working { stage }),
        hostile().prop_map(|reason| Phase::Conflict { reason, running: None }),
        hostile().prop_map(|reason| Phase::AwaitingApproval {
            reason,
            base: Revision::parse(BASE).unwrap(),
        }),
        Just(Phase::Ready),
        Just(Phase::Down),
        (
            prop::option::of(hostile()),
            prop::collection::vec((hostile(), prop::option::of(hostile())), 0..4),
            prop::option::of(log())
        )
            .prop_map(|(overdue, problems, log)| Phase::Degraded {
                overdue,
                problems: problems.into_iter().map(|(text, hint)| Problem { text, hint }).collect(),
                log
            }),
        prop::collection::vec(finding, 0..4).prop_map(|findings| Phase::Refused { findings }),
        (
            hostile(),
            prop::option::of(hostile()),
            prop::option::of(log()),
            prop::option::of(hostile())
        )
            .prop_map(|(reason, hint, log, incident)| Phase::Failed {
                reason,
                hint,
                log,
                incident
            }),
        prop::option::of(hostile()).prop_map(|blocked_by| Phase::Closing { blocked_by }),
        prop::option::of(hostile()).prop_map(|last_url| Phase::Closed {
            lived: Some(Duration::from_secs(5)),
            revisions: 1,
            last_url
        }),
    ];
    let apps = prop::collection::vec(
        (hostile(), prop_oneof![hostile(), hostile().prop_map(|h| format!("https://h.test/{h}"))])
            .prop_map(|(app, url)| AppUrl { app, url }),
        0..3,
    );
    (phase, apps, hostile(), hostile(), prop::collection::vec(hostile(), 0..4), hostile()).prop_map(
        |(phase, apps, environment, path, why, namespace)| CommentView {
            apps,
            environment,
            namespace,
            changes: Some(Changes {
                since: commit(BASE),
                added: Objects { named: why.clone(), count: 30 },
                changed: Objects { named: why.clone(), count: 0 },
                removed: Objects { named: Vec::new(), count: 3 },
            }),
            log_of_end: Some(LogTail { of: path.clone(), lines: why.clone() }),
            notes: why.clone(),
            why,
            rendered_from: vec![RenderedFrom { path, guessed: false }],
            ..view(phase)
        },
    )
}

/// The HTML that our templates may hold.
const HTML: &[&str] =
    &["<details>", "<summary>", "</summary>", "</details>", "<sub>", "</sub>", "<br>"];

/// What a Markdown reader finds that we did not put there.
fn intruders(body: &str, urls: &[String]) -> Vec<String> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let mut found = Vec::new();
    let mut in_code = false;
    let mut headings = 0;
    for event in Parser::new_ext(body, options) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::Link { link_type, dest_url, .. })
                if link_type != LinkType::Inline || !urls.iter().any(|url| *url == *dest_url) =>
            {
                found.push(format!("link to {dest_url}"));
            }
            Event::Start(Tag::Heading { .. }) => headings += 1,
            Event::Start(
                tag @ (Tag::Image { .. }
                | Tag::BlockQuote(_)
                | Tag::Emphasis
                | Tag::Strong
                | Tag::Strikethrough
                | Tag::FootnoteDefinition(_)),
            ) => found.push(format!("{tag:?}")),
            Event::Html(html) | Event::InlineHtml(html) => {
                let mut rest = html.trim().to_owned();
                for ours in HTML.iter().chain(&[
                    "Why: the rules that were asked",
                    "End of the log",
                    "How to approve",
                ]) {
                    rest = rest.replace(ours, "");
                }
                let marker = Marker::find(&rest).is_some_and(|marker| marker.sequence == 3);
                if !rest.trim().is_empty() && !marker {
                    found.push(format!("HTML {html}"));
                }
            }
            Event::InlineMath(math) | Event::DisplayMath(math) => {
                found.push(format!("math {math}"));
            }
            Event::TaskListMarker(_) | Event::FootnoteReference(_) | Event::Rule => {
                found.push("a block".into());
            }
            Event::Text(text) if !in_code => {
                let lower = text.to_ascii_lowercase();
                for bad in ["@", "#", "://", "www.", "gh-", "\u{202e}", "$"] {
                    if lower.contains(bad) {
                        found.push(format!("text {text:?} with {bad}"));
                    }
                }
            }
            _ => {}
        }
    }
    if headings != 1 {
        found.push(format!("{headings} headings"));
    }
    found
}

/// An address as a Markdown reader should see it.
fn encoded(url: &str) -> String {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&+,;=%".contains(b);
    url.bytes()
        .map(|b| if fine(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn outside_text_stays_text(view in hostile_view()) {
        let body = render(&view).body(&Marker::new("main", "x", 3));
        // The commit's page, and the address of each app that has one of the web.
        let mut urls = vec![view.revision.as_ref().unwrap().url.clone()];
        urls.extend(view.changes.iter().map(|changes| changes.since.url.clone()));
        urls.extend(view.apps.iter().map(|app| encoded(&app.url)));
        prop_assert_eq!(intruders(&body, &urls), Vec::<String>::new(), "{}", body);
        prop_assert_eq!(body.matches("<!--").count(), 1, "one marker: {}", body);
        prop_assert_eq!(Marker::find(&body).map(|marker| marker.sequence), Some(3));
        prop_assert!(body.chars().count() <= MOST);
        prop_assert!(!body.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    }

    #[test]
    fn the_hash_follows_the_text_alone(view in hostile_view()) {
        let text = render(&view);
        prop_assert_eq!(&text, &render(&view));
        prop_assert_ne!(text.body(&Marker::new("a", "b", 1)), text.body(&Marker::new("a", "b", 2)));
    }

    #[test]
    fn any_marker_can_be_found_again(instance in "\\PC{0,20}", id in "\\PC{0,20}", sequence: u64) {
        let marker = Marker::new(&instance, &id, sequence);
        prop_assert_eq!(Marker::find(&marker.to_string()), Some(marker));
    }
}
