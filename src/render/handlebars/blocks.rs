//! PURE · blocks and partials: what is walked once, many times, or not put out.

use std::borrow::Cow;

use serde_json::Value;

use super::expression::{Call, Expression, shortened};
use super::fill::{Engine, Pass, described, weight};
use super::helpers::{self, is_truthy};
use super::parser::{Block, Node};
use super::partials::Partials;
use super::scope::{Held, Scope, Turn};
use super::{Problem, TemplateProblem, wrong};
use crate::domain::document::Position;

impl<'e> Engine<'e> {
    pub(super) fn block<'s>(
        &mut self,
        block: &Block,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        let (at, call) = (block.at, &block.call);
        let name = call.name.as_str();
        if !matches!(name, "if" | "unless" | "each" | "with") {
            return wrong(at, helpers::unknown(name));
        }
        let [argument] = call.arguments.as_slice() else {
            return wrong(at, format!("{{{{#{name}}}}} takes exactly one value"));
        };
        let mut include_zero = false;
        for (option, value) in &call.named {
            match (name, option.as_str(), value) {
                ("if" | "unless", "includeZero", Expression::Literal(Value::Bool(on))) => {
                    include_zero = *on;
                }
                _ => return wrong(at, format!("{{{{#{name}}}}} takes no {}=", shortened(option))),
            }
        }
        let held = self.value(argument, at, scope, pass)?;
        match name {
            "if" | "unless" => {
                let taken = is_truthy(&held.json, include_zero) == (name == "if");
                let (body, otherwise) =
                    if taken { (pass, Pass::Check) } else { (Pass::Check, pass) };
                self.nodes(&block.body, scope, body)?;
                self.nodes(&block.otherwise, scope, otherwise)
            }
            "with" => {
                let is_group = held.json.is_object();
                if !is_group && pass == Pass::Fill {
                    let what = described(argument);
                    return wrong(at, format!("{{{{#with {what}}}}} needs a group of values"));
                }
                if is_group {
                    self.inside(&block.body, held, None, scope, pass)?;
                }
                self.nodes(&block.otherwise, scope, Pass::Check)
            }
            _ => self.each(block, argument, &held, scope, pass),
        }
    }

    fn inside<'s>(
        &mut self,
        nodes: &[Node],
        this: Held<'s>,
        turn: Option<Turn>,
        outer: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        // `this` lives shorter than `outer`; both are only read.
        let scope = Scope { this, outer: Some(outer), named: Vec::new(), turn };
        self.nodes(nodes, &scope, pass)
    }

    fn each<'s>(
        &mut self,
        block: &Block,
        argument: &Expression,
        held: &Held<'s>,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        let mut turns: Vec<(Option<String>, Value, Option<Value>)> = Vec::new();
        let shadow = held.shadow.as_ref();
        match held.json.as_ref() {
            Value::Object(members) => {
                for (key, value) in members {
                    self.spend(weight(value), block.at)?;
                    let shadow = shadow.and_then(|shadow| shadow.get(key)).cloned();
                    turns.push((Some(key.clone()), value.clone(), shadow));
                }
                turns.sort_by(|a, b| a.0.cmp(&b.0));
            }
            Value::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    self.spend(weight(value), block.at)?;
                    let shadow = shadow.and_then(|shadow| shadow.get(index)).cloned();
                    turns.push((None, value.clone(), shadow));
                }
            }
            _ if pass == Pass::Check => {}
            _ => {
                let what = described(argument);
                return wrong(block.at, format!("{{{{#each {what}}}}} needs a group of values"));
            }
        }
        let otherwise = if turns.is_empty() { pass } else { Pass::Check };
        let count = turns.len();
        for (index, (key, value, shadow)) in turns.into_iter().enumerate() {
            let this = Held { json: Cow::Owned(value), shadow };
            let turn = Turn { key, index, last: index + 1 == count };
            self.inside(&block.body, this, Some(turn), scope, pass)?;
        }
        self.nodes(&block.otherwise, scope, otherwise)
    }

    pub(super) fn partial<'s>(
        &mut self,
        call: &Call,
        at: Position,
        indent: &str,
        scope: &'s Scope<'s>,
        pass: Pass,
    ) -> Problem<()>
    where
        'e: 's,
    {
        let partials: &'e Partials = self.partials;
        let partial =
            partials.get(&call.name).map_err(|message| TemplateProblem::at(at, message))?;
        if self.including.contains(&partial.path.as_str()) {
            let mut chain: Vec<&str> = self.including.clone();
            chain.push(&partial.path);
            let message = format!("partials may not include themselves: {}", chain.join(" → "));
            return wrong(at, message);
        }
        let template = partial.template()?;
        let mut named = Vec::with_capacity(call.named.len());
        for (name, value) in &call.named {
            named.push((name.clone(), self.value(value, at, scope, pass)?));
        }
        let (this, outer) = match call.arguments.as_slice() {
            [] => {
                for (name, held) in &scope.named {
                    if named.iter().all(|(other, _)| other != name) {
                        named.push((name.clone(), held.clone()));
                    }
                }
                (scope.this.clone(), scope.outer)
            }
            [argument] => (self.value(argument, at, scope, pass)?, Some(scope)),
            _ => return wrong(at, "{{> …}} takes one value and arguments with names (a=b)"),
        };
        let weights = named.iter().map(|(_, held)| weight(&held.json)).sum::<usize>();
        self.spend(weights + weight(&this.json), at)?;
        let inner = Scope { this, outer, named, turn: scope.turn.clone() };
        let outermost = self.output.included.is_none();
        if outermost {
            self.output.included = Some(at);
        }
        let before = self.output.indent.len();
        self.output.indent.push_str(indent);
        self.including.push(&partial.path);
        let done = self.nodes(&template.nodes, &inner, pass);
        self.including.pop();
        self.output.indent.truncate(before);
        if outermost {
            self.output.included = None;
        }
        done.map_err(|problem| problem.in_file(&partial.path))
    }
}
