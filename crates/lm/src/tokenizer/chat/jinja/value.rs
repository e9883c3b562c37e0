//! What a template computes with: Python's values, as far as templates can make them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Loop, Macro};
use super::error::{Result, fail};
use super::meter::{MAX_VALUE, Meter};

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// What is not there, and the words for it.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// Text; `true` when it is marked as safe for HTML.
    Text(Arc<str>, bool),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    Range(Range),
    /// What `items`, `keys` and `values` of a dictionary give.
    View(Rc<Dict>, View),
    /// What can be walked through once.
    Once(Rc<Once>),
    /// By its place among the namespaces of this rendering.
    Namespace(usize),
    Macro(Rc<Closure>),
    /// A method and what it belongs to.
    Method(Rc<(Value, Arc<str>)>),
    Function(Function),
    Loop(Rc<LoopState>),
    Cycler(Rc<Cycler>),
    Joiner(Rc<(Value, Cell<bool>)>),
}

/// Values in a row, and how many levels there are in them.
#[derive(Debug)]
pub struct Items {
    pub items: Vec<Value>,
    pub depth: usize,
    /// Names of the places, of a tuple that has them.
    pub names: &'static [&'static str],
}

/// Keys and values in the order in which they came.
#[derive(Debug)]
pub struct Dict {
    pub entries: Vec<(Value, Value)>,
    pub depth: usize,
}

/// Whole numbers from `start`, `step` apart, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
    pub len: usize,
}

impl Range {
    pub fn at(&self, index: usize) -> i128 {
        self.start + self.step * index as i128
    }
}

/// Which side of a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Items,
    Keys,
    Values,
}

/// Values that are gone once they are taken.
#[derive(Debug)]
pub struct Once {
    pub left: RefCell<VecDeque<Value>>,
    pub depth: usize,
}

/// Values that are given in turn.
#[derive(Debug)]
pub struct Cycler {
    /// At least one.
    pub items: Vec<Value>,
    pub at: Cell<usize>,
    pub depth: usize,
}

/// A macro and the names around it.
#[derive(Debug)]
pub struct Closure {
    pub code: Arc<Macro>,
    /// Place of the scope in which it was made.
    pub scope: usize,
}

/// What there is beside the filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    RaiseException,
    StrftimeNow,
    /// It is random, and two renderings must be equal.
    Lipsum,
}

