//! PURE · a Handlebars template and a context → text. Strict: what is not there is an error, also where Handlebars
//! itself would be silent (`{{#if missing}}`), because the parsed template is walked before it is filled.
//!
//! Helpers: `if`, `unless`, `each`, `with`, and the comparisons in [`HELPERS`]. No partials, no decorators, no
//! `lookup` (a name that is computed can't be checked), no `log`, no block parameters.

use std::io::{self, Write};

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Handlebars, Path, TemplateErrorReason, no_escape};
use serde_json::Value;

use crate::domain::document::Position;

/// Helpers that only compare what they are given.
const HELPERS: [&str; 10] = ["eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len"];
/// `each` within `each` multiplies the work; three levels over a context of ten values stay small.
const MAX_EACH: usize = 3;
const MAX_NESTING: usize = 32;
/// The parser finds the line of each expression by reading from the start: its time grows with the square.
const MAX_EXPRESSIONS: usize = 1000;
const MAX_BYTES: usize = 256 << 10;

/// What is wrong with a template.
#[derive(Debug)]
pub(super) struct TemplateProblem {
    pub(super) position: Option<Position>,
    pub(super) message: String,
}

type Checked = Result<(), TemplateProblem>;

fn wrong<T>(
    position: impl Into<Option<Position>>,
    message: impl Into<String>,
) -> Result<T, TemplateProblem> {
    Err(TemplateProblem { position: position.into(), message: message.into() })
}

/// Fills `template`; the text has at most `limit` bytes.
pub(super) fn fill(
    template: &[u8],
    context: &Value,
    limit: usize,
) -> Result<String, TemplateProblem> {
    let most = limit.min(MAX_BYTES);
    if template.len() > most {
        return wrong(None, format!("the template has more than {most} bytes"));
    }
    let Ok(text) = std::str::from_utf8(template) else {
        return wrong(None, "the template is not UTF-8");
    };
    shallow(text)?;
    let parsed = Template::compile(text).map_err(|error| {
        let position = error.pos().map(|(line, column)| Position { line, column });
        let message = match error.reason() {
            TemplateErrorReason::MismatchingClosedHelper(open, close) => {
                format!("{{{{#{open}}}}} is closed by {{{{/{close}}}}}")
            }
            // The parser's own text quotes the source, in which a secret may stand.
            _ => "this is no valid Handlebars template; are all {{ and {{#blocks}} closed?".into(),
        };
        TemplateProblem { position, message }
    })?;
    Check { root: context, each: 0 }.template(&parsed, &[context], 0)?;

    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    for helper in ["lookup", "log", "raw"] {
        engine.unregister_helper(helper);
    }
    let mut out = Bounded { bytes: Vec::new(), limit };
    engine.render_template_to_write(text, context, &mut out).map_err(|error| {
        let position = match (error.line_no, error.column_no) {
            (Some(line), Some(column)) => Some(Position { line, column }),
            _ => None,
        };
        let message = if out.bytes.len() > limit {
            format!("the filled template has more than {limit} bytes")
        } else {
            "the template could not be filled".into()
        };
        TemplateProblem { position, message }
    })?;
    match String::from_utf8(out.bytes) {
        Ok(text) if text.len() <= limit => Ok(text),
        _ => wrong(None, format!("the filled template has more than {limit} bytes")),
    }
}

