//! A template's source as tokens, as Jinja cuts it with `trim_blocks` and `lstrip_blocks`.

use std::sync::Arc;

use super::error::{Error, Result};
use super::literal;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Text outside of tags.
    Data(String),
    BlockBegin,
    BlockEnd,
    PrintBegin,
    PrintEnd,
    Name(Arc<str>),
    Text(Arc<str>),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

/// Longest first.
const OPERATORS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|",
    ",", ";", "!",
];

/// What Python's `str.isspace` and `\s` hold for white space.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Whether what was read last ended a line.
    line_starts: bool,
    tokens: Vec<(usize, Token)>,
}

/// The tokens of `source` and their lines.
pub fn tokens(source: &str) -> Result<Vec<(usize, Token)>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { rest: source, line: 1, line_starts: true, tokens: Vec::new() };
    lexer.root()?;
    let line = lexer.line;
    lexer.tokens.push((line, Token::End));
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    /// Moves past `n` bytes and gives them.
    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        if !taken.is_empty() {
            self.line_starts = taken.ends_with('\n');
        }
        taken
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((self.line, token));
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::new(what).at(self.line))
    }

    fn skip_space(&mut self) {
        let n = self.rest.len() - self.rest.trim_start_matches(is_space).len();
        self.take(n);
    }

    /// Pushes `text`, which stands before a tag with `sign`.
    fn data(&mut self, text: &str, sign: &str, is_print: bool, line_starts: bool) {
        let kept = match sign {
            "-" => text.trim_end_matches(is_space),
            "+" => text,
            _ if is_print => text,
            _ => {
                let begins = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = !text[begins..].is_empty() && text[begins..].chars().all(is_space);
                if blank && (begins > 0 || line_starts) { &text[..begins] } else { text }
            }
        };
        if !kept.is_empty() {
            self.push(Token::Data(kept.into()));
        }
    }

    fn root(&mut self) -> Result<()> {
        while !self.rest.is_empty() {
            let is_tag = |(at, _): &(usize, &str)| matches!(self.rest.as_bytes().get(at + 1), Some(b'%' | b'#' | b'{'));
            let Some((at, _)) = self.rest.match_indices('{').find(is_tag) else {
                let text = self.take(self.rest.len());
                self.push(Token::Data(text.into()));
                return Ok(());
            };
            let line_starts = self.line_starts;
            let (tag, after) = (&self.rest[at..at + 2], &self.rest[at + 2..]);
            let sign = if after.starts_with(['-', '+']) { &after[..1] } else { "" };
            let raw = if tag == "{%" { after[sign.len()..].trim_start_matches(is_space).strip_prefix("raw") } else { None };
            let raw = raw
                .map(|rest| rest.trim_start_matches(is_space))
                .filter(|rest| rest.starts_with("-%}") || rest.starts_with("%}"));
            let text = &self.rest[..at];
            self.data(text, sign, tag == "{{", line_starts);
            if let Some(rest) = raw {
                let n = self.rest.len() - rest.len();
                self.take(n);
                self.ends(&[("-%}", true), ("%}", false)], false);
                self.raw()?;
                continue;
            }
            self.take(at + 2 + sign.len());
            match tag {
                "{%" => self.tag(Token::BlockBegin, Token::BlockEnd)?,
                "{{" => self.tag(Token::PrintBegin, Token::PrintEnd)?,
                _ => {
                    let Some(end) = self.rest.find("#}") else { return self.error("Missing end of comment tag") };
                    let signed = self.rest[..end].ends_with(['-', '+']);
                    self.take(end - usize::from(signed));
                    self.ends(&[("+#}", false), ("-#}", true), ("#}", false)], true);
                }
            }
        }
        Ok(())
    }

    /// Moves past the first of `ends` that is here and the white space (or, if `trims` and it has no sign, the end of line) behind it.
    fn ends(&mut self, ends: &[(&str, bool)], trims: bool) -> bool {
        let Some((end, strips)) = ends.iter().find(|(end, _)| self.rest.starts_with(end)) else { return false };
        self.take(end.len());
        if *strips {
            self.skip_space();
        } else if trims && !end.starts_with('+') && self.rest.starts_with('\n') {
            self.take(1);
        }
        true
    }

    /// Text up to `{% endraw %}`.
    fn raw(&mut self) -> Result<()> {
        let line_starts = self.line_starts;
        for (at, _) in self.rest.match_indices("{%") {
            let after = &self.rest[at + 2..];
            let sign = if after.starts_with(['-', '+']) { &after[..1] } else { "" };
            let Some(rest) = after[sign.len()..].trim_start_matches(is_space).strip_prefix("endraw") else { continue };
            let rest = rest.trim_start_matches(is_space);
            if !["+%}", "-%}", "%}"].iter().any(|end| rest.starts_with(end)) {
                continue;
            }
            let text = &self.rest[..at];
            self.data(text, sign, false, line_starts);
            let n = self.rest.len() - rest.len();
            self.take(n);
            self.ends(&[("+%}", false), ("-%}", true), ("%}", false)], true);
            return Ok(());
        }
        self.error("Missing end of raw directive")
    }

    /// What stands in a tag.
    fn tag(&mut self, begin: Token, end: Token) -> Result<()> {
        self.push(begin);
        let mut open: Vec<&str> = Vec::new();
        loop {
            if open.is_empty() {
                let here = match end {
                    Token::BlockEnd => ["+%}", "-%}", "%}"].iter().any(|end| self.rest.starts_with(end)),
                    _ => ["-}}", "}}"].iter().any(|end| self.rest.starts_with(end)),
                };
                if here {
                    self.push(end.clone());
                    match end {
                        Token::BlockEnd => self.ends(&[("+%}", false), ("-%}", true), ("%}", false)], true),
                        _ => self.ends(&[("-}}", true), ("}}", false)], false),
                    };
                    return Ok(());
                }
            }
            let Some(first) = self.rest.chars().next() else {
                return self.error("unexpected end of template in a tag; it is not closed");
            };
            if is_space(first) {
                self.skip_space();
            } else if first.is_ascii_digit() {
                let (number, n) = literal::number(self.rest).map_err(|error| error.at(self.line))?;
                self.push(match number {
                    literal::Number::Int(n) => Token::Int(n),
                    literal::Number::Float(x) => Token::Float(x),
                });
                self.take(n);
            } else if first.is_alphanumeric() || first == '_' {
                let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
                let name = &self.rest[..end];
                self.push(Token::Name(name.into()));
                self.take(end);
            } else if first == '\'' || first == '"' {
                let Some(n) = literal::quoted(self.rest) else { return self.error("a quotation is not closed") };
                let text = literal::unescaped(&self.rest[1..n - 1]).map_err(|error| error.at(self.line))?;
                self.push(Token::Text(text.into()));
                self.take(n);
            } else {
                let Some(op) = OPERATORS.iter().find(|op| self.rest.starts_with(**op)) else {
                    return self.error(format!("unexpected char {first:?}"));
                };
                match *op {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" if open.pop() != Some(*op) => return self.error(format!("unexpected '{op}'")),
                    _ => {}
                }
                self.push(Token::Op(op));
                self.take(op.len());
            }
        }
    }
}
