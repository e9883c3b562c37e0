use oracle::ConfigError;
use serde_json::{Value, json};

use super::fields::Fields;

/// Which layers look through a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// A token sees itself and so many - 1 before it.
    pub size: Option<usize>,
    /// Whether a layer looks through it.
    pub layers: Vec<bool>,
}

impl Windows {
    /// No layer of `layers` has one.
    pub fn none(layers: usize) -> Self {
        Self { size: None, layers: vec![false; layers] }
    }

    /// A window of `size`, in the layers that `layer_types` names or else where `default` says.
    ///
    /// # Errors
    /// When `layer_types` is not a list of known names, or there is a sliding layer and no size.
    pub fn read(
        fields: &Fields<'_>,
        size: Option<usize>,
        layers: usize,
        default: impl Fn(usize) -> bool,
    ) -> Result<Self, ConfigError> {
        let layers = fields.sliding_layers(layers, |layer| size.is_some() && default(layer))?;
        match (size, layers.contains(&true)) {
            (None, true) => Err(ConfigError::new("sliding_window", "missing", "give the window of the sliding layers")),
            (_, true) => Ok(Self { size, layers }),
            (_, false) => Ok(Self::none(layers.len())),
        }
    }

    /// The window of a layer.
    pub fn of(&self, layer: usize) -> Option<usize> {
        self.size.filter(|_| self.layers.get(layer) == Some(&true))
    }

    /// `layer_types` of `config.json`.
    pub(super) fn layer_types(&self) -> Value {
        let name = |sliding: &bool| if *sliding { "sliding_attention" } else { "full_attention" };
        json!(self.layers.iter().map(name).collect::<Vec<_>>())
    }
}
