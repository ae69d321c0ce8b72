//! Label selectors. In: the text of a query parameter, or a selector of an object; out: whether an object matches.
//! Errors are in the API server's words. No I/O.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a label must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

impl Requirement {
    /// `exact`: the operator was `=`, `==` or `!=`.
    fn new(key: String, operator: Operator, values: BTreeSet<String>) -> Result<Self, String> {
        if let Some(why) = key_problem(&key) {
            return Err(format!("key: Invalid value: {key:?}: {why}"));
        }
        let given = go_list(&values);
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(format!(
                    "values: Invalid value: {given}: for 'in', 'notin' operators, values set can't be empty"
                ));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(format!(
                    "values: Invalid value: {given}: values set must be empty for exists and does not exist"
                ));
            }
            Operator::GreaterThan | Operator::LessThan => {
                if let Some(bad) = values.iter().find(|value| value.parse::<i64>().is_err()) {
                    return Err(format!(
                        "values[0]: Invalid value: {bad:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(why) = value_problem(value) {
                return Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {why}"));
            }
        }
        Ok(Self { key, operator, values })
    }

    fn matches(&self, labels: &Value) -> bool {
        let found = labels.get(&self.key).and_then(Value::as_str);
        let listed = |value: &str| self.values.contains(value);
        let compared = |wanted: fn(&i64, &i64) -> bool| {
            let bound = self.values.first().and_then(|value| value.parse::<i64>().ok());
            let value = found.and_then(|value| value.parse::<i64>().ok());
            matches!((value, bound), (Some(value), Some(bound)) if wanted(&value, &bound))
        };
        match self.operator {
            Operator::In => found.is_some_and(listed),
            Operator::NotIn => !found.is_some_and(listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan => compared(i64::gt),
            Operator::LessThan => compared(i64::lt),
        }
    }
}

/// A list as Go prints it as JSON.
fn go_list(values: &BTreeSet<String>) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

fn alphanumeric_ends(text: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    end(text.chars().next())
        && end(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What is wrong with the key of a label, in Kubernetes' words.
#[must_use]
pub fn key_problem(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((prefix, name)) => (Some(prefix), name),
    };
    let mut wrong = Vec::new();
    if name.contains('/') {
        return Some("a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')".to_owned());
    }
    if let Some(prefix) = prefix {
        let label = |part: &str| {
            alphanumeric_ends(part)
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if prefix.is_empty() {
            wrong.push("prefix part must be non-empty".to_owned());
        } else {
            if prefix.len() > 253 {
                wrong.push("prefix part must be no more than 253 bytes".to_owned());
            }
            if !prefix.split('.').all(label) {
                wrong.push("prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned());
            }
        }
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push("name part must be no more than 63 bytes".to_owned());
    }
    if !alphanumeric_ends(name) {
        wrong.push("name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')".to_owned());
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// What is wrong with the value of a label, in Kubernetes' words.
#[must_use]
pub fn value_problem(value: &str) -> Option<String> {
    let mut wrong = Vec::new();
    if value.len() > 63 {
        wrong.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !alphanumeric_ends(value) {
        wrong.push("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".to_owned());
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// A selector of labels. All its requirements must hold; one without requirements selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Reads the text of a `labelSelector` parameter: `app=web,tier in (a,b),!canary`.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { requirements: Parser::new(text)?.parse()?, nothing: false })
    }

    /// Reads a selector of an object (`matchLabels`, `matchExpressions`). No selector at all selects nothing, an empty
    /// one selects everything.
    pub fn from_json(selector: &Value) -> Result<Self, String> {
        if selector.is_null() {
            return Ok(Self { requirements: Vec::new(), nothing: true });
        }
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let values = BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]);
            requirements.push(Requirement::new(key.clone(), Operator::In, values)?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, operator, values)?);
        }
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map of labels, as services and replication controllers have one. No labels select nothing.
    #[must_use]
    pub fn from_labels(labels: &Value) -> Self {
        let requirements: Vec<_> = labels
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]),
            })
            .collect();
        Self { nothing: requirements.is_empty(), requirements }
    }

    /// Whether an object's labels match.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(&object["metadata"]["labels"])
    }

    /// Whether a map of labels matches.
    #[must_use]
    pub fn matches_labels(&self, labels: &Value) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Identifier,
    Symbol,
    End,
}

/// The parser of label selectors: a lexer's tokens, read one by one.
struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

fn special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

impl Parser {
    fn new(text: &str) -> Result<Self, String> {
        let chars: Vec<char> = text.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        while let Some(c) = chars.get(at) {
            let start = at;
            if matches!(c, ' ' | '\t' | '\r' | '\n') {
                at += 1;
            } else if special(*c) {
                at += if matches!(c, '=' | '!') && chars.get(at + 1) == Some(&'=') { 2 } else { 1 };
                tokens.push((Token::Symbol, chars[start..at].iter().collect()));
            } else {
                while chars.get(at).is_some_and(|c| !special(*c) && !c.is_ascii_whitespace()) {
                    at += 1;
                }
                tokens.push((Token::Identifier, chars[start..at].iter().collect()));
            }
            // A hostile selector must not become a megabyte of requirements.
            if tokens.len() > 10_000 {
                return Err("label selector has too many parts".to_owned());
            }
        }
        tokens.push((Token::End, String::new()));
        Ok(Self { tokens, at: 0 })
    }