/// The parser goes down by recursion, for blocks and for `(subexpressions)`: the depth is bounded before it sees the
/// text. Counts are an upper bound, so a file with hundreds of blocks one after the other passes.
fn shallow(text: &str) -> Checked {
    if text.matches("{{").count() > MAX_EXPRESSIONS || text.matches('\\').count() > MAX_EXPRESSIONS
    {
        let message = format!("the template has more than {MAX_EXPRESSIONS} expressions");
        return wrong(None, message);
    }
    let (mut blocks, mut brackets) = (0_usize, 0_usize);
    let bytes = text.as_bytes();
    let mut inside = false;
    let mut line = 1;
    for (index, byte) in bytes.iter().enumerate() {
        let two = bytes.get(index..index + 2);
        match byte {
            b'\n' => line += 1,
            _ if two == Some(b"{{") => {
                inside = true;
                brackets = 0;
                let rest = text.get(index + 2..).unwrap_or_default();
                match rest.trim_start_matches(['{', '~', ' ']).bytes().next() {
                    Some(b'#') => blocks += 1,
                    Some(b'/') => blocks = blocks.saturating_sub(1),
                    _ => {}
                }
            }
            _ if two == Some(b"}}") => inside = false,
            b'(' | b'[' if inside => brackets += 1,
            b')' | b']' if inside => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        if blocks > MAX_NESTING || brackets > MAX_NESTING {
            let message = format!("blocks are nested deeper than {MAX_NESTING}");
            return wrong(Position { line, column: 1 }, message);
        }
    }
    Ok(())
}

/// Takes `limit` bytes and then fails.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() > self.limit {
            return Err(io::Error::other("too much output"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Walks a template with the values that names stand for; the last of `scopes` is `this`.
#[derive(Clone, Copy)]
struct Check<'a> {
    root: &'a Value,
    each: usize,
}

impl<'a> Check<'a> {
    fn template(self, template: &Template, scopes: &[&'a Value], depth: usize) -> Checked {
        if depth > MAX_NESTING {
            return wrong(None, format!("blocks are nested deeper than {MAX_NESTING}"));
        }
        for (index, element) in template.elements.iter().enumerate() {
            let at = template.mapping.get(index).map(|m| Position { line: m.0, column: m.1 });
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                    self.expression(helper, scopes, at)?;
                }
                TemplateElement::HelperBlock(helper) => self.block(helper, scopes, at, depth)?,
                TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                    return wrong(at, "partials ({{> …}}) are not allowed");
                }
                TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                    return wrong(at, "decorators ({{* …}}) are not allowed");
                }
                _ => return wrong(at, "this kind of expression is not allowed"),
            }
        }
        Ok(())
    }

    /// `{{name}}` or `{{helper a b}}`.
    fn expression(
        self,
        helper: &HelperTemplate,
        scopes: &[&'a Value],
        at: Option<Position>,
    ) -> Checked {
        let name = parameter_text(&helper.name);
        if helper.params.is_empty() && helper.hash.is_empty() {
            if let Parameter::Subexpression(_) = &helper.name {
                return self.parameter(&helper.name, scopes, at).map(|_| ());
            }
            let value = self.resolve(&name, scopes, at)?;
            return match value {
                Some(Value::Object(_) | Value::Array(_)) => {
                    wrong(at, format!("{{{{{name}}}}} is a group of values; name one of them"))
                }
                Some(Value::Null) => wrong(at, format!("{{{{{name}}}}} has no value")),
                _ => Ok(()),
            };
        }
        if !HELPERS.contains(&name.as_str()) {
            return wrong(at, unknown_helper(&name));
        }
        self.parameters(helper, scopes, at)
    }

    fn block(
        self,
        helper: &HelperTemplate,
        scopes: &[&'a Value],
        at: Option<Position>,
        depth: usize,
    ) -> Checked {
        let name = parameter_text(&helper.name);
        if helper.block_param.is_some() {
            return wrong(at, "block parameters (as |x|) are not allowed");
        }
        self.parameters(helper, scopes, at)?;
        let mut inner = vec![];
        let mut below = self;
        match (name.as_str(), helper.params.as_slice()) {
            ("if" | "unless", [_]) => inner.push(scopes.to_vec()),
            ("with" | "each", [parameter]) => {
                let Some(value) = self.parameter(parameter, scopes, at)? else {
                    return wrong(at, format!("{{{{#{name}}}}} needs a group of values"));
                };
                let values: Vec<&Value> = match value {
                    Value::Object(members) if name == "each" => members.values().collect(),
                    Value::Array(elements) if name == "each" => elements.iter().collect(),
                    Value::Object(_) if name == "with" => vec![value],
                    _ => {
                        let text = parameter_text(parameter);
                        let message = format!("{{{{#{name} {text}}}}} needs a group of values");
                        return wrong(at, message);
                    }
                };
                if name == "each" {
                    below.each += 1;
                    if below.each > MAX_EACH {
                        let message = format!("{{{{#each}}}} is nested deeper than {MAX_EACH}");
                        return wrong(at, message);
                    }
                }
                for value in values {
                    inner.push(scopes.iter().copied().chain([value]).collect());
                }
            }
            ("if" | "unless" | "with" | "each", _) => {
                return wrong(at, format!("{{{{#{name}}}}} takes exactly one value"));
            }
            _ => return wrong(at, unknown_helper(&name)),
        }
        if let Some(template) = &helper.template {
            for scopes in &inner {
                below.template(template, scopes, depth + 1)?;
            }
        }
        helper.inverse.as_ref().map_or(Ok(()), |other| self.template(other, scopes, depth + 1))
    }

    fn parameters(
        self,
        helper: &HelperTemplate,
        scopes: &[&'a Value],
        at: Option<Position>,
    ) -> Checked {
        let mut hash: Vec<_> = helper.hash.iter().collect();
        hash.sort_by_key(|(name, _)| *name);
        for parameter in helper.params.iter().chain(hash.into_iter().map(|(_, value)| value)) {
            self.parameter(parameter, scopes, at)?;
        }
        Ok(())
    }

    /// The value of a parameter, if it is a plain variable.
    fn parameter(
        self,
        parameter: &Parameter,
        scopes: &[&'a Value],
        at: Option<Position>,
    ) -> Result<Option<&'a Value>, TemplateProblem> {
        match parameter {
            Parameter::Literal(_) => Ok(None),
            Parameter::Name(_) | Parameter::Path(_) => {
                self.resolve(&parameter_text(parameter), scopes, at)
            }
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(helper) = inner.as_element() {
                    self.expression(helper, scopes, at)?;
                }
                Ok(None)
            }
            _ => wrong(at, "this kind of parameter is not allowed"),
        }
    }

    /// What `name` stands for; `None` for `@index` and the like, which always have a value inside `each`.
    fn resolve(
        self,
        name: &str,
        scopes: &[&'a Value],
        at: Option<Position>,
    ) -> Result<Option<&'a Value>, TemplateProblem> {
        let mut rest = name.trim();
        let mut level = scopes.len();
        if let Some(local) = rest.strip_prefix('@') {
            if let Some(path) = local.strip_prefix("root") {
                rest = path.trim_start_matches(['.', '/']);
                level = 0;
            } else if self.each > 0
                && matches!(local.trim_start_matches("../"), "key" | "index" | "first" | "last")
            {
                return Ok(None);
            } else {
                return wrong(at, format!("unknown variable {name:?}; {}", self.variables()));
            }
        }
        while let Some(outer) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("..")) {
            rest = outer;
            level = level.saturating_sub(1);
        }
        let mut value = if level == 0 { self.root } else { scopes[level - 1] };
        for part in rest.split(['.', '/']).filter(|part| !matches!(*part, "" | "this")) {
            let part = part.trim_start_matches('[').trim_end_matches(']');
            let Some(found) = value.as_object().and_then(|members| members.get(part)) else {
                let name: String = name.chars().take(80).collect();
                let message = format!("unknown variable {name:?}; {}", self.variables());
                return wrong(at, message);
            };
            value = found;
        }
        Ok(Some(value))
    }

    /// The names of all variables, for people.
    fn variables(self) -> String {
        let mut names = Vec::new();
        for (outer, members) in self.root.as_object().into_iter().flatten() {
            for inner in members.as_object().into_iter().flat_map(|m| m.keys()) {
                names.push(format!("{outer}.{inner}"));
            }
        }
        names.sort();
        format!("there are {}", names.join(", "))
    }
}

