//! What one rendering holds beside its scopes: what it has taken, and its namespaces.

use std::cell::RefCell;
use std::sync::Arc;

use super::meter::Meter;
use super::value::Value;

/// Shows the date as a format says.
pub type Clock<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// What a namespace holds, in the order in which it was set.
pub type Namespace = Vec<(Arc<str>, Value)>;

/// One rendering. Namespaces lie here and are only pointed to, so that none holds itself.
pub struct World<'a> {
    pub meter: Meter,
    pub namespaces: RefCell<Vec<Namespace>>,
    /// `strftime_now`, where there is a date.
    pub clock: Option<Clock<'a>>,
}

impl World<'_> {
    /// Names and values of a namespace.
    pub fn namespace(&self, place: usize) -> Vec<(Arc<str>, Value)> {
        self.namespaces.borrow().get(place).cloned().unwrap_or_default()
    }

    /// The member of a namespace.
    pub fn member(&self, place: usize, name: &str) -> Option<Value> {
        let namespaces = self.namespaces.borrow();
        namespaces.get(place)?.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
    }

    /// Puts a member into a namespace.
    pub fn put(&self, place: usize, name: Arc<str>, value: Value) {
        if let Some(members) = self.namespaces.borrow_mut().get_mut(place) {
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some((_, held)) => *held = value,
                None => members.push((name, value)),
            }
        }
    }
}
