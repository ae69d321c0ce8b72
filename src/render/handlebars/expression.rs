//! PURE · what stands between the braces of a tag → a call, a path or a literal.

use std::iter::Peekable;
use std::str::CharIndices;

use super::Said;
use serde_json::{Number, Value};

/// Deeper than any formula that people read, shallower than any stack.
const MAX_BRACKETS: usize = 32;

/// What has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// `"text"`, `5`, `true`, `null`.
    Literal(Value),
    /// `a.b`.
    Path(Path),
    /// `helper a b`.
    Call(Call),
}

/// A helper or block with what it is given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Expression>,
    /// `name=value`.
    pub(super) named: Vec<(String, Expression)>,
}

/// The name of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// As written.
    pub(super) text: String,
    pub(super) from: From,
    pub(super) parts: Vec<String>,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// `this`, so many blocks further out.
    Here(usize),
    /// `@root`.
    Root,
    /// `@key` and the like, so many `each` further out.
    Local(usize),
}

type Parsed<T> = Result<T, Said>;

/// The first word with what follows it. A lone word is a path: helpers without arguments do not exist.
pub(super) fn parse(text: &str) -> Parsed<Expression> {
    let mut reader = Reader { text, chars: text.char_indices().peekable(), depth: 0 };
    let expression = reader.head(None)?;
    match reader.next_token()? {
        None => Ok(expression),
        Some(token) => Err(format!("{} is not expected here", token.name()).into()),
    }
}

/// A block or partial: its name is a name whatever follows.
pub(super) fn parse_call(text: &str) -> Parsed<Call> {
    let mut reader = Reader { text, chars: text.char_indices().peekable(), depth: 0 };
    match reader.next_token()? {
        Some(Token::Word(name) | Token::Text(name)) => reader.arguments(name, None),
        _ => Err("a name is expected here".into()),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Equals,
    Word(String),
    Text(String),
}

impl Token {
    fn name(&self) -> String {
        match self {
            Self::Open => "\"(\"".into(),
            Self::Close => "\")\"".into(),
            Self::Equals => "\"=\"".into(),
            Self::Word(word) => format!("{:?}", shortened(word)),
            // Never repeated: it may be a secret.
            Self::Text(_) => "quoted text".into(),
        }
    }
}

/// At most 80 characters of a name, for people.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

struct Reader<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
    depth: usize,
}

impl Reader<'_> {
    /// A path, or a name with arguments, up to `until`.
    fn head(&mut self, until: Option<&Token>) -> Parsed<Expression> {
        let first = match self.next_token()? {
            Some(Token::Word(word)) => word,
            Some(Token::Open) => {
                let inner = self.brackets()?;
                return self.ended(until).map(|()| inner);
            }
            Some(token) => return Err(format!("{} is no name of a variable", token.name()).into()),
            None => return Err("a name is missing between the braces".into()),
        };
        let call = self.arguments(first, until)?;
        if call.arguments.is_empty() && call.named.is_empty() {
            return path(&call.name).map(Expression::Path);
        }
        Ok(Expression::Call(call))
    }

    fn ended(&mut self, until: Option<&Token>) -> Parsed<()> {
        match (self.next_token()?, until) {
            (None, None) => Ok(()),
            (Some(token), Some(wanted)) if token == *wanted => Ok(()),
            (Some(token), _) => Err(format!("{} is not expected here", token.name()).into()),
            (None, Some(_)) => Err("a \"(\" is not closed".into()),
        }
    }

    fn brackets(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > MAX_BRACKETS {
            return Err(Said::too_much(format!("brackets are nested deeper than {MAX_BRACKETS}")));
        }
        let inner = self.head(Some(&Token::Close))?;
        self.depth -= 1;
        Ok(inner)
    }

    fn arguments(&mut self, name: String, until: Option<&Token>) -> Parsed<Call> {
        let mut call = Call { name, arguments: Vec::new(), named: Vec::new() };
        loop {
            let token = match self.next_token()? {
                None if until.is_none() => return Ok(call),
                None => return Err("a \"(\" is not closed".into()),
                Some(token) if Some(&token) == until => return Ok(call),
                Some(token) => token,
            };
            if let Token::Word(word) = &token
                && self.chars.peek().is_some_and(|(_, c)| *c == '=')
            {
                self.chars.next();
                let Some(token) = self.next_token()? else {
                    return Err("a value is missing after \"=\"".into());
                };
                let value = self.value(token)?;
                if call.named.iter().any(|(name, _)| name == word) {
                    return Err(format!("{}= comes twice", shortened(word)).into());
                }
                call.named.push((word.clone(), value));
                continue;
            }
            let value = self.value(token)?;
            call.arguments.push(value);
        }
    }

    fn value(&mut self, token: Token) -> Parsed<Expression> {
        match token {
            Token::Text(text) => Ok(Expression::Literal(Value::from(text))),
            Token::Open => self.brackets(),
            Token::Word(word) => match literal(&word) {
                Some(value) => Ok(Expression::Literal(value)),
                None if word == "as" => Err("block parameters (as |x|) are not allowed".into()),
                None => path(&word).map(Expression::Path),
            },
            token @ (Token::Close | Token::Equals) => {
                Err(format!("{} is not expected here", token.name()).into())
            }
        }
    }

    fn next_token(&mut self) -> Parsed<Option<Token>> {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, first)) = self.chars.next() else { return Ok(None) };
        let token = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            '=' => Token::Equals,
            '"' | '\'' => Token::Text(self.quoted(first)?),
            c if word_char(c) || c == '[' => Token::Word(self.word(start, first)?),
            c => return Err(format!("the character {c:?} is not expected here").into()),
        };
        Ok(Some(token))
    }

    fn word(&mut self, start: usize, first: char) -> Parsed<String> {
        let mut inside = first == '[';
        let mut end = start + first.len_utf8();
        while let Some((index, c)) =
            self.chars.next_if(|(_, c)| inside || word_char(*c) || *c == '[')
        {
            inside = (inside || c == '[') && c != ']';
            end = index + c.len_utf8();
        }
        if inside {
            return Err("a \"[\" is not closed".into());
        }
        Ok(self.text.get(start..end).unwrap_or_default().to_owned())
    }

    fn quoted(&mut self, quote: char) -> Parsed<String> {
        let mut out = String::new();
        while let Some((_, c)) = self.chars.next() {
            match c {
                c if c == quote => return Ok(out),
                '\\' => out.push(self.escaped()?),
                c => out.push(c),
            }
        }
        Err("a quote is not closed".into())
    }

    fn escaped(&mut self) -> Parsed<char> {
        let c = self.chars.next().map(|(_, c)| c);
        Ok(match c {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\'' | '\\' | '/')) => c,
            Some('u') => {
                let mut code = 0;
                for _ in 0..4 {
                    let digit = self.chars.next().and_then(|(_, c)| c.to_digit(16));
                    code = code * 16 + digit.ok_or("\\u takes four hexadecimal digits")?;
                }
                char::from_u32(code).ok_or("\\u names half a character; write the character")?
            }
            _ => {
                return Err("unknown escape in quoted text; there are \\\" \\' \\\\ \\n \\t".into());
            }
        })
    }
}

