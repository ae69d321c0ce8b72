use super::*;
use crate::render::yaml;
use serde_json::json;

fn context() -> Value {
    json!({
        "env": {"host": "h.example.com", "name": "n"},
        "pr": {"number": 7},
        "nothing": {"here": null},
        "params": {"size": "small", "motto": "Hello, \"world\": #1", "evil": "x\"\nadmin: true\n#", "empty": "",
            "mend": " #", "lines": "one\ntwo: 2\n  three", "list": ["a", "b: c"], "count": 3, "on": true, "old": "0755"},
    })
}

fn filled_of(template: &str, partials: &[(&str, &str)]) -> Problem<Filled> {
    let partials = Partials::of(partials.iter().map(|(path, text)| (*path, text.as_bytes())));
    fill(template.as_bytes(), &context(), 4000, &partials)
}

fn filled(template: &str) -> String {
    filled_of(template, &[]).expect(template).text
}

fn problem(template: &str) -> String {
    filled_of(template, &[]).expect_err(template).to_string()
}

#[test]
fn variables_blocks_and_comparisons_are_filled() {
    let table = [
        ("{{env.host}}-{{{pr.number}}}-{{ env.[name] }}", "h.example.com-7-n"),
        ("{{&env.name}}{{~ env.name ~}} x", "nnx"),
        ("{{#if pr.number}}yes{{else}}no{{/if}}", "yes"),
        ("{{#unless (eq env.name \"n\")}}a{{else}}b{{/unless}}", "b"),
        (
            "{{#with env}}{{host}} {{../pr.number}} {{@root.pr.number}}{{/with}}",
            "h.example.com 7 7",
        ),
        ("{{#each env}}{{@key}}={{this}};{{/each}}", "host=h.example.com;name=n;"),
        ("{{#each params.list}}{{@index}}{{#if @last}}!{{/if}}{{/each}}", "01!"),
        (
            "{{#each params.list}}{{#each @root.env}}{{@../index}}{{@key}} {{/each}}{{/each}}",
            "0host 0name 1host 1name ",
        ),
        ("{{#if (gt pr.number 5)}}big{{else if (eq pr.number 5)}}five{{/if}}", "big"),
        (
            "{{#if (lt pr.number 5)}}a{{else if (eq pr.number 7)}}b{{else if true}}c{{else}}d{{/if}}",
            "b",
        ),
        ("{{! a note }}x \\{{literal}} \\\\{{env.name}}", "x {{literal}} \\n"),
        ("{{!-- }} --}}{{params.list.[0]}}{{params.list.0}}", "aa"),
        ("a\n  {{#if pr.number}}\n  b\n  {{/if}}\nc\n", "a\n  b\nc\n"),
        ("a\r\n{{#if pr.number}}\r\nb\r\n{{/if}}\r\nc", "a\r\nb\r\nc"),
        (
            "{{default params.size \"x\"}} {{default params.gone \"x\"}} {{default \"y\" params.gone}}",
            "small x y",
        ),
        ("{{default pr.gone 5}}{{#if (default pr.gone false)}}a{{/if}}", "5"),
        ("{{required \"say it\" params.size}}", "small"),
        ("{{upper (trunc 3 (concat params.size \"-x\"))}}", "SMA"),
        ("{{ternary params.on \"a\" \"b\"}}", "a"),
        ("{{#if 0}}a{{else}}b{{/if}}{{#if 0 includeZero=true}}c{{/if}}", "bc"),
    ];
    for (template, wanted) in table {
        assert_eq!(filled(template), wanted, "{template}");
    }
}