fn unknown_helper(name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    format!("unknown helper {name:?}; there are if, unless, each, with, {}", HELPERS.join(", "))
}

fn parameter_text(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Name(name)
        | Parameter::Path(Path::Relative((_, name)) | Path::Local((_, _, name))) => name.clone(),
        Parameter::Literal(value) => value.to_string(),
        _ => "(…)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context() -> Value {
        json!({"env": {"host": "h.example.com", "name": "n"}, "pr": {"number": 7}, "nothing": {"here": null}})
    }

    fn filled(template: &str) -> String {
        fill(template.as_bytes(), &context(), 1000).map_err(|p| p.message).expect(template)
    }

    fn problem(template: &str) -> String {
        let problem = fill(template.as_bytes(), &context(), 1000).expect_err(template);
        let place = problem.position.map_or_else(String::new, |p| format!("{p}: "));
        format!("{place}{}", problem.message)
    }

    #[test]
    fn variables_blocks_and_comparisons_are_filled() {
        let table = [
            ("{{env.host}}-{{{pr.number}}}-{{ env.[name] }}", "h.example.com-7-n"),
            ("{{#if pr.number}}yes{{else}}no{{/if}}", "yes"),
            ("{{#unless (eq env.name \"n\")}}a{{else}}b{{/unless}}", "b"),
            (
                "{{#with env}}{{host}} {{../pr.number}} {{@root.pr.number}}{{/with}}",
                "h.example.com 7 7",
            ),
            ("{{#each env}}{{@key}}={{this}};{{/each}}", "host=h.example.com;name=n;"),
            ("{{#if (gt pr.number 5)}}big{{else if (eq pr.number 5)}}five{{/if}}", "big"),
            ("{{! a note }}x \\{{literal}}", "x {{literal}}"),
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
        ] {
            let problem = problem(template);
            assert!(problem.contains("unknown variable"), "{template}: {problem}");
            assert!(
                problem.contains("there are env.host, env.name, nothing.here, pr.number"),
                "{problem}"
            );
        }
        assert!(problem("a\n  {{env.x}}").starts_with("2:"), "{}", problem("a\n  {{env.x}}"));
    }

    #[test]
    fn what_reads_calls_or_hides_is_refused() {
        for (template, words) in [
            ("{{nothing.here}}", "has no value"),
            ("{{env}}", "group of values"),
            ("{{> part}}", "partials"),
            ("{{#> part}}{{/part}}", "partials"),
            ("{{#*inline \"x\"}}{{/inline}}", "decorators"),
            ("{{lookup env \"host\"}}", "unknown helper"),
            ("{{log \"x\"}}", "unknown helper"),
            ("{{{{raw}}}}x{{{{/raw}}}}", "unknown helper"),
            ("{{#each env as |v k|}}{{v}}{{/each}}", "block parameters"),
            ("{{#if}}{{/if}}", "exactly one value"),
            ("{{#each pr.number}}{{/each}}", "group of values"),
            ("{{#if pr.number}}", "no valid Handlebars"),
            ("{{hunter2 ", "no valid Handlebars"),
        ] {
            let problem = problem(template);
            assert!(problem.contains(words), "{template}: {problem}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_filled_or_refused(text in proptest::prop_oneof![
            ".{0,100}",
            "(\\{\\{|\\}\\}|#if |/if|#each |/each|else|env|\\.host|this|\\.\\./|@index|@root|\\(|\\)|eq |~|\"|!|>|\\*|&|\\^| |1|=|\\[|\\]|\n|\\||as ){0,40}",
        ]) {
            let _ = fill(text.as_bytes(), &context(), 10_000);
        }
    }

    #[test]
    fn a_template_cannot_grow_or_dig_without_end() {
        let long = "x".repeat(400);
        assert!(
            problem(&format!(
                "{{{{#each env}}}}{{{{#each @root.env}}}}{long}{{{{/each}}}}{{{{/each}}}}"
            ))
            .contains("more than 1000 bytes")
        );
        let each = "{{#each @root.env}}";
        assert!(
            problem(&format!("{}{}", each.repeat(4), "{{/each}}".repeat(4))).contains("deeper")
        );
        let deep = 300;
        let blocks = format!("{}{}", "{{#if 1}}".repeat(deep), "{{/if}}".repeat(deep));
        assert!(fill(blocks.as_bytes(), &context(), 100_000).is_err());
        let brackets = format!("{{{{not {}1{}}}}}", "(not ".repeat(9000), ")".repeat(9000));
        assert!(fill(brackets.as_bytes(), &context(), 1 << 20).is_err());
        for repeated in
            ["{{", "{{{", "{{(", "{{a ", "{{!--", "{{#if 1}}x{{/if}}", "{{env.host}}", "\\"]
        {
            assert!(fill(repeated.repeat(20_000).as_bytes(), &context(), 1 << 20).is_err());
            let _ = fill(repeated.repeat(400).as_bytes(), &context(), 1 << 20);
        }
    }
}
