use std::sync::Arc;

use super::super::ast::{Does, Expr, Kind, Loop, Macro, Stmt, Target};
use super::super::error::Result;
use super::super::lexer::{Token, tokens};
use super::stream::Parser;

/// The statements of a template.
pub fn parse(source: &str) -> Result<Vec<Stmt>> {
    let mut parser = Parser::new(tokens(source)?);
    let (body, end) = parser.body(&[])?;
    match end {
        None => Ok(body),
        Some(word) => parser.fail(format!("Encountered unknown tag '{word}'")),
    }
}

impl Parser {
    /// Statements up to a tag that begins with one of `ends`, which is passed; or up to the end of the template.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Stmt>, Option<Arc<str>>)> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                Token::Data(text) => body.push(Stmt { line, kind: Does::Text(text) }),
                Token::PrintBegin => {
                    let shown = self.tuple(false, &[], false)?;
                    self.expect(&Token::PrintEnd, "end of print statement")?;
                    body.push(Stmt { line, kind: Does::Print(shown) });
                }
                Token::BlockBegin => {
                    let Token::Name(word) = self.peek().clone() else { return self.fail("tag name expected") };
                    self.next();
                    if ends.contains(&&*word) {
                        return Ok((body, Some(word)));
                    }
                    let kind = self.deeper(|parser| parser.statement(&word))?;
                    self.expect(&Token::BlockEnd, "end of statement block")?;
                    body.push(Stmt { line, kind });
                }
                Token::End if ends.is_empty() => return Ok((body, None)),
                Token::End => {
                    return self.fail(format!("Unexpected end of template: looking for {}", ends.join(" or ")));
                }
                _ => return self.fail("unexpected token"),
            }
        }
    }

    /// Passes the end of a tag and gives the body behind it, and the word at which it ends.
    fn inner(&mut self, ends: &[&str]) -> Result<(Vec<Stmt>, Arc<str>)> {
        self.skip_op(":");
        self.expect(&Token::BlockEnd, "end of statement block")?;
        let (body, end) = self.body(ends)?;
        Ok((body, end.unwrap_or_else(|| "".into())))
    }

    fn statement(&mut self, word: &str) -> Result<Does> {
        Ok(match word {
            "if" => self.conditional()?,
            "for" => self.repeated()?,
            "set" => self.set()?,
            "with" => {
                let mut bound = Vec::new();
                while *self.peek() != Token::BlockEnd {
                    if !bound.is_empty() {
                        self.expect_op(",")?;
                    }
                    let target = self.target(false)?;
                    self.expect_op("=")?;
                    bound.push((target, self.expression()?));
                }
                Does::With(bound, self.inner(&["endwith"])?.0)
            }
            "filter" => {
                let block = self.node(Kind::Block, 0)?;
                let filters = self.block_filters(block)?;
                Does::Filter(filters, self.inner(&["endfilter"])?.0)
            }
            "macro" => {
                let name = self.expect_name()?;
                let (parameters, defaults) = self.signature()?;
                Does::Macro(self.function(name, parameters, defaults, &["endmacro"])?)
            }
            "call" => {
                let (parameters, defaults) = if self.is_op("(") { self.signature()? } else { Default::default() };
                let call = self.plain()?;
                if !matches!(call.kind, Kind::Call(..)) {
                    return self.fail("expected call");
                }
                Does::Call(call, self.function("caller".into(), parameters, defaults, &["endcall"])?)
            }
            // what the model says, marked for training; it is written whatever a caller asks
            "generation" => Does::Scope(self.apart(&["endgeneration"])?),
            "block" => {
                let name = self.expect_name()?;
                while self.skip_name("scoped") || self.skip_name("required") {}
                let body = self.apart(&["endblock"])?;
                if !self.skip_name(&name) && *self.peek() != Token::BlockEnd {
                    return self.fail("the block ends by another name");
                }
                Does::Scope(body)
            }
            "autoescape" => {
                let on = self.expression()?;
                if !matches!(on.kind, Kind::Bool(false)) {
                    return self.fail("autoescape is not known here");
                }
                Does::Scope(self.inner(&["endautoescape"])?.0)
            }
            "print" => {
                let shown = self.tuple(false, &[], false)?;
                match shown {
                    Expr { kind: Kind::Tuple(parts), depth } => Does::Print(Expr { kind: Kind::Concat(parts), depth }),
                    one => Does::Print(one),
                }
            }
            "break" | "continue" => {
                if !self.in_loop {
                    return self.fail(format!("'{word}' outside loop"));
                }
                if word == "break" { Does::Break } else { Does::Continue }
            }
            "include" | "import" | "from" | "extends" => {
                while !matches!(self.peek(), Token::BlockEnd | Token::End) {
                    self.next();
                }
                let known = ["include", "import", "from", "extends"].into_iter().find(|known| *known == word);
                Does::Elsewhere(known.unwrap_or_default())
            }
            _ => return self.fail(format!("Encountered unknown tag '{word}'")),
        })
    }

    /// A body that `break` cannot leave.
    fn apart(&mut self, ends: &[&str]) -> Result<Vec<Stmt>> {
        let around = std::mem::replace(&mut self.in_loop, false);
        let body = self.inner(ends);
        self.in_loop = around;
        Ok(body?.0)
    }

    fn conditional(&mut self) -> Result<Does> {
        let mut branches = Vec::new();
        loop {
            let test = self.tuple(true, &[], false)?;
            let (body, end) = self.inner(&["elif", "else", "endif"])?;
            branches.push((test, body));
            match &*end {
                "elif" => {}
                "else" => return Ok(Does::If(branches, self.inner(&["endif"])?.0)),
                _ => return Ok(Does::If(branches, Vec::new())),
            }
        }
    }

    fn repeated(&mut self) -> Result<Does> {
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return self.fail(format!("expected token 'in', got {}", self.shown()));
        }
        let over = self.tuple(true, &["recursive", "if"], false)?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let around = std::mem::replace(&mut self.in_loop, true);
        let inner = self.inner(&["else", "endfor"]);
        self.in_loop = around;
        let (body, end) = inner?;
        let otherwise = if &*end == "else" { self.inner(&["endfor"])?.0 } else { Vec::new() };
        Ok(Does::For(Arc::new(Loop { target, over, test, recursive, body, otherwise })))
    }

    fn set(&mut self) -> Result<Does> {
        let target = self.target(true)?;
        if self.skip_op("=") {
            return Ok(Does::Set(target, self.tuple(false, &[], false)?));
        }
        let filters = if self.skip_op("|") {
            let block = self.node(Kind::Block, 0)?;
            Some(self.block_filters(block)?)
        } else {
            None
        };
        Ok(Does::SetBlock(target, self.inner(&["endset"])?.0, filters))
    }

    /// Filters with `|` between them, the first without.
    fn block_filters(&mut self, mut node: Expr) -> Result<Expr> {
        node = self.filter(node)?;
        while self.skip_op("|") {
            node = self.filter(node)?;
        }
        Ok(node)
    }

    /// One target, or several with commas between them.
    fn target(&mut self, member: bool) -> Result<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if !targets.is_empty() {
                if !self.skip_op(",") {
                    break;
                }
                is_tuple = true;
                if self.is_op("=") || self.is_name("in") || self.is_op(")") {
                    break;
                }
            }
            targets.push(self.one_target(member)?);
        }
        Ok(match targets.pop() {
            Some(one) if !is_tuple => one,
            last => {
                targets.extend(last);
                Target::Tuple(targets)
            }
        })
    }

    fn one_target(&mut self, member: bool) -> Result<Target> {
        if self.skip_op("(") {
            let inner = self.deeper(|parser| parser.target(member))?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        let name = self.expect_name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&&*name) {
            return self.fail(format!("can't assign to '{name}'"));
        }
        if member && self.skip_op(".") {
            return Ok(Target::Member(name, self.expect_name()?));
        }
        Ok(Target::Name(name))
    }

    fn signature(&mut self) -> Result<(Vec<Arc<str>>, Vec<Expr>)> {
        self.expect_op("(")?;
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        while !self.is_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            parameters.push(self.expect_name()?);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("non-default argument follows default argument");
            }
        }
        self.expect_op(")")?;
        Ok((parameters, defaults))
    }

    fn function(&mut self, name: Arc<str>, parameters: Vec<Arc<str>>, defaults: Vec<Expr>, ends: &[&str]) -> Result<Arc<Macro>> {
        let around = std::mem::take(&mut self.named);
        let body = self.apart(ends)?;
        let takes = self.named;
        self.named = [0, 1, 2].map(|at| around[at] || takes[at]);
        Ok(Arc::new(Macro { name, parameters, defaults, body, takes }))
    }
}
