//! A template as a tree.

use std::sync::Arc;

/// An expression, and how many levels it has.
#[derive(Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Levels, itself included.
    pub depth: usize,
}

/// What an expression is.
#[derive(Debug)]
pub enum Kind {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Arithmetic(&'static str, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    /// `then if test else otherwise`.
    If {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    Attribute(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Box<Arguments>),
    Filter(Box<Expr>, Arc<str>, Box<Arguments>),
    Test(Box<Expr>, Arc<str>, Box<Arguments>),
    /// What stands before the filters of a block.
    Block,
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(Arc<str>, Expr)>,
    pub star: Option<Expr>,
    pub double_star: Option<Expr>,
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Arc<str>),
    Tuple(Vec<Target>),
    /// A member of a namespace.
    Member(Arc<str>, Arc<str>),
}

/// A statement and its line.
#[derive(Debug)]
pub struct Stmt {
    pub line: usize,
    pub kind: Does,
}

/// What a statement does.
#[derive(Debug)]
pub enum Does {
    Text(String),
    Print(Expr),
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(Arc<Loop>),
    Set(Target, Expr),
    /// A target, a body, and filters of what it writes.
    SetBlock(Target, Vec<Stmt>, Option<Expr>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Filter(Expr, Vec<Stmt>),
    Macro(Arc<Macro>),
    /// A call with a body of its own, which the macro knows as `caller`.
    Call(Expr, Arc<Macro>),
    /// A body with names of its own.
    Scope(Vec<Stmt>),
    Break,
    Continue,
    /// What needs another template; there is none.
    Elsewhere(&'static str),
}

/// A `for` loop.
#[derive(Debug)]
pub struct Loop {
    pub target: Target,
    pub over: Expr,
    pub test: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
}

/// A macro, or the body of a call.
#[derive(Debug)]
pub struct Macro {
    pub name: Arc<str>,
    pub parameters: Vec<Arc<str>>,
    /// Of the last parameters.
    pub defaults: Vec<Expr>,
    pub body: Vec<Stmt>,
    /// Whether the body names `varargs`, `kwargs` and `caller`.
    pub takes: [bool; 3],
}