#[test]
fn an_unknown_variable_is_an_error_wherever_it_stands() {
    for template in [
        "{{x}}",
        "a\n  {{env.x}}",
        "{{#if x}}a{{/if}}",
        "{{#if env.x}}a{{/if}}",
        "{{#unless pr.x}}a{{/unless}}",
        "{{#each x}}a{{/each}}",
        "{{#with x}}a{{/with}}",
        "{{#if pr.number}}a{{else}}{{x}}{{/if}}",
        "{{#if pr.number}}a{{else if x}}b{{/if}}",
        "{{#if (eq x 1)}}a{{/if}}",
        "{{#if (not x)}}a{{/if}}",
        "{{#with env}}{{pr.number}}{{/with}}",
        "{{#each env}}{{this.x}}{{/each}}",
        "{{@index}}",
        "{{env.host.x}}",
        "{{../x}}",
        "{{len x}}",
        "{{default x 1}}",
        "{{default parms.x 1}}",
        "{{default params.size x}}",
        "{{required \"a\" x}}",
        "{{#if params.on}}{{else}}{{upper env.x}}{{/if}}",
    ] {
        let problem = problem(template);
        assert!(problem.contains("unknown variable"), "{template}: {problem}");
        assert!(
            problem.contains("there are env.host, env.name, nothing.here, params.count"),
            "{problem}"
        );
    }
    assert!(problem("a\n  {{env.x}}").starts_with("2:3: "), "{}", problem("a\n  {{env.x}}"));
}

