use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn lines(text: &str) -> Vec<String> {
    let given = read(text, "/preview").into_iter();
    given
        .map(|given| {
            let words = [vec![given.verb], given.arguments].concat().join("|");
            given.slip.map_or(words.clone(), |slip| format!("{words} {slip:?}"))
        })
        .collect()
}

#[test]
fn a_command_is_a_line_of_its_own() {
    for (text, expected) in [
        ("/preview up", vec!["up"]),
        ("/preview", vec!["help"]),
        ("  /PREVIEW  UP  \r\n", vec!["up"]),
        ("Hello\n/preview up\n\nand\n/preview down", vec!["up", "down"]),
        ("/preview\u{a0}up", vec!["up"]),
        ("please /preview up", vec![]),
        ("/previewed up", vec![]),
        ("/preview-up", vec![]),
        ("//preview up", vec![]),
        ("- /preview up", vec![]),
        ("`/preview up`", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(lines(text), expected, "{text:?}");
    }
}

#[test]
fn code_quotes_and_hidden_text_are_nobodys_words() {
    for (text, expected) in [
        ("```\n/preview up\n```\n/preview down", vec!["down"]),
        ("````\n```\n/preview up\n````\n/preview down", vec!["down"]),
        ("~~~ sh\n/preview up\n```\n/preview up\n~~~\n/preview down", vec!["down"]),
        ("```\n/preview up", vec![]),
        ("``` a`b\n/preview up", vec!["up"]),
        ("> /preview up", vec![]),
        ("> hm\n/preview up", vec![]),
        ("> hm\n\n/preview up", vec!["up"]),
        ("    /preview up", vec![]),
        ("\t/preview up", vec![]),
        ("   /preview up", vec!["up"]),
        ("<!-- /preview up -->", vec![]),
        ("<!--\n/preview up\n-->\n/preview down", vec!["down"]),
        ("<!-- a --> /preview up", vec![]),
        ("/preview up <!-- because -->", vec!["up"]),
        ("/preview up <!--\n/preview down\n-->", vec!["up"]),
        ("x --> y\n/preview up", vec!["up"]),
        ("<pre>\n/preview up\n</pre>\n/preview down", vec!["down"]),
        ("<PRE class=x>/preview up</PRE>\n/preview down", vec!["down"]),
    ] {
        assert_eq!(lines(text), expected, "{text:?}");
    }
}

#[test]
fn words_are_read_as_a_shell_does() {
    for (text, expected) in [
        ("set a=\"b c\" d='e  f'", "set|a=b c|d=e  f"),
        ("set a=\"say \\\"hi\\\"\"", "set|a=say \"hi\""),
        ("set a=b\\ c", "set|a=b c"),
        ("set a=\u{201c}b c\u{201d}", "set|a=b c"),
        ("logs web \u{2014}tail 5", "logs|web|--tail|5"),
        ("set a=$HOME *", "set|a=$HOME|*"),
        ("set a=''", "set|a="),
        ("set a=\"b", "set OpenQuote"),
    ] {
        assert_eq!(lines(&format!("/preview {text}")), [expected], "{text:?}");
    }
    let many = format!("/preview set{}", " a=b".repeat(41));
    assert_eq!(lines(&many), ["set TooLong"]);
    assert_eq!(lines(&format!("/preview set a={}", "b".repeat(300))), ["set TooLong"]);
    let eleven = lines(&"/preview up\n".repeat(20));
    assert_eq!((eleven.len(), eleven[10].as_str()), (11, "help TooMany"));
}

fn parsed(text: &str) -> Result<Command, String> {
    let given = read(&format!("/preview {text}"), "/preview").remove(0);
    parse(&given.verb, &given.arguments)
}

#[test]
fn each_verb_knows_what_may_follow_it() {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let (app, tail) = (Some("web".to_owned()), 7);
    for (text, expected) in [
        ("up", Command::Up { parameters: map(&[]) }),
        ("UP a=1 b=x=y", Command::Up { parameters: map(&[("a", "1"), ("b", "x=y")]) }),
        ("redeploy --restart", Command::Redeploy { restart: true }),
        ("extend", Command::Extend { by: Duration::from_secs(86_400) }),
        ("extend 90M", Command::Extend { by: Duration::from_secs(5400) }),
        ("approve ABCDEF1", Command::Approve { commit: Some("abcdef1".into()) }),
        ("rollback", Command::Rollback { commit: None }),
        ("unset a b a", Command::Unset { names: BTreeSet::from(["a".into(), "b".into()]) }),
        ("logs web --tail 7", Command::Logs { app: app.clone(), tail }),
        ("logs --tail=7 web", Command::Logs { app, tail }),
        ("help logs", Command::Help),
    ] {
        assert_eq!(parsed(text), Ok(expected), "{text}");
    }
    for text in [
        "down now",
        "redeploy --hard",
        "extend 0h",
        "extend -1h",
        "extend 24",
        "extend 99999999999d",
        "approve abc",
        "approve main",
        "set",
        "set a",
        "set =b",
        "set a=1 a=2",
        "unset",
        "unset a=b",
        "logs a b",
        "logs --tail",
        "logs --tail 0",
        "logs --tail 201",
        "logs --all",
    ] {
        assert!(parsed(text).is_err(), "{text}");
    }
}

#[test]
fn what_was_meant_is_said_when_it_is_plain() {
    for (typed, meant) in [
        ("dwon", Some(Verb::Down)),
        ("destroy", Some(Verb::Down)),
        ("statsu", Some(Verb::Status)),
        ("aprove", Some(Verb::Approve)),
        ("u", Some(Verb::Up)),
        ("xylophone", None),
        ("", None),
    ] {
        assert_eq!(Verb::like(typed), meant, "{typed}");
    }
    assert_eq!(parsed("dwon"), Err("there is no command `dwon`; did you mean `down`?".into()));
    assert_eq!(
        parsed("@all"),
        Err("there is no command `@all`; `help` lists what there is".into())
    );
}

#[test]
fn the_table_of_who_may() {
    let standings = |level, author| Standing { level, author, member: false };
    let letters = |verb: Verb| -> String {
        let levels =
            [Level::None, Level::Read, Level::Triage, Level::Write, Level::Maintain, Level::Admin];
        [false, true]
            .into_iter()
            .flat_map(|author| levels.map(|level| standings(level, author)))
            .map(|standing| if may(&verb.rule(), standing) { '+' } else { '.' })
            .collect()
    };
    let all: Vec<String> =
        Verb::ALL.iter().map(|verb| format!("{:9}{}", verb.name(), letters(*verb))).collect();
    // none, read, triage, write, maintain, admin; the same as the author.
    insta::assert_snapshot!(all.join("\n"), @r"
    up       ...+++...+++
    down     ...+++.+++++
    redeploy ...+++.+++++
    extend   ...+++.+++++
    pin      ....++....++
    unpin    ....++....++
    sleep    ...+++.+++++
    wake     ...+++.+++++
    approve  ....++....++
    rollback ...+++...+++
    set      ...+++...+++
    unset    ...+++...+++
    status   .+++++.+++++
    why      .+++++.+++++
    logs     ...+++...+++
    diff     .+++++.+++++
    help     .+++++.+++++
    ");
}

#[test]
fn an_author_who_can_not_read_any_more_is_nobodys() {
    let standing = |level, author| Standing { level, author, member: false };
    assert!(may(&Rule::Author, standing(Level::Read, true)));
    assert!(may(&Rule::Author, standing(Level::Write, false)));
    assert!(!may(&Rule::Author, standing(Level::Triage, false)));
    assert!(!may(&Rule::Author, standing(Level::None, true)));
}

#[test]
fn a_team_is_nobody_else() {
    let team = Rule::parse("team:on-call").expect("a rule");
    let standing = |level, member| Standing { level, author: true, member };
    assert!(may(&team, standing(Level::Read, true)));
    assert!(!may(&team, standing(Level::Admin, false)));
    assert!(!may(&team, standing(Level::None, true)));
    assert!(!may(&Rule::Nobody, standing(Level::Admin, true)));
    for bad in ["", "team:", "team:a/b", "owner", "Write", "team:../x"] {
        assert_eq!(Rule::parse(bad), Err(InvalidRule), "{bad}");
    }
}

#[test]
fn an_answer_mentions_nobody_and_ends_nothing() {
    let answer = Answer {
        request: "comment-1-1".into(),
        instance: "demo --> x".into(),
        to: "ada".into(),
        about: "/preview `x` @everyone\nmore".into(),
        text: "Not done.".into(),
    };
    insta::assert_snapshot!(reply(&answer), @r"
    <!-- bivouac-reply:v1 instance=demo--x request=comment-1-1 -->

    ``/preview `x` @everyone more`` to `ada`:

    Not done.
    ");
    assert!(is_ours(&reply(&answer)));
    assert_eq!(read(&help("/preview", &Rules::default()), "/preview"), []);
}

proptest! {
    #[test]
    fn any_text_keeps_the_bounds(text in "(?s).{0,400}", prefix in "/[a-z]{1,8}|") {
        fuzz_entry(format!("{prefix}\n{text}").as_bytes());
    }

    #[test]
    fn any_line_below_our_prefix_keeps_the_bounds(line in "[ a-z\"'\\\\=<>!`-]{0,300}") {
        fuzz_entry(format!("/preview\n/preview {line}").as_bytes());
    }

    #[test]
    fn what_is_hidden_never_acts(line in "[ a-z=`~>-]{0,40}", kind in 0_usize..4) {
        let body = format!("/preview {line}");
        let text = match kind {
            0 => format!("> {body}"),
            1 => format!("`````\n{body}\n`````"),
            2 => format!("    {body}"),
            _ => format!("<!--\n{body}\n-->"),
        };
        // A line that closes the comment itself ends it, and what follows on it is no command.
        prop_assert_eq!(read(&text, "/preview"), vec![]);
    }

    #[test]
    fn a_word_in_quotation_marks_comes_back(value in "[^\"\\\\\u{0}-\u{1f}\u{7f}\u{85}\u{2028}\u{2029}<]{0,60}") {
        let given = read(&format!("/preview set a=\"{value}\""), "/preview");
        prop_assert_eq!(&given[0].arguments, &[format!("a={value}")]);
    }
}