fn word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_$:./@]".contains(c) || !c.is_ascii()
}

fn literal(word: &str) -> Option<Value> {
    match word {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        "null" => return Some(Value::Null),
        _ => {}
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.bytes().next()?.is_ascii_digit()
        || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        return None;
    }
    word.parse::<i64>()
        .map(Value::from)
        .ok()
        .or_else(|| word.parse().ok().and_then(Number::from_f64).map(Value::Number))
}

/// `../a.b`, `this`, `@root.a`, `@key`, `a.[odd name]`, `a/b`.
fn path(word: &str) -> Parsed<Path> {
    let text = shortened(word);
    let mut rest = word;
    let mut from = From::Here(0);
    if let Some(local) = rest.strip_prefix('@') {
        if let Some(below) = local.strip_prefix("root")
            && (below.is_empty() || below.starts_with(['.', '/']))
        {
            rest = below.get(1..).unwrap_or_default();
            from = From::Root;
        } else {
            rest = local;
            from = From::Local(0);
        }
    }
    while let Some(outer) = rest.strip_prefix("..") {
        rest = match outer.strip_prefix('/') {
            Some(outer) => outer,
            None if outer.is_empty() => "",
            None => return Err(format!("{text:?} is no name; .. is followed by /").into()),
        };
        match &mut from {
            From::Here(up) | From::Local(up) => *up += 1,
            From::Root => return Err(format!("{text:?} is no name: nothing is above @root").into()),
        }
    }
    let mut parts = Vec::new();
    let mut first = true;
    while !rest.is_empty() {
        let part = if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']').ok_or("a \"[\" is not closed")?;
            rest = inside.get(end + 1..).unwrap_or_default();
            inside.get(..end).unwrap_or_default()
        } else {
            let end = rest.find(['.', '/', '[']).unwrap_or(rest.len());
            let part = rest.get(..end).unwrap_or_default();
            rest = rest.get(end..).unwrap_or_default();
            // `this.a`, `./a` and `.` say that the search begins here.
            if first && matches!(part, "this" | "") {
                first = false;
                rest = rest.strip_prefix(['.', '/']).unwrap_or(rest);
                continue;
            }
            if part.is_empty() || part.contains(['@', ']']) {
                return Err(format!("{text:?} is no name of a variable").into());
            }
            part
        };
        first = false;
        parts.push(part.to_owned());
        match rest.strip_prefix(['.', '/']) {
            Some("") => return Err(format!("{text:?} is no name of a variable").into()),
            Some(below) => rest = below,
            None if rest.is_empty() || rest.starts_with('[') => {}
            None => return Err(format!("{text:?} is no name of a variable").into()),
        }
    }
    Ok(Path { text, from, parts })
}