    fn peek(&self) -> (Token, &str) {
        self.tokens.get(self.at).map_or((Token::End, ""), |(token, text)| (*token, text.as_str()))
    }

    fn next(&mut self) -> (Token, String) {
        let (token, text) = self.peek();
        let found = (token, text.to_owned());
        self.at += 1;
        found
    }

    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let starts = |(token, text): (Token, &str)| token == Token::Identifier || text == "!";
        let mut requirements = Vec::new();
        loop {
            if self.peek().0 == Token::End {
                return Ok(requirements);
            }
            if !starts(self.peek()) {
                return Err(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    self.peek().1
                ));
            }
            requirements.push(
                self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?,
            );
            match self.next() {
                (Token::End, _) => return Ok(requirements),
                (_, text) if text == "," => {
                    if !starts(self.peek()) {
                        return Err(format!(
                            "found '{}', expected: identifier after ','",
                            self.peek().1
                        ));
                    }
                }
                (_, text) => {
                    return Err(format!("found '{text}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn ends_here(&self) -> bool {
        let (token, text) = self.peek();
        token == Token::End || text == ","
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek().1 == "!";
        if absent {
            self.next();
        }
        let (token, key) = self.next();
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(why) = key_problem(&key) {
            return Err(format!("<nil>: Invalid value: {key:?}: {why}"));
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        if self.ends_here() {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let (_, word) = self.next();
        let (operator, values) = match word.as_str() {
            "in" => (Operator::In, self.values()?),
            "notin" => (Operator::NotIn, self.values()?),
            "=" | "==" => (Operator::In, self.exact()?),
            "!=" => (Operator::NotIn, self.exact()?),
            ">" => (Operator::GreaterThan, self.exact()?),
            "<" => (Operator::LessThan, self.exact()?),
            _ => {
                return Err(format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        Requirement::new(key, operator, values)
    }

    fn exact(&mut self) -> Result<BTreeSet<String>, String> {
        if self.ends_here() {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            (Token::Identifier, value) => Ok(BTreeSet::from([value])),
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        let (_, open) = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = BTreeSet::new();
        match self.peek() {
            (_, ")") => {
                self.next();
                return Ok(values);
            }
            (Token::Identifier, _) | (_, ",") => {}
            (_, other) => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.next() {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.peek().1 {
                        "," => {}
                        ")" => break,
                        other => return Err(format!("found '{other}', expected: ',' or ')'")),
                    }
                }
                (_, text) if text == "," => {
                    if values.is_empty() || matches!(self.peek().1, "," | ")") {
                        values.insert(String::new());
                    }
                    if self.peek().1 == ")" {
                        break;
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
        self.next();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_match_as_the_selector_says() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "a", "n": "7", "x.io/y": "", "in": "notin"}}});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier != b", true),
            ("app=db", false),
            ("app!=web", false),
            ("missing!=web", true),
            ("app", true),
            ("missing", false),
            ("!missing", true),
            ("!app", false),
            ("! app", false),
            ("tier in (a,b)", true),
            ("tier in (b, c)", false),
            ("tier notin (b)", true),
            ("tier notin (a)", false),
            ("missing notin (a)", true),
            ("missing in (a)", false),
            ("n>6", true),
            ("n<7", false),
            ("app>1", false),
            ("x.io/y=", true),
            ("x.io/y in (,z)", true),
            ("x.io/y", true),
            ("app=web,tier in (a),!missing,n", true),
            ("in=notin", true),
            ("in in (notin)", true),
        ] {
            let parsed =
                LabelSelector::parse(selector).unwrap_or_else(|why| panic!("{selector}: {why}"));
            assert_eq!(parsed.matches(&object), expected, "{selector}");
        }
    }

    #[test]
    fn bad_label_selectors_are_refused_in_the_real_words() {
        for (selector, expected) in [
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a=b,", "found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            (
                "a ~ b",
                "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt",
            ),
            (
                "a in ()",
                "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
            ),
            (
                "a>b",
                "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a==(", "unable to parse requirement: found '(', expected: identifier"),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap_err(), expected, "{selector}");
        }
        let long = LabelSelector::parse("-a=b").unwrap_err();
        assert!(long.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"), "{long}");
        let value = LabelSelector::parse("a=b$").unwrap_err();
        assert!(value.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b$\": a valid label must be an empty string"), "{value}");
    }

    #[test]
    fn selectors_of_objects() {
        let object = json!({"metadata": {"labels": {"app": "web"}}});
        for (selector, expected) in [
            (Value::Null, false),
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "x", "operator": "DoesNotExist"}]}),
                true,
            ),
        ] {
            let parsed = LabelSelector::from_json(&selector).expect("is a selector");
            assert_eq!(parsed.matches(&object), expected, "{selector}");
        }
        let wrong = json!({"matchExpressions": [{"key": "app", "operator": "Like"}]});
        assert_eq!(
            LabelSelector::from_json(&wrong).unwrap_err(),
            "\"Like\" is not a valid label selector operator"
        );
        assert!(!LabelSelector::from_labels(&json!({})).matches(&object));
        assert!(LabelSelector::from_labels(&json!({"app": "web"})).matches(&object));
    }
}
