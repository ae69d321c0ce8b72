//! PURE · pieces of a template → a tree of blocks in which everything knows its line.

use super::expression::{self, Call, Expression, shortened};
use super::lexer::{self, Cursor, Piece, Tag, TagKind};
use super::{Problem, Said, wrong};
use crate::domain::document::Position;

/// Blocks within blocks.
const MAX_NESTING: usize = 32;
/// Expressions of one template; a manifest has some dozens.
const MAX_EXPRESSIONS: usize = 10_000;

/// A template that was read once and may be filled often.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    pub(super) nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Text with the place of its first character.
    Text(String, Position),
    /// `{{a}}`.
    Value(Expression, Position),
    /// `{{#a}}…{{/a}}`.
    Block(Block),
    /// `{{> a}}` with the white space that its lines get.
    Partial(Call, Position, String),
}

/// `{{#if a}}body{{else}}otherwise{{/if}}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub(super) call: Call,
    pub(super) at: Position,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// A block that is not closed yet.
struct Open {
    block: Block,
    in_otherwise: bool,
    /// It came as `{{else if}}` and ends with the block around it.
    chained: bool,
}

/// Reads `text`.
pub(super) fn parse(text: &str) -> Problem<Template> {
    let pieces = lexer::pieces(text)?;
    lexer::few_tags(&pieces, MAX_EXPRESSIONS)?;
    let mut cursor = Cursor::new(text);
    let mut parser = Parser { text, open: Vec::new(), nodes: Vec::new() };
    for piece in pieces {
        match piece {
            Piece::Text(range) => {
                let at = cursor.at(range.start);
                let text = text.get(range).unwrap_or_default();
                if !text.is_empty() {
                    parser.push(Node::Text(text.to_owned(), at));
                }
            }
            Piece::Tag(tag) => {
                let at = cursor.at(tag.span.start);
                parser.tag(&tag, at).map_err(|mut problem| {
                    problem.position.get_or_insert(at);
                    problem
                })?;
            }
        }
    }
    match parser.open.first() {
        Some(open) => {
            let name = shortened(&open.block.call.name);
            wrong(open.block.at, format!("{{{{#{name}}}}} is not closed; write {{{{/{name}}}}}"))
        }
        None => Ok(Template { nodes: parser.nodes }),
    }
}

struct Parser<'t> {
    text: &'t str,
    open: Vec<Open>,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    fn push(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.nodes.push(node),
            Some(open) if open.in_otherwise => open.block.otherwise.push(node),
            Some(open) => open.block.body.push(node),
        }
    }

    fn tag(&mut self, tag: &Tag, at: Position) -> Problem<()> {
        let inner = self.text.get(tag.inner.clone()).unwrap_or_default();
        let said = |said: Said| said.at(at);
        match tag.kind {
            TagKind::Comment => {}
            TagKind::Value => {
                let value = expression::parse(inner).map_err(said)?;
                self.push(Node::Value(value, at));
            }
            TagKind::Partial => {
                let call = expression::parse_call(inner).map_err(said)?;
                let indent = tag.indent.clone().and_then(|range| self.text.get(range));
                self.push(Node::Partial(call, at, indent.unwrap_or_default().to_owned()));
            }
            TagKind::Open => {
                let call = expression::parse_call(inner).map_err(said)?;
                self.enter(call, at, false)?;
            }
            TagKind::Else => self.otherwise(inner, at)?,
            TagKind::Close => self.close(inner, at)?,
        }
        Ok(())
    }

    fn enter(&mut self, call: Call, at: Position, chained: bool) -> Problem<()> {
        if self.open.len() >= MAX_NESTING {
            return super::too_much(at, format!("blocks are nested deeper than {MAX_NESTING}"));
        }
        let block = Block { call, at, body: Vec::new(), otherwise: Vec::new() };
        self.open.push(Open { block, in_otherwise: false, chained });
        Ok(())
    }

    fn otherwise(&mut self, inner: &str, at: Position) -> Problem<()> {
        match self.open.last_mut() {
            None if inner.is_empty() => return wrong(at, "{{else}} stands in no block"),
            None => {
                return wrong(at, "{{else …}} and {{^…}} stand in no block; write {{#unless …}}");
            }
            Some(open) if open.in_otherwise => return wrong(at, "a second {{else}} of one block"),
            Some(open) => open.in_otherwise = true,
        }
        if inner.is_empty() {
            return Ok(());
        }
        let call = expression::parse_call(inner).map_err(|said| said.at(at))?;
        self.enter(call, at, true)
    }

    fn close(&mut self, name: &str, at: Position) -> Problem<()> {
        loop {
            let Some(open) = self.open.pop() else {
                let name = shortened(name);
                return wrong(at, format!("{{{{/{name}}}}} closes no block"));
            };
            let chained = open.chained;
            let opened = open.block.call.name.clone();
            self.push(Node::Block(open.block));
            if chained {
                continue;
            }
            if opened != name {
                let (opened, name) = (shortened(&opened), shortened(name));
                return wrong(at, format!("{{{{#{opened}}}}} is closed by {{{{/{name}}}}}"));
            }
            return Ok(());
        }
    }
}