#[test]
fn what_reads_calls_or_hides_is_refused() {
    for (template, words) in [
        ("{{nothing.here}}", "has no value"),
        ("{{env}}", "group of values"),
        ("{{> part}}", "unknown partial"),
        ("{{#> part}}{{/part}}", "partials"),
        ("{{#*inline \"x\"}}{{/inline}}", "decorators"),
        ("{{lookup env \"host\"}}", "unknown helper"),
        ("{{log \"x\"}}", "unknown helper"),
        ("{{#upper env.name}}{{/upper}}", "unknown helper"),
        ("{{{{raw}}}}x{{{{/raw}}}}", "raw blocks"),
        ("{{#each env as |v k|}}{{v}}{{/each}}", "block parameters"),
        ("{{#if}}{{/if}}", "exactly one value"),
        ("{{#each pr.number}}{{/each}}", "group of values"),
        ("{{#if pr.number}}", "{{#if}} is not closed"),
        ("{{#if pr.number}}{{/unless}}", "{{#if}} is closed by {{/unless}}"),
        ("{{/if}}", "closes no block"),
        ("{{else}}", "in no block"),
        ("{{#if 1}}{{else}}{{else}}{{/if}}", "second {{else}}"),
        ("a\n{{hunter2 ", "2:1: this {{ is not closed"),
        ("{{upper}}", "unknown variable"),
        ("{{upper env.name env.name}}", "written {{upper value}}"),
        ("{{default \"a\" \"b\"}}", "name of a variable"),
        ("{{required \"say it\" params.gone}}", "params.gone is required: say it"),
        ("{{required \"say it\" params.empty}}", "params.empty is required: say it"),
        ("{{upper a=5}}", "takes no a="),
        ("{{squote params.lines}}", "take quote"),
        ("{{lt 1 \"a\"}}", "two numbers or two strings"),
        ("{{replace \"\" \"x\" env.name}}", "is empty"),
        ("{{indent 1000 env.name}}", "from 0 to 100"),
        ("{{env..host}}", "no name"),
        ("{{(env.host}}", "not closed"),
        ("{{\"hunter2\"}}", "quoted text is no name"),
    ] {
        let problem = problem(template);
        assert!(problem.contains(words), "{template}: {problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn an_untaken_branch_is_looked_at_for_names_only() {
    assert_eq!(filled("{{#if (eq params.size \"x\")}}{{required \"a\" params.gone}}{{/if}}"), "");
    assert_eq!(filled("{{#if false}}{{nothing.here}}{{#each pr.number}}a{{/each}}{{/if}}b"), "b");
    assert!(problem("{{#if false}}{{upper env.name 1}}{{/if}}").contains("written"));
}

#[test]
fn partials_are_filled_with_arguments_indented_and_named_in_errors() {
    let labels = ("k8s/_labels.yaml.hbs", "app: {{app}}\nhost: {{env.host}}\n");
    let text = "metadata:\n  labels:\n    {{> labels app=\"web\"}}\n  x: 1\n";
    let filled = filled_of(text, &[labels]).expect("filled");
    assert_eq!(
        filled.text,
        "metadata:\n  labels:\n    app: web\n    host: h.example.com\n  x: 1\n"
    );
    let line = |line| filled.place(Position { line, column: 1 }).line;
    assert_eq!([line(1), line(2), line(3), line(4), line(5)], [1, 2, 3, 3, 4]);
    let same = filled_of("{{> _labels app=\"a\"}}", &[labels]).expect("filled").text;
    assert_eq!(same, "app: a\nhost: h.example.com\n");
    let error = |text: &str, partials: &[(&str, &str)]| {
        filled_of(text, partials).expect_err(text).to_string()
    };
    assert!(
        error("\n{{> labels}}", &[labels])
            .starts_with("k8s/_labels.yaml.hbs:1:6: unknown variable \"app\"")
    );
    assert!(
        error("{{> a}}", &[("_a.hbs", "{{#if 1}}")])
            .starts_with("_a.hbs:1:1: {{#if}} is not closed")
    );
    let circle = [("_a.hbs", "{{> b}}"), ("_b.hbs", "{{#if false}}{{> a}}{{/if}}")];
    assert_eq!(
        error("{{> a}}", &circle),
        "_b.hbs:1:14: partials may not include themselves: _a.hbs → _b.hbs → _a.hbs"
    );
    assert!(error("{{> x}}", &[labels]).contains("unknown partial \"x\"; there are labels"));
    let twins = [("a/_a.hbs", ""), ("b/_a.hbs", "")];
    assert!(error("{{> a}}", &twins).contains("two files are called \"a\": a/_a.hbs and b/_a.hbs"));
    let inner = [("_a.hbs", "{{> b x=1}}{{default x 5}}"), ("_b.hbs", "{{x}}{{default y 2}}")];
    assert_eq!(filled_of("{{> a}}", &inner).expect("filled").text, "125");
    let with = [("_a.hbs", "{{host}} {{../pr.number}}")];
    assert_eq!(filled_of("{{> a env}}", &with).expect("filled").text, "h.example.com 7");
}

#[test]
fn every_place_of_the_text_is_found_in_the_template() {
    let template = "a: 1\n{{#if pr.number}}\nb: {{params.size}} # {{params.size}}\n{{/if}}\n{{#each params.list}}\nc{{@index}}: x\n{{/each}}\nd: {{toYaml params.list}} e\n";
    let template =
        template.replace("d: {{toYaml params.list}} e", "d: |\n{{indent 2 params.lines}}\ne: 5");
    let filled = filled_of(&template, &[]).expect("filled");
    let lines: Vec<&str> = filled.text.lines().collect();
    let place = |needle: &str| {
        let (index, line) =
            lines.iter().enumerate().find(|(_, line)| line.contains(needle)).expect(needle);
        let column = line.find(needle).expect(needle) + 1;
        filled.place(Position { line: index + 1, column }).to_string()
    };
    assert_eq!(place("a: 1"), "1:1");
    assert_eq!(place("b:"), "3:1");
    assert_eq!(place("small"), "3:4");
    assert_eq!(place("#"), "3:20");
    assert_eq!(place("c0"), "6:1");
    assert_eq!(place("c1"), "6:1");
    assert_eq!(place("x"), "6:14");
    assert_eq!(place("three"), "9:1");
    assert_eq!(place("e: 5"), "10:1");
}

#[test]
fn a_lone_carriage_return_ends_a_line() {
    let filled =
        filled_of("a\r\nb\rc\nd{{env.name}}\r{{env.name}}\r\n{{env.name}}", &[]).expect("filled");
    for line in 1..=6 {
        assert_eq!(filled.place(Position { line, column: 1 }).to_string(), format!("{line}:1"));
    }
}

#[test]
fn a_value_never_changes_what_the_yaml_says() {
    for fine in [
        "a: \"{{params.size}}\"\n",
        "a: {{quote params.evil}}\n",
        "a: {{toJson params.evil}}\n",
        "a: {{toYaml params.evil}}\n",
        "a: {{squote params.motto}}\n",
        "a: '{{params.motto}}'\n",
        "a: {{b64enc params.evil}}\n",
        "a: {{sha256 params.evil}}\n",
        "a: {{slug params.evil}}\n",
        "a: {{quote (upper params.evil)}}\n",
        "a: {{toYaml params.list}}\n",
        "a:{{nindent 2 (toYaml params.list)}}\n",
        "a:{{nindent 2 (toYaml params)}}\n",
        "a: {{toJson params}}\n",
        "a: |\n{{indent 2 params.lines}}\nb: 1\n",
        "a: {{len params.evil}}\n",
        "# {{params.motto}}\na: 1\n",
        "{{#each params.list}}\n- \"{{this}}\"\n{{/each}}\n",
        "{{#if (eq params.evil \"x\")}}a: 1{{/if}}",
        "a: '{{params.empty}}'\nb: {{params.empty}}\n",
    ] {
        let filled = filled_of(fine, &[]);
        assert!(filled.is_ok(), "{fine}: {filled:?}");
    }
    for (bad, line, name) in [
        ("x: 1\na: \"{{params.evil}}\"\n", 2, "params.evil"),
        ("x: 1\na: {{params.evil}}\n", 2, "params.evil"),
        ("x: 1\na: \"{{params.motto}}\"\n", 2, "params.motto"),
        ("x: 1\na: {{params.motto}}\n", 2, "params.motto"),
        ("x: 1\na: \"{{quote params.mend}}\"\n", 2, "params.mend"),
        ("x: 1\na: \"{{upper params.evil}}\"\n", 2, "params.evil"),
        ("x: 1\n# {{params.lines}}\n", 2, "params.lines"),
        ("x: 1\na: |\n  {{params.lines}}\n", 3, "params.lines"),
        ("x: [\"{{params.motto}}\"]\n", 1, "params.motto"),
        ("a: {{concat params.evil \"x\"}}\n", 1, "params.evil"),
        ("{{#each params.list}}\n- {{this}}\n{{/each}}\n", 2, "this"),
        ("{{#each params.list}}\n{{> item}}\n{{/each}}\n", 2, "this"),
        ("{{#if params.on}}\na: {{params.evil}}\n{{/if}}\n", 2, "params.evil"),
    ] {
        let partials = [("_item.hbs", "- {{this}}\n")];
        let problem = filled_of(bad, &partials).expect_err(bad);
        assert!(
            problem.message.contains(&format!("the value of {name} would change")),
            "{bad}: {problem}"
        );
        assert_eq!(problem.position.map(|p| p.line), Some(line), "{bad}: {problem}");
        assert!(!problem.message.contains("admin"), "{problem}");
    }
    // A value that stays one value may be anything.
    let value =
        fill_value("{{params.evil}}", &context(), 100, &Partials::default()).expect("filled");
    assert_eq!(value, "x\"\nadmin: true\n#");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

    /// Whatever a parameter holds, the document has the shape that the template gives it.
    #[test]
    fn no_parameter_adds_or_hides_a_key(value in proptest::prop_oneof![
        ".{0,30}",
        "([a-c:#&*!|>'\"%@`\\[\\]{},\n\t \\\\-]|: |admin: 1|- ){0,12}",
    ]) {
        let context = json!({"params": {"x": value.clone()}});
        for template in [
            "a: {{params.x}}\nz: 1\n",
            "a: \"{{params.x}}\"\nz: 1\n",
            "a: '{{params.x}}'\nz: 1\n",
            "a: [{{params.x}}]\nz: 1\n",
            "a: {b: {{params.x}}}\nz: 1\n",
            "# {{params.x}}\na: 1\nz: 1\n",
            "a: |\n  {{params.x}}\nz: 1\n",
            "a: x{{params.x}}y\nz: 1\n",
            "a: {{quote params.x}}\nz: 1\n",
            "a: {{toYaml params.x}}\nz: 1\n",
            "a: {{toJson params}}\nz: 1\n",
            "{{params.x}}: 1\n",
            "a: {{params.x}}{{params.x}}\nz: 1\n",
        ] {
            let Ok(filled) = fill(template.as_bytes(), &context, 10_000, &Partials::default()) else {
                continue;
            };
            let Ok(documents) = yaml::documents(filled.text.as_bytes(), &yaml::YamlLimits::default())
            else { continue };
            proptest::prop_assert_eq!(documents.len(), 1, "{} {:?}", template, value);
            let json = documents[0].to_json();
            if template.contains("z: 1") {
                let keys: Vec<&str> = json.as_object().expect("a mapping").keys().map(String::as_str).collect();
                proptest::prop_assert_eq!(keys, ["a", "z"], "{} {:?}", template, &value);
                proptest::prop_assert_eq!(&json["z"], &json!(1));
            } else {
                proptest::prop_assert_eq!(json.as_object().map(serde_json::Map::len), Some(1));
            }
            if template.contains("{{quote") || template.contains("{{toYaml") {
                proptest::prop_assert_eq!(&json["a"], &json!(value), "{}", template);
            }
            if template.contains("toJson") {
                proptest::prop_assert_eq!(&json["a"]["x"], &json!(value), "{}", template);
            }
        }
    }

    #[test]
    fn any_text_is_filled_or_refused(text in proptest::prop_oneof![
        ".{0,100}",
        "(\\{\\{|\\}\\}|#if |/if|#each |/each|else|env|\\.host|this|\\.\\./|@index|@root|\\(|\\)|eq |~|\"|!|>|\\*|&|\\^| |1|=|\\[|\\]|\n|\\||as |quote |params.evil|default ){0,40}",
    ]) {
        let _ = filled_of(&text, &[("_a.hbs", "{{> b}}{{env}}"), ("_b.hbs", &text)]);
    }

    /// The crate is the judge: where both fill a template, both fill it with the same text.
    #[test]
    fn what_the_handlebars_crate_fills_is_filled_the_same(parts in proptest::collection::vec(0_usize..32, 0..14)) {
        const PARTS: [&str; 32] = [
            "{{env.name}}", "{{#if pr.number}}", "{{#if params.empty}}", "{{/if}}", "{{else}}", "{{#each env}}", "{{/each}}",
            "{{@key}}", "{{this}}", "{{#with env}}", "{{/with}}", "{{host}}", "\n", "\n", "  ", "text", "\r\n",
            "{{~#if pr.number~}}", "{{~/if}}", "{{! note }}", "{{!-- note --}}", "\\{{x}}", "\\\\", "{{{env.host}}}",
            "{{#unless params.empty}}", "{{/unless}}", "{{else if pr.number}}", "{{~env.name~}}", "{{@index}}",
            "{{@root.env.name}}", "{{../pr.number}}", "{{#if (eq pr.number 7)}}",
        ];
        let template: String = parts.iter().map(|part| PARTS[*part]).collect();
        // Handlebars itself keeps the end of a line on which something else stands before a comment; the crate does not
        // when that ends in ~}}.
        let muddled = template.split("~}}").skip(1).any(|rest| rest.trim_start().starts_with("{{!"));
        if !muddled && let Ok(ours) = filled_of(&template, &[]) {
            let mut engine = ::handlebars::Handlebars::new();
            engine.set_strict_mode(true);
            engine.register_escape_fn(::handlebars::no_escape);
            if let Ok(theirs) = engine.render_template(&template, &context()) {
                proptest::prop_assert_eq!(ours.text, theirs, "{:?}", template);
            }
        }
    }
}

#[test]
fn white_space_is_taken_from_the_neighbour_only() {
    for note in ["{{! note }}", "{{!-- note --}}"] {
        let template = format!("{{{{~env.name~}}}}{note}\n");
        let filled = filled_of(&template, &[]).expect("a text");
        assert!(filled.text.ends_with('\n'), "{:?}", filled.text);
    }
}

#[test]
fn a_template_cannot_grow_or_dig_without_end() {
    let run = |template: &str, limit: usize| {
        fill(template.as_bytes(), &context(), limit, &Partials::default())
            .map_err(|p| p.to_string())
    };
    let long = "x".repeat(2000);
    let each = format!("{{{{#each env}}}}{{{{#each @root.env}}}}{long}{{{{/each}}}}{{{{/each}}}}");
    assert!(problem(&each).contains("more than 4000 bytes"));
    let each = "{{#each @root.params}}";
    let silent = format!("{}{}", each.repeat(12), "{{/each}}".repeat(12));
    assert!(run(&silent, 1 << 20).expect_err("too long").contains("more than 1000000 steps"));
    for blocks in [300, 40] {
        let blocks = format!("{}{}", "{{#if 1}}".repeat(blocks), "{{/if}}".repeat(blocks));
        assert!(run(&blocks, 1 << 20).expect_err("deep").contains("nested deeper than 32"));
    }
    let brackets = format!("{{{{not {}1{}}}}}", "(not ".repeat(9000), ")".repeat(9000));
    assert!(run(&brackets, 1 << 20).expect_err("deep").contains("brackets are nested deeper"));
    // What is too much is said to be so, wherever it comes from; what is wrong is not.
    let block = brackets.replace("{{not", "{{#if").replace("}}", "}}{{/if}}");
    let huge = format!("{{{{replace \"a\" \"{}\" \"{}\"}}}}", "b".repeat(3000), "a".repeat(3000));
    let limit = |template: &str| {
        let partials = Partials::default();
        let problem =
            fill(template.as_bytes(), &context(), 1 << 20, &partials).expect_err("refused");
        assert!(problem.position.is_some(), "{problem}");
        problem.is_limit
    };
    assert_eq!([&brackets, &block, &huge].map(|text| limit(text)), [true; 3]);
    assert_eq!(["{{not (not}}", "{{replace \"\" \"b\" \"c\"}}"].map(limit), [false; 2]);
    for repeated in [
        "{{",
        "{{{",
        "{{(",
        "{{a ",
        "{{!--",
        "{{#if 1}}x{{/if}}",
        "{{env.host}}",
        "\\",
        "{{\"",
        "{{[",
    ] {
        let _ = run(&repeated.repeat(20_000), 1 << 20);
        let _ = run(&repeated.repeat(400), 1 << 20);
    }
    assert!(
        run(&"{{env.host}}".repeat(10_001), 1 << 20)
            .expect_err("many")
            .contains("10001 expressions")
    );
    let doubled = (0..12).fold("(concat env.host)".to_owned(), |all, _| {
        format!("(replace \"h\" \"hhhhhhhh\" {all})")
    });
    assert!(run(&format!("{{{{upper {doubled}}}}}"), 1 << 20).is_err());
    // Partials that double what they are given.
    let names: Vec<(String, String)> = (0..30)
        .map(|n| {
            (
                format!("_p{n}.hbs"),
                format!("{{{{> p{0} x=(concat x x)}}}}{{{{> p{0} x=(concat x x)}}}}", n + 1),
            )
        })
        .chain([("_p30.hbs".to_owned(), "{{x}}".to_owned())])
        .collect();
    let partials = Partials::of(names.iter().map(|(path, text)| (path.as_str(), text.as_bytes())));
    assert!(fill(b"{{> p0 x=\"aaaa\"}}", &context(), 1 << 20, &partials).is_err());
}

/// The examples of `docs/templates.md`, and that every helper has one.
#[test]
fn the_examples_of_the_documentation_are_true() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/templates.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let table = page.split("| helper | what").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let context = json!({
        "env": {"name": "shop-pr-7"}, "pr": {"number": 7},
        "params": {"size": "Small", "motto": "Hello: \"you\"", "lines": "a\nb", "list": ["x", "z"], "empty": ""},
    });
    let mut named = Vec::new();
    for row in rows {
        let code: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let (Some(helper), [.., template, wanted]) = (code.first(), code.as_slice()) else {
            panic!("{row}");
        };
        let found = fill_value(template, &context, 1000, &Partials::default());
        assert_eq!(found.map_err(|p| p.to_string()), Ok(wanted.replace('⏎', "\n")), "{row}");
        assert!(template.contains(&format!("{helper} ")), "{row}");
        named.push((*helper).to_owned());
    }
    named.sort();
    let helpers: Vec<&str> = helpers::HELPERS.iter().map(|helper| helper.name).collect();
    assert_eq!(named, helpers);
}
