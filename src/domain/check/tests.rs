use super::*;

fn row(number: u64, standing: Standing) -> Row {
    Row {
        number: PrNumber(number),
        branch: None,
        standing,
        reason: Some("the reason".into()),
        apps: vec![AppUrl { app: "web".into(), url: format!("https://pr-{number}.example.com/") }],
        expires_at: DateTime::from_timestamp(1_800_000_000, 0),
        remarks: Vec::new(),
    }
}

fn view(rows: Vec<Row>) -> CheckView {
    CheckView {
        rows,
        superseded_by: None,
        details: Some("https://github.com/acme/shop/pull/7".into()),
        buttons: true,
    }
}

fn finding(file: Option<&str>, line: Option<u32>, message: &str) -> Remark {
    Remark {
        level: Level::Failure,
        rule: Some("BV008".into()),
        file: file.map(str::to_owned),
        line,
        message: message.into(),
        hint: Some("take it out".into()),
    }
}

const ALL: [Standing; 11] = [
    Standing::Working,
    Standing::Awaiting,
    Standing::Failed,
    Standing::Refused,
    Standing::Degraded,
    Standing::AwaitingApproval,
    Standing::Ready,
    Standing::Pinned,
    Standing::Down,
    Standing::Gone,
    Standing::NoPreview,
];

#[test]
fn each_standing_has_its_conclusion_and_its_commit_status() {
    let told: Vec<String> = ALL
        .iter()
        .map(|standing| {
            let content = content(&view(vec![row(7, *standing)]));
            let conclusion = content.conclusion.map_or("in_progress", Conclusion::name);
            let status = content.commit_status();
            format!("{conclusion} | {} | {} | {}", content.title, status.state, status.description)
        })
        .collect();
    let expected = [
        "in_progress | Preview is being made | pending | Preview is being made",
        "in_progress | Preview waits for checks or images | pending | Preview waits for checks or images: the reason",
        "failure | Preview failed | failure | Preview failed: the reason",
        "failure | Preview is refused | failure | Preview is refused: the reason",
        "failure | Preview has a problem | failure | Preview has a problem: the reason",
        "action_required | Preview waits for approval | pending | Preview waits for approval: the reason",
        "success | Preview is ready | success | Preview is ready",
        "neutral | Preview shows another commit | success | Preview shows another commit: the reason",
        "neutral | Preview is down | success | Preview is down: the reason",
        "neutral | Preview is gone | success | Preview is gone",
        "skipped | No preview | success | No preview: the reason",
    ];
    assert_eq!(told, expected);
}

#[test]
fn two_pull_requests_with_one_head_are_two_rows_and_the_worst_counts() {
    let both = view(vec![row(9, Standing::Ready), row(7, Standing::Refused)]);
    let content = content(&both);
    assert_eq!(content.title, "2 previews: 1 refused, 1 ready");
    assert_eq!(content.conclusion, Some(Conclusion::Failure));
    let rows: Vec<&str> = content.summary.lines().filter(|line| line.starts_with("| #")).collect();
    let time = "2027-01-15 08:00 UTC";
    let ready = format!("| #9 | [`web`](https://pr-9.example.com/) | ready | {time} |");
    assert_eq!(rows, ["| #7 | – | refused | – |", &ready]);
    assert!(content.summary.contains("**#7**\n\nReason: the reason"), "{}", content.summary);
    assert_eq!(content.details_url.as_deref(), Some("https://github.com/acme/shop/pull/7"));
    // The one that still works keeps the whole open.
    let open = super::content(&view(vec![row(9, Standing::Working), row(7, Standing::Refused)]));
    assert_eq!(open.conclusion, None);
    // The order in which they are found is no difference.
    let turned = CheckView { rows: both.rows.iter().rev().cloned().collect(), ..both.clone() };
    assert_eq!(super::content(&turned).hash(), content.hash());
}

#[test]
fn a_branch_is_a_row_by_its_name_and_has_no_buttons() {
    let mut branch = row(0, Standing::Ready);
    branch.branch = Some("release/`1`|x".into());
    let alone = content(&view(vec![branch.clone()]));
    assert!(alone.summary.starts_with("| Source | Preview |"), "{}", alone.summary);
    let line = alone.summary.lines().nth(2).unwrap_or_default();
    assert!(line.contains("release/") && !line.contains("#0"), "{line}");
    assert_eq!(line.matches(" | ").count(), 3, "a name breaks no table: {line}");
    assert_eq!(alone.actions, Vec::new());
    let both = content(&view(vec![branch, row(7, Standing::Ready)]));
    assert!(both.actions.iter().all(|action| action.identifier.ends_with(":7")), "{both:?}");
    assert!(!both.actions.is_empty());
}

#[test]
fn a_single_preview_is_where_details_lead() {
    let ready = content(&view(vec![row(7, Standing::Ready)]));
    assert_eq!(ready.details_url.as_deref(), Some("https://pr-7.example.com/"));
    let waits = content(&view(vec![row(7, Standing::AwaitingApproval)]));
    assert_eq!(waits.details_url.as_deref(), Some("https://github.com/acme/shop/pull/7"));
    let mut odd = view(vec![row(7, Standing::Ready)]);
    odd.rows[0].apps[0].url = "javascript:alert(1)".into();
    assert_eq!(content(&odd).details_url, None);
}

