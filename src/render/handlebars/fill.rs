//! PURE · a parsed template and a context → output. Branches that are not taken are walked too, without putting
//! anything out, so that a wrong name in them is found before the day they are taken.

use std::borrow::Cow;

use serde_json::Value;

use super::expression::{Call, Expression, Path, shortened};
use super::helpers::{self, Helper, is_truthy};
use super::injection::{Probes, is_plain};
use super::output::{Filled, Output, Written};
use super::parser::{Node, Template};
use super::partials::Partials;
use super::scope::{Held, Scope, lookup, variables};
use super::text::text_of;
use super::{Problem, Said, TemplateProblem, too_much, wrong};
use crate::domain::document::Position;

/// Blocks and partials within each other: each takes a piece of the stack.
const MAX_DEPTH: usize = 48;
/// Expressions, runs of text and 16 bytes of values, each time they are walked: a second at most.
const MAX_STEPS: usize = 1_000_000;
/// Groups of the context; some are not there for every environment, so `default` may name what is in them.
const GROUPS: [&str; 7] = ["app", "branch", "commit", "env", "params", "pr", "repo"];

/// What a run gives: the text, the shadow if one was needed, and what its words stand for.
pub(super) type Run = (Filled, Option<String>, Probes);

/// Fills `template`.
pub(super) fn run(
    template: &Template,
    context: &Value,
    limit: usize,
    partials: &Partials,
    probing: bool,
) -> Problem<Run> {
    let mut engine = Engine {
        root: context,
        partials,
        probing,
        limit,
        output: Output::new(limit),
        probes: Probes::default(),
        steps: 0,
        depth: 0,
        including: Vec::new(),
    };
    let scope = Scope {
        this: Held { json: Cow::Borrowed(context), shadow: None },
        outer: None,
        named: Vec::new(),
        turn: None,
    };
    engine.nodes(&template.nodes, &scope, Pass::Fill)?;
    let (filled, shadow) = engine.output.finish();
    Ok((filled, shadow, engine.probes))
}

/// Whether what is walked is put out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Fill,
    /// Only names are looked at: values may be what the branch was not made for.
    Check,
}

pub(super) struct Engine<'e> {
    root: &'e Value,
    pub(super) partials: &'e Partials,
    probing: bool,
    limit: usize,
    pub(super) output: Output,
    probes: Probes,
    steps: usize,
    depth: usize,
    /// Paths of the partials that are being filled.
    pub(super) including: Vec<&'e str>,
}

impl<'e> Engine<'e> {
    pub(super) fn spend(&mut self, bytes: usize, at: Position) -> Problem<()> {
        self.steps += 1 + bytes / 16;
        if self.steps > MAX_STEPS {
            let message = format!("filling this template takes more than {MAX_STEPS} steps");
            return too_much(at, message);
        }
        Ok(())
    }

