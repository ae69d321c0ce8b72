use serde_json::Value;

use super::*;

fn findings() -> Vec<Finding> {
    let mut all = vec![
        Finding::of(BuildRule::Template, "50% of:\nit, \r\u{1b}[31m red")
            .at("deploy/a,b:c%.yaml.hbs", Some(Position { line: 2, column: 4 })),
        Finding::of(BuildRule::PathMissing, "no preview file").at(".bivouac.yaml", None),
        Finding {
            object: Some("Service/web".into()),
            field: Some("/spec/type".into()),
            ..Finding::of(BuildRule::UnquotedValue, "a warning")
                .at("deploy/ö.yaml", Some(Position { line: 9, column: 1 }))
        },
        Finding::of(BuildRule::Internal, "nowhere"),
    ];
    sort(&mut all);
    all
}

#[test]
fn every_rule_has_an_id_and_a_name_of_its_own_in_the_order_of_the_ids() {
    let ids: Vec<_> = BuildRule::ALL.iter().map(|rule| rule.id()).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    let names: std::collections::BTreeSet<_> = BuildRule::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), BuildRule::ALL.len());
    for rule in BuildRule::ALL {
        assert!(rule.id().starts_with("BR") && !rule.about().is_empty() && !rule.hint().is_empty());
    }
}

#[test]
fn text_is_one_line_for_what_is_wrong_and_one_for_what_to_do() {
    let text = text(&findings(), false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        [lines[0], lines[2], lines[4], lines[6]],
        [
            ".: error BR100 internal: nowhere",
            ".bivouac.yaml: error BR004 path-missing: no preview file",
            "deploy/a,b:c%.yaml.hbs:2:4: error BR002 template: 50% of:\u{fffd}it, \u{fffd}\u{fffd}[31m red",
            "deploy/ö.yaml:9:1: warning BR101 unquoted-value: a warning (Service/web)",
        ]
    );
    assert!(super::text(&findings(), true).contains("\x1b[1;31merror\x1b[0m"));
    assert_eq!(count(&findings()), (3, 1));
}

#[test]
fn a_workflow_command_can_not_be_left() {
    let text = github(&findings(), &["a note\n::error::x".into()]);
    let wanted = "::error title=BR100 internal::nowhere%0Areport it; another name for environment, branch or \
                  repository may help until then\n\
                  ::error file=.bivouac.yaml,title=BR004 path-missing::no preview file%0Aname a file or directory that is \
                  committed\n\
                  ::error file=deploy/a%2Cb%3Ac%25.yaml.hbs,line=2,col=4,title=BR002 template::50%25 of:%0Ait, \
                  %0D\u{fffd}[31m red%0Ause only the variables and helpers that there are, and close every block\n\
                  ::warning file=deploy/ö.yaml,line=9,col=1,title=BR101 unquoted-value::a warning%0Aput it in \
                  quotes: {{quote commit.short}}\n\
                  ::notice title=bivouac::a note%0A::error::x\n";
    assert_eq!(text, wanted);
}

#[test]
fn sarif_names_rules_by_index_and_files_as_uris() {
    let docs = Docs { base: Some("https://docs.example.com/") };
    let log = sarif(&findings(), "1.2.3", Some("0123"), docs);
    let text = |pointer: &str| log.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(text("/version"), "2.1.0");
    let rules = text("/runs/0/tool/driver/rules");
    for result in text("/runs/0/results").as_array().expect("a list") {
        let index = result["ruleIndex"].as_u64().expect("a number");
        let rule = &rules[usize::try_from(index).expect("small")];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            rule["helpUri"]
                .as_str()
                .is_some_and(|u| u.starts_with("https://docs.example.com/cli.md#br"))
        );
    }
    assert_eq!(text("/runs/0/results/0/locations"), Value::Array(vec![]));
    let path = "/runs/0/results/2/locations/0/physicalLocation/artifactLocation/uri";
    assert_eq!(text(path), "deploy/a%2Cb%3Ac%25.yaml.hbs");
    assert_eq!(text("/runs/0/results/3/level"), "warning");
    let without = sarif(&findings(), "1.2.3", None, Docs { base: None });
    assert_eq!(without.pointer("/runs/0/tool/driver/rules/0/helpUri"), None);
}

#[test]
fn json_names_every_field_also_when_it_is_not_known() {
    let log = json(&findings(), &[], None);
    assert_eq!(log["summary"], serde_json::json!({"errors": 3, "warnings": 1}));
    let first = log["findings"][0].as_object().expect("an object");
    let keys: Vec<_> = first.keys().map(String::as_str).collect();
    let mut wanted = [
        "rule", "name", "severity", "file", "line", "column", "object", "field", "message", "hint",
        "page",
    ];
    wanted.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, wanted);
}
