use std::sync::Arc;

use super::super::ast::{Expr, Kind};
use super::super::error::{Error, Result};
use super::super::lexer::Token;
use super::super::meter::{MAX_EXPRESSION, MAX_NESTING};

/// The tokens that are left, and how deep in brackets and blocks they stand.
pub struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    nesting: usize,
    /// Whether `varargs`, `kwargs` and `caller` were named since this was last cleared.
    pub named: [bool; 3],
    /// Whether each enclosing `for` is one that `break` may leave: a macro's body is in none.
    pub in_loop: bool,
}

impl Parser {
    /// At the first of `tokens`, the last of which is [`Token::End`].
    pub fn new(tokens: Vec<(usize, Token)>) -> Self {
        Self { tokens, at: 0, nesting: 0, named: [false; 3], in_loop: false }
    }

    /// The line of the next token.
    pub fn line(&self) -> usize {
        self.tokens[self.at].0
    }

    pub fn peek(&self) -> &Token {
        &self.tokens[self.at].1
    }

    /// The token after the next one.
    pub fn look(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].1
    }

    pub fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub fn fail<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::new(what).at(self.line()))
    }

    pub fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Token::Op(here) if *here == op)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(here) if **here == *name)
    }

    /// Moves past `op` if it is next.
    pub fn skip_op(&mut self, op: &str) -> bool {
        let here = self.is_op(op);
        if here {
            self.next();
        }
        here
    }

    /// Moves past the word `name` if it is next.
    pub fn skip_name(&mut self, name: &str) -> bool {
        let here = self.is_name(name);
        if here {
            self.next();
        }
        here
    }

    pub fn expect_op(&mut self, op: &str) -> Result<()> {
        if self.skip_op(op) { Ok(()) } else { self.fail(format!("expected token '{op}', got {}", self.shown())) }
    }

    pub fn expect_name(&mut self) -> Result<Arc<str>> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.next();
                Ok(name)
            }
            _ => self.fail(format!("expected a name, got {}", self.shown())),
        }
    }

    pub fn expect(&mut self, token: &Token, words: &str) -> Result<()> {
        if self.peek() == token {
            self.next();
            return Ok(());
        }
        self.fail(format!("expected {words}, got {}", self.shown()))
    }

    /// The next token in words.
    pub fn shown(&self) -> String {
        match self.peek() {
            Token::Data(_) => "text".into(),
            Token::BlockBegin | Token::PrintBegin => "the beginning of a tag".into(),
            Token::BlockEnd => "end of statement block".into(),
            Token::PrintEnd => "end of print statement".into(),
            Token::Name(name) => format!("'{name}'"),
            Token::Text(_) => "a quotation".into(),
            Token::Int(_) | Token::Float(_) => "a number".into(),
            Token::Op(op) => format!("'{op}'"),
            Token::End => "end of template".into(),
        }
    }

    /// `parse` one level deeper.
    pub fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting == MAX_NESTING {
            return self.fail(format!("brackets and blocks are nested more than {MAX_NESTING} deep"));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// An expression whose parts have `depth` levels.
    pub fn node(&self, kind: Kind, depth: usize) -> Result<Expr> {
        if depth >= MAX_EXPRESSION {
            return self.fail(format!("an expression has more than {MAX_EXPRESSION} terms or links within each other"));
        }
        Ok(Expr { kind, depth: depth + 1 })
    }
}