    pub(super) fn nodes<'s>(
        &mut self,
        nodes: &[Node],
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        for node in nodes {
            match node {
                Node::Text(text, at) => {
                    self.spend(0, *at)?;
                    if pass == Pass::Fill {
                        self.output.literal(text, *at)?;
                    }
                }
                Node::Value(expression, at) => self.put(expression, *at, scope, pass)?,
                Node::Block(block) => {
                    self.deeper(block.at, |engine| engine.block(block, scope, pass))?;
                }
                Node::Partial(call, at, indent) => {
                    self.deeper(*at, |engine| engine.partial(call, *at, indent, scope, pass))?;
                }
            }
        }
        Ok(())
    }

    fn deeper(&mut self, at: Position, walk: impl FnOnce(&mut Self) -> Problem<()>) -> Problem<()> {
        if self.depth >= MAX_DEPTH {
            let message = format!("blocks and partials are nested deeper than {MAX_DEPTH}");
            return too_much(at, message);
        }
        self.depth += 1;
        let done = walk(self);
        self.depth -= 1;
        done
    }

    fn put<'s>(
        &mut self,
        expression: &Expression,
        at: Position,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        let held = self.value(expression, at, scope, pass)?;
        if pass == Pass::Check {
            return Ok(());
        }
        let name = described(expression);
        let text = text_of(&held.json)
            .map_err(|what| TemplateProblem::at(at, format!("{{{{{name}}}}} {what}")))?;
        let shadow = match (expression, &held.shadow) {
            // Named as it is written here: `this`, not the list it is a part of.
            (Expression::Path(path), Some(Value::String(shadow))) if *shadow != text => {
                Some(self.probes.word(&text, &path.text))
            }
            (_, shadow) => shadow.as_ref().and_then(|shadow| text_of(shadow).ok()),
        };
        self.spend(text.len(), at)?;
        let written = Written { name, string: held.json.is_string() };
        self.output.value(&text, shadow.as_deref(), at, written).map_err(|mut problem| {
            problem.position = Some(at);
            problem
        })
    }

    pub(super) fn value<'s>(
        &mut self,
        expression: &Expression,
        at: Position,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<Held<'s>>
    where
        'e: 's,
    {
        self.spend(0, at)?;
        match expression {
            Expression::Literal(value) => Ok(Held::owned(value.clone())),
            Expression::Path(path) => match self.find(path, at, scope)? {
                Some(held) => Ok(held),
                None => wrong(at, self.unknown(path)),
            },
            Expression::Call(call) => self.call(call, at, scope, pass),
        }
    }

    fn unknown(&self, path: &Path) -> String {
        format!("unknown variable {:?}; {}", path.text, variables(self.root))
    }

    fn find<'s>(
        &mut self,
        path: &Path,
        at: Position,
        scope: &'s Scope<'s>,
    ) -> Problem<Option<Held<'s>>>
    where
        'e: 's,
    {
        let root: &'s Value = self.root;
        let Some(mut held) = lookup(path, root, scope) else { return Ok(None) };
        if self.probing && held.shadow.is_none() {
            held.shadow = self.probed(&held.json, &path.text, at)?;
        }
        Ok(Some(held))
    }

    /// `value` with words in the place of what is not plain; `None` when all of it is.
    fn probed(&mut self, value: &Value, name: &str, at: Position) -> Problem<Option<Value>> {
        match value {
            Value::String(text) => {
                self.spend(text.len(), at)?;
                Ok((!is_plain(text)).then(|| Value::from(self.probes.word(text, name))))
            }
            Value::Array(elements) => {
                let mut copy = Vec::with_capacity(elements.len());
                let mut any = false;
                for element in elements {
                    self.spend(0, at)?;
                    let probed = self.probed(element, name, at)?;
                    any |= probed.is_some();
                    copy.push(probed.unwrap_or_else(|| element.clone()));
                }
                Ok(any.then_some(Value::Array(copy)))
            }
            Value::Object(members) => {
                let mut copy = serde_json::Map::new();
                let mut any = false;
                for (key, member) in members {
                    self.spend(key.len(), at)?;
                    let probed = self.probed(member, &format!("{name}.{key}"), at)?;
                    any |= probed.is_some();
                    copy.insert(key.clone(), probed.unwrap_or_else(|| member.clone()));
                }
                Ok(any.then_some(Value::Object(copy)))
            }
            _ => Ok(None),
        }
    }

    fn call<'s>(
        &mut self,
        call: &Call,
        at: Position,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<Held<'s>>
    where
        'e: 's,
    {
        let Some(helper) = helpers::find(&call.name) else {
            return wrong(at, helpers::unknown(&call.name));
        };
        if let Some((name, _)) = call.named.first() {
            let message = format!("{} takes no {}=", helper.name, shortened(name));
            return wrong(at, message);
        }
        if !helper.arguments.contains(&call.arguments.len()) {
            return wrong(at, helper.usage());
        }
        match (helper.name, call.arguments.as_slice()) {
            ("default", [Expression::Literal(_), Expression::Literal(_)]) => {
                wrong(at, "default needs the name of a variable; write {{default params.x \"y\"}}")
            }
            // Helm's order; a literal is never the one that may be missing.
            ("default", [literal @ Expression::Literal(_), value] | [value, literal]) => {
                match self.optional(value, at, scope, pass)? {
                    Some(held) => {
                        self.value(literal, at, scope, Pass::Check)?;
                        Ok(held)
                    }
                    None => self.value(literal, at, scope, pass),
                }
            }
            ("required", [message, value]) => {
                let message = self.value(message, at, scope, pass)?;
                match self.optional(value, at, scope, pass)? {
                    Some(held) => Ok(held),
                    None if pass == Pass::Check => Ok(Held::owned(Value::Null)),
                    None => {
                        let message = text_of(&message.json).unwrap_or_default();
                        let message: String = message.chars().take(200).collect();
                        wrong(at, format!("{} is required: {message}", described(value)))
                    }
                }
            }
            ("ternary", [condition, yes, no]) => {
                let condition = self.value(condition, at, scope, pass)?;
                let yes = self.value(yes, at, scope, pass)?;
                let no = self.value(no, at, scope, pass)?;
                Ok(if is_truthy(&condition.json, false) { yes } else { no })
            }
            (_, arguments) => self.helper(helper, arguments, at, scope, pass),
        }
    }

    /// A value that may be missing; `None` for that, for null and for the empty string.
    fn optional<'s>(
        &mut self,
        expression: &Expression,
        at: Position,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<Option<Held<'s>>>
    where
        'e: 's,
    {
        let held = if let Expression::Path(path) = expression {
            self.spend(0, at)?;
            match self.find(path, at, scope)? {
                Some(held) => held,
                // The group must be one that can be there: a slip in its name would be silent for ever.
                None if self.may_be_missing(path) => return Ok(None),
                None => return wrong(at, self.unknown(path)),
            }
        } else {
            self.value(expression, at, scope, pass)?
        };
        let empty = match held.json.as_ref() {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        Ok((!empty).then_some(held))
    }

    fn may_be_missing(&self, path: &Path) -> bool {
        match path.parts.as_slice() {
            [] => false,
            // An argument of a partial.
            [_] => !self.including.is_empty(),
            [group, ..] => GROUPS.contains(&group.as_str()) || self.root.get(group).is_some(),
        }
    }

    fn helper<'s>(
        &mut self,
        helper: &Helper,
        arguments: &[Expression],
        at: Position,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<Held<'s>>
    where
        'e: 's,
    {
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            given.push(self.value(argument, at, scope, pass)?);
        }
        let values: Vec<&Value> = given.iter().map(|held| held.json.as_ref()).collect();
        for value in &values {
            self.spend(weight(value), at)?;
        }
        let value = match (helper.call)(&values) {
            Ok(value) => value,
            Err(_) if pass == Pass::Check => return Ok(Held::owned(Value::Null)),
            Err(said) => {
                let message = format!("{}: {}", helper.name, said.message);
                return Err(Said { message, ..said }.at(at));
            }
        };
        let bytes = weight(&value);
        self.spend(bytes, at)?;
        if bytes > self.limit {
            let message = format!("{} makes more than {} bytes", helper.name, self.limit);
            return too_much(at, message);
        }
        let shadow = if given.iter().all(|held| held.shadow.is_none()) {
            None
        } else {
            let name = arguments.iter().find_map(path_of).unwrap_or_else(|| helper.name.to_owned());
            let shadows: Vec<&Value> = given
                .iter()
                .map(|held| held.shadow.as_ref().unwrap_or_else(|| held.json.as_ref()))
                .collect();
            match (helper.keeps_words, (helper.call)(&shadows)) {
                (true, Ok(shadow)) => Some(shadow),
                _ => self.probed(&value, &name, at)?,
            }
        };
        Ok(Held { json: Cow::Owned(value), shadow })
    }
}

/// Bytes, about.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(|element| 16 + weight(element)).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| 16 + key.len() + weight(member)).sum()
        }
        _ => 8,
    }
}

fn path_of(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Path(path) => Some(path.text.clone()),
        Expression::Call(call) => call.arguments.iter().find_map(path_of),
        Expression::Literal(_) => None,
    }
}

/// An expression, for people; literals are left out, they may be anything.
pub(super) fn described(expression: &Expression) -> String {
    match expression {
        Expression::Path(path) => path.text.clone(),
        Expression::Literal(_) => "…".into(),
        Expression::Call(call) => {
            let name = shortened(&call.name);
            path_of(expression).map_or(name.clone(), |path| format!("{name} {path}"))
        }
    }
}