/// `loop`.
#[derive(Debug)]
pub struct LoopState {
    pub items: Vec<Value>,
    pub at: Cell<usize>,
    /// Loops of the same body around it.
    pub level: usize,
    pub changed: RefCell<Option<Vec<Value>>>,
    pub code: Arc<Loop>,
    /// Place of the scope around it.
    pub scope: usize,
    pub depth: usize,
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into(), false)
    }

    /// Something that is not there.
    pub fn undefined(what: impl Into<Arc<str>>) -> Self {
        Self::Undefined(what.into())
    }

    /// A list; its values are counted.
    pub fn list(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        Ok(Self::List(Rc::new(Items::new(items, meter)?)))
    }

    /// A tuple; its values are counted.
    pub fn tuple(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        Ok(Self::Tuple(Rc::new(Items::new(items, meter)?)))
    }

    /// What can be walked through once; its values are counted.
    pub fn once(items: Vec<Self>, meter: &Meter) -> Result<Self> {
        meter.values(items.len())?;
        let depth = deeper(items.iter())?;
        Ok(Self::Once(Rc::new(Once { left: RefCell::new(items.into()), depth })))
    }

    /// Levels of values within each other.
    pub fn depth(&self) -> usize {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) | Self::View(dict, _) => dict.depth,
            Self::Once(once) => once.depth,
            Self::Loop(state) => state.depth,
            Self::Method(method) => method.0.depth() + 1,
            Self::Cycler(cycler) => cycler.depth,
            Self::Joiner(joiner) => joiner.0.depth() + 1,
            _ => 0,
        }
    }

    /// What Python calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_, false) => "str",
            Self::Text(_, true) => "Markup",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Range(_) => "range",
            Self::View(_, View::Items) => "dict_items",
            Self::View(_, View::Keys) => "dict_keys",
            Self::View(_, View::Values) => "dict_values",
            Self::Once(_) => "generator",
            Self::Namespace(_) => "Namespace",
            Self::Macro(_) => "Macro",
            Self::Method(_) => "builtin_function_or_method",
            Self::Function(_) => "function",
            Self::Loop(_) => "LoopContext",
            Self::Cycler(_) => "Cycler",
            Self::Joiner(_) => "Joiner",
        }
    }

    /// Python's `bool`.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(n) => *n != 0,
            Self::Float(x) => *x != 0.0,
            Self::Text(text, _) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.items.is_empty(),
            Self::Dict(dict) | Self::View(dict, _) => !dict.entries.is_empty(),
            Self::Range(range) => range.len > 0,
            Self::Loop(state) => !state.items.is_empty(),
            _ => true,
        }
    }

    /// An error where it is not there.
    pub fn there(&self) -> Result<&Self> {
        match self {
            Self::Undefined(what) => fail(what.to_string()),
            _ => Ok(self),
        }
    }

    /// A whole number, truth values included.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Bool(truth) => Some(i128::from(*truth)),
            _ => None,
        }
    }

    /// Python's `len`, where there is one.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Undefined(_) => Some(0),
            Self::Text(text, _) => Some(text.chars().count()),
            Self::List(items) | Self::Tuple(items) => Some(items.items.len()),
            Self::Dict(dict) | Self::View(dict, _) => Some(dict.entries.len()),
            Self::Range(range) => Some(range.len),
            Self::Loop(state) => Some(state.items.len()),
            _ => None,
        }
    }

    /// What a `for` walks through; what can be walked through once is then gone.
    pub fn walk(&self, meter: &Meter) -> Result<Vec<Self>> {
        let (n, once) = match self {
            Self::Once(once) => (once.left.borrow().len(), true),
            other => (other.len().unwrap_or(0), false),
        };
        meter.values(n)?;
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Once(held) if once => held.left.take().into(),
            Self::Text(text, _) => text.chars().map(|c| Self::text(&*c.encode_utf8(&mut [0; 4]))).collect(),
            Self::List(items) | Self::Tuple(items) => items.items.clone(),
            Self::Dict(dict) | Self::View(dict, View::Keys) => dict.entries.iter().map(|(key, _)| key.clone()).collect(),
            Self::View(dict, View::Values) => dict.entries.iter().map(|(_, value)| value.clone()).collect(),
            Self::View(dict, View::Items) => {
                let pair = |(key, value): &(Self, Self)| Self::tuple(vec![key.clone(), value.clone()], meter);
                dict.entries.iter().map(pair).collect::<Result<_>>()?
            }
            Self::Range(range) => (0..range.len).map(|index| Self::Int(range.at(index))).collect(),
            other => return fail(format!("'{}' object is not iterable", other.kind())),
        })
    }

    /// Whether Python's `iter` takes it.
    pub fn is_walkable(&self) -> bool {
        !matches!(
            self,
            Self::None
                | Self::Bool(_)
                | Self::Int(_)
                | Self::Float(_)
                | Self::Namespace(_)
                | Self::Macro(_)
                | Self::Method(_)
                | Self::Function(_)
                | Self::Joiner(_)
                | Self::Cycler(_)
        )
    }
}

impl Items {
    /// These values, counted.
    pub fn new(items: Vec<Value>, meter: &Meter) -> Result<Self> {
        meter.values(items.len() + 1)?;
        let depth = deeper(items.iter())?;
        Ok(Self { items, depth, names: &[] })
    }
}

impl Dict {
    /// These entries, counted; keys must be different.
    pub fn new(entries: Vec<(Value, Value)>, meter: &Meter) -> Result<Self> {
        meter.values(2 * entries.len() + 1)?;
        let depth = deeper(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Self { entries, depth })
    }

    /// The value under a key that is text.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| matches!(key, Value::Text(text, _) if **text == *name)).map(|(_, value)| value)
    }
}

fn deepest<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    values.map(Value::depth).max().unwrap_or(0)
}

/// One level more than the deepest of `values` has.
pub fn deeper<'v>(values: impl Iterator<Item = &'v Value>) -> Result<usize> {
    let depth = deepest(values) + 1;
    if depth > MAX_VALUE { fail(format!("values are nested more than {MAX_VALUE} deep")) } else { Ok(depth) }
}
