//! The flat vector: which parameter lies where.

use std::ops::Range;

/// How a new parameter is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initialiser {
    /// Independent normals with mean 0 and this standard deviation.
    Normal(f64),
    /// All 1: the gain of a norm.
    Ones,
    /// All 0: a bias.
    Zeros,
}

/// One named parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in checkpoints.
    pub name: String,
    /// Shape in checkpoints; a product's weight is (outputs, inputs) unless the architecture says otherwise.
    pub shape: Vec<usize>,
    /// Place in the flat vector, row-major.
    pub range: Range<usize>,
    /// How a new one is drawn.
    pub initialiser: Initialiser,
    /// A table whose rows are only looked up: it takes no floating-point operations.
    pub lookup_only: bool,
}

/// All parameters of a model, end to end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    parameters: Vec<Parameter>,
}

impl Layout {
    /// Appends a parameter.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], initialiser: Initialiser) {
        let start = self.n_params();
        let range = start..start + shape.iter().product::<usize>();
        self.parameters.push(Parameter { name: name.into(), shape: shape.to_vec(), range, initialiser, lookup_only: false });
    }

    /// Appends a table whose rows are only looked up.
    pub fn push_table(&mut self, name: impl Into<String>, shape: &[usize], initialiser: Initialiser) {
        self.push(name, shape, initialiser);
        if let Some(last) = self.parameters.last_mut() {
            last.lookup_only = true;
        }
    }

    /// The parameters in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Length of the flat vector.
    pub fn n_params(&self) -> usize {
        self.parameters.last().map_or(0, |parameter| parameter.range.end)
    }

    /// Number of parameters that are multiplied with something for each token: all but tables that are only looked up.
    pub fn n_multiplied(&self) -> usize {
        self.parameters.iter().filter(|parameter| !parameter.lookup_only).map(|parameter| parameter.range.len()).sum()
    }
}
