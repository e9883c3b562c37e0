use std::sync::Arc;

use super::super::ast::{Arguments, Expr, Kind};
use super::super::error::Result;
use super::super::lexer::Token;
use super::stream::Parser;

const COMPARES: [&str; 6] = ["==", "!=", ">", ">=", "<", "<="];

/// The most levels of any of `parts`.
fn deepest<'e>(parts: impl IntoIterator<Item = &'e Expr>) -> usize {
    parts.into_iter().map(|part| part.depth).max().unwrap_or(0)
}

impl Arguments {
    fn depth(&self) -> usize {
        let named = self.named.iter().map(|(_, value)| value);
        deepest(self.positional.iter().chain(named).chain(&self.star).chain(&self.double_star))
    }
}

impl Parser {
    /// An expression, `a if b else c` included.
    pub fn expression(&mut self) -> Result<Expr> {
        self.deeper(|parser| {
            let mut then = parser.or()?;
            while parser.skip_name("if") {
                let test = parser.or()?;
                let otherwise = if parser.skip_name("else") { Some(parser.expression()?) } else { None };
                let depth = deepest([&then, &test].into_iter().chain(&otherwise));
                let kind = Kind::If { test: Box::new(test), then: Box::new(then), otherwise: otherwise.map(Box::new) };
                then = parser.node(kind, depth)?;
            }
            Ok(then)
        })
    }

    /// An expression without `if`.
    pub fn plain(&mut self) -> Result<Expr> {
        self.deeper(Self::or)
    }

    /// One expression, or several with commas between them as a tuple; `plain` ones have no `if`, and it ends before the words `until`.
    pub fn tuple(&mut self, plain: bool, until: &[&str], bracketed: bool) -> Result<Expr> {
        let mut parts = Vec::new();
        let mut is_tuple = false;
        loop {
            if !parts.is_empty() {
                if !self.skip_op(",") {
                    break;
                }
                is_tuple = true;
            }
            let ends = matches!(self.peek(), Token::PrintEnd | Token::BlockEnd | Token::End) || self.is_op(")");
            if ends || until.iter().any(|word| self.is_name(word)) {
                break;
            }
            parts.push(if plain { self.plain()? } else { self.expression()? });
        }
        if !is_tuple {
            if let Some(one) = parts.pop() {
                return Ok(one);
            }
            if !bracketed {
                return self.fail(format!("Expected an expression, got {}", self.shown()));
            }
        }
        let depth = deepest(&parts);
        self.node(Kind::Tuple(parts), depth)
    }

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            let depth = deepest([&left, &right]);
            left = self.node(Kind::Or(Box::new(left), Box::new(right)), depth)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            let depth = deepest([&left, &right]);
            left = self.node(Kind::And(Box::new(left), Box::new(right)), depth)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr> {
        if !self.skip_name("not") {
            return self.compare();
        }
        let inner = self.deeper(Self::not)?;
        let depth = inner.depth;
        self.node(Kind::Not(Box::new(inner)), depth)
    }

    fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut others = Vec::new();
        loop {
            let op = match self.peek() {
                Token::Op(op) => COMPARES.into_iter().find(|known| known == op),
                Token::Name(name) if **name == *"in" => Some("in"),
                Token::Name(name) if **name == *"not" && matches!(self.look(), Token::Name(name) if **name == *"in") => {
                    self.next();
                    Some("not in")
                }
                _ => None,
            };
            let Some(op) = op else { break };
            self.next();
            others.push((op, self.sum()?));
        }
        if others.is_empty() {
            return Ok(first);
        }
        let depth = deepest(others.iter().map(|(_, other)| other).chain([&first]));
        self.node(Kind::Compare(Box::new(first), others), depth)
    }

    /// Terms of one precedence, from the left.
    fn chain(&mut self, operators: &[&'static str], term: fn(&mut Self) -> Result<Expr>) -> Result<Expr> {
        let mut left = term(self)?;
        loop {
            let Some(op) = operators.iter().find(|op| self.is_op(op)) else { return Ok(left) };
            self.next();
            let right = term(self)?;
            let depth = deepest([&left, &right]);
            left = self.node(Kind::Arithmetic(op, Box::new(left), Box::new(right)), depth)?;
        }
    }

    fn sum(&mut self) -> Result<Expr> {
        self.chain(&["+", "-"], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        let depth = deepest(&parts);
        self.node(Kind::Concat(parts), depth)
    }

    fn product(&mut self) -> Result<Expr> {
        self.chain(&["*", "/", "//", "%"], Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.chain(&["**"], |parser| parser.unary(true))
    }

    fn unary(&mut self, filtered: bool) -> Result<Expr> {
        let sign = ["-", "+"].into_iter().find(|sign| self.is_op(sign));
        let node = match sign {
            Some(sign) => {
                self.next();
                let inner = self.deeper(|parser| parser.unary(false))?;
                let depth = inner.depth;
                let inner = Box::new(inner);
                self.node(if sign == "-" { Kind::Negative(inner) } else { Kind::Positive(inner) }, depth)?
            }
            None => self.primary()?,
        };
        let node = self.postfix(node)?;
        if filtered { self.filtered(node) } else { Ok(node) }
    }

    fn primary(&mut self) -> Result<Expr> {
        let kind = match self.peek().clone() {
            Token::Name(name) => match &*name {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::None,
                _ => {
                    for (named, special) in self.named.iter_mut().zip(["varargs", "kwargs", "caller"]) {
                        *named |= *name == *special;
                    }
                    Kind::Name(name)
                }
            },
            Token::Text(first) => {
                let mut whole = first.to_string();
                while let Token::Text(more) = self.look() {
                    whole.push_str(more);
                    self.next();
                }
                Kind::Text(whole.into())
            }
            Token::Int(n) => Kind::Int(n),
            Token::Float(x) => Kind::Float(x),
            Token::Op("(") => {
                self.next();
                let inner = self.deeper(|parser| parser.tuple(false, &[], true))?;
                self.expect_op(")")?;
                return Ok(inner);
            }
            Token::Op("[") => return self.list(),
            Token::Op("{") => return self.dict(),
            _ => return self.fail(format!("unexpected {}", self.shown())),
        };
        self.next();
        self.node(kind, 0)
    }

    fn list(&mut self) -> Result<Expr> {
        self.next();
        let mut parts = Vec::new();
        while !self.skip_op("]") {
            if !parts.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("]") {
                    break;
                }
            }
            parts.push(self.expression()?);
        }
        let depth = deepest(&parts);
        self.node(Kind::List(parts), depth)
    }

    fn dict(&mut self) -> Result<Expr> {
        self.next();
        let mut parts: Vec<(Expr, Expr)> = Vec::new();
        while !self.skip_op("}") {
            if !parts.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_op(":")?;
            parts.push((key, self.expression()?));
        }
        let depth = deepest(parts.iter().flat_map(|(key, value)| [key, value]));
        self.node(Kind::Dict(parts), depth)
    }

    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            node = if self.is_op(".") || self.is_op("[") {
                self.subscript(node)?
            } else if self.is_op("(") {
                self.call(node)?
            } else {
                return Ok(node);
            };
        }
    }

    /// The call of `callee`.
    pub fn call(&mut self, callee: Expr) -> Result<Expr> {
        let arguments = self.arguments()?;
        let depth = callee.depth.max(arguments.depth());
        self.node(Kind::Call(Box::new(callee), Box::new(arguments)), depth)
    }

    fn subscript(&mut self, node: Expr) -> Result<Expr> {
        let depth = node.depth;
        if self.skip_op(".") {
            let kind = match self.next() {
                Token::Name(name) => Kind::Attribute(Box::new(node), name),
                Token::Int(n) => Kind::Item(Box::new(node), Box::new(self.node(Kind::Int(n), 0)?)),
                _ => return self.fail("expected name or number"),
            };
            return self.node(kind, depth);
        }
        self.expect_op("[")?;
        let mut parts: [Option<Box<Expr>>; 3] = [None, None, None];
        let (mut at, mut depth) = (0, depth);
        loop {
            if self.is_op("]") {
                break;
            }
            if self.is_op(":") {
                at += 1;
                if at > 2 {
                    return self.fail("expected ']', got ':'");
                }
                self.next();
                continue;
            }
            if parts[at].is_some() {
                return self.fail(format!("expected ']', got {}", self.shown()));
            }
            let part = self.expression()?;
            depth = depth.max(part.depth);
            parts[at] = Some(Box::new(part));
        }
        self.expect_op("]")?;
        let kind = match (at, parts) {
            (0, [Some(index), ..]) => Kind::Item(Box::new(node), index),
            (0, _) => return self.fail("expected an expression in the brackets"),
            (_, parts) => Kind::Slice(Box::new(node), parts),
        };
        self.node(kind, depth)
    }

    fn filtered(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            node = if self.skip_op("|") {
                self.filter(node)?
            } else if self.is_name("is") {
                self.test(node)?
            } else if self.is_op("(") {
                self.call(node)?
            } else {
                return Ok(node);
            };
        }
    }

    fn dotted(&mut self) -> Result<Arc<str>> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_op(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(name.into())
    }

    /// The filter that is named next, of `node`.
    pub fn filter(&mut self, node: Expr) -> Result<Expr> {
        let name = self.dotted()?;
        let arguments = if self.is_op("(") { self.arguments()? } else { Arguments::default() };
        let depth = node.depth.max(arguments.depth());
        self.node(Kind::Filter(Box::new(node), name, Box::new(arguments)), depth)
    }

    fn test(&mut self, node: Expr) -> Result<Expr> {
        self.next();
        let negated = self.skip_name("not");
        let name = self.dotted()?;
        let mut arguments = Arguments::default();
        let begins = match self.peek() {
            Token::Name(word) => !["else", "or", "and"].contains(&&**word),
            Token::Text(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => true,
            _ => false,
        };
        if self.is_op("(") {
            arguments = self.arguments()?;
        } else if begins {
            if self.is_name("is") {
                return self.fail("You cannot chain multiple tests with is");
            }
            let argument = self.primary()?;
            arguments.positional.push(self.postfix(argument)?);
        }
        let depth = node.depth.max(arguments.depth());
        let tested = self.node(Kind::Test(Box::new(node), name, Box::new(arguments)), depth)?;
        let depth = tested.depth;
        if negated { self.node(Kind::Not(Box::new(tested)), depth) } else { Ok(tested) }
    }

    fn arguments(&mut self) -> Result<Arguments> {
        self.deeper(|parser| {
            parser.expect_op("(")?;
            let mut arguments = Arguments::default();
            let mut first = true;
            while !parser.is_op(")") {
                if !first {
                    parser.expect_op(",")?;
                    if parser.is_op(")") {
                        break;
                    }
                }
                first = false;
                let is_late = arguments.double_star.is_some();
                if parser.skip_op("**") {
                    arguments.double_star = Some(parser.expression()?);
                } else if parser.skip_op("*") {
                    arguments.star = Some(parser.expression()?);
                } else if let (Token::Name(name), Token::Op("=")) = (parser.peek().clone(), parser.look()) {
                    parser.next();
                    parser.next();
                    let value = parser.expression()?;
                    arguments.named.push((name, value));
                } else {
                    if is_late || arguments.star.is_some() || !arguments.named.is_empty() {
                        return parser.fail("invalid syntax for function call expression");
                    }
                    arguments.positional.push(parser.expression()?);
                }
            }
            parser.expect_op(")")?;
            Ok(arguments)
        })
    }
}