#[test]
fn a_newer_head_leaves_the_run_neutral() {
    let newer = Revision::parse(&"b".repeat(40)).expect("a revision");
    let left = CheckView { superseded_by: Some(newer), ..CheckView::default() };
    let content = content(&left);
    assert_eq!(content.conclusion, Some(Conclusion::Neutral));
    assert_eq!(content.title, "Superseded by bbbbbbb");
    assert!(content.actions.is_empty() && content.is_idle());
}

#[test]
fn buttons_are_within_the_limits_and_name_their_pull_request() {
    let of = |rows: Vec<Row>| -> Vec<(String, String)> {
        let actions = content(&view(rows)).actions;
        assert!(actions.len() <= 3);
        for Action { label, description, identifier } in &actions {
            let long = |text: &str, most| text.is_empty() || text.chars().count() > most;
            assert!(!long(label, 20) && !long(description, 40) && !long(identifier, 20));
        }
        actions.into_iter().map(|action| (action.label, action.identifier)).collect()
    };
    let named = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let three =
        named(&[("Redeploy", "redeploy:7"), ("Extend", "extend:7"), ("Destroy", "destroy:7")]);
    assert_eq!(of(vec![row(7, Standing::Ready)]), three);
    let two = of(vec![row(9, Standing::Ready), row(7, Standing::Refused)]);
    assert_eq!(two, named(&[("Redeploy #7", "redeploy:7"), ("Destroy #7", "destroy:7")]));
    assert_eq!(of(vec![row(7, Standing::NoPreview)]), []);
    // A number that no forge gives is no reason to send what is refused.
    assert_eq!(of(vec![row(u64::MAX, Standing::Ready)]), []);
    let mut nobody = view(vec![row(7, Standing::Ready)]);
    nobody.buttons = false;
    assert_eq!(content(&nobody).actions, []);
}

#[test]
fn findings_become_annotations_once() {
    let mut refused = row(7, Standing::Refused);
    refused.remarks = vec![
        Remark { level: Level::Notice, ..finding(Some("web.yaml"), Some(1), "worth knowing") },
        finding(Some("web.yaml"), Some(12), "not allowed"),
        finding(Some("page.yaml"), None, "somewhere in it"),
        finding(None, None, "nowhere"),
    ];
    let mut second = row(9, Standing::Refused);
    second.remarks.clone_from(&refused.remarks);
    let content = content(&view(vec![refused, second]));
    let told: Vec<String> = content
        .annotations
        .iter()
        .map(|a| {
            format!(
                "{:?} {}:{} {} {:?}",
                a.annotation_level, a.path, a.start_line, a.title, a.message
            )
        })
        .collect();
    let expected = [
        r#"Failure page.yaml:1 BV008 "somewhere in it\ntake it out""#,
        r#"Failure web.yaml:12 BV008 "not allowed\ntake it out""#,
        r#"Notice web.yaml:1 BV008 "worth knowing\ntake it out""#,
    ];
    assert_eq!(told, expected);
    assert!(content.summary.contains("* `BV008` `web.yaml:12` · not allowed · take it out"));
    assert_ne!(content.annotations_hash(), "");
    // They are sent apart from the rest, and decide nothing about it.
    let mut without = content.clone();
    without.annotations.clear();
    assert_eq!((without.hash(), without.annotations_hash()), (content.hash(), String::new()));
}

#[test]
fn hostile_text_stays_text_and_the_whole_within_the_limits() {
    let hostile =
        "@octocat | x |\n# heading\n<!-- bivouac:v1 --> ](https://evil.example) `` ` \u{202e}";
    let mut rows = Vec::new();
    for number in 1..=80 {
        let mut row = row(number, Standing::Refused);
        row.reason = Some(hostile.repeat(100));
        row.apps = (0..20)
            .map(|n| AppUrl { app: format!("{hostile}{n}"), url: format!("https://h/|{hostile}") })
            .collect();
        row.remarks =
            (0..20).map(|n| finding(Some(hostile), Some(n), &hostile.repeat(50))).collect();
        rows.push(row);
    }
    let content = content(&view(rows));
    assert!(content.summary.len() <= 65_535, "{}", content.summary.len());
    assert!(content.annotations.len() <= 200);
    assert!(content.annotations.iter().all(|a| !a.message.contains('\u{202e}')));
    assert!(content.commit_status().description.chars().count() <= 140);
    for line in content.summary.lines() {
        assert!(!line.starts_with("# "), "{line}");
        assert!(!line.contains("<!--"), "{line}");
    }
    // In a table a bar ends a cell wherever it stands.
    let mut one = row(7, Standing::Ready);
    one.apps = vec![AppUrl { app: "a|b".into(), url: "https://h/|x".into() }];
    one.reason = Some(hostile.into());
    let summary = super::content(&view(vec![one])).summary;
    let line = summary.lines().find(|line| line.starts_with("| #7")).expect("a row");
    assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
}

#[test]
fn name_and_id_tell_installations_apart() {
    let head = Revision::parse(&"a".repeat(40)).expect("a revision");
    assert_eq!(name("bivouac"), "bivouac / preview");
    assert_eq!(name("demo"), "bivouac (demo) / preview");
    assert_ne!(external_id("demo", &head), external_id("bivouac", &head));
}
