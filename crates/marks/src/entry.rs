//! What an experiment's entry of a mark can do, whatever its kind.

use std::sync::Arc;

use crate::{Mark, MarkConfig, MarkEntry, MarkError, MarkInfo, Owner};
use oracle::ConfigError;

impl MarkEntry {
    /// The one kind that is given.
    ///
    /// # Errors
    /// When none or several are given.
    pub fn config(&self) -> Result<&dyn MarkConfig, ConfigError> {
        match self.given()[..] {
            [config] => Ok(config),
            [] => Err(ConfigError::new("", "no kind of mark", format!("add one of {}", Self::KINDS.join(", ")))),
            [first, second, ..] => {
                let (first, second) = (first.info().name, second.info().name);
                Err(ConfigError::new(
                    second,
                    format!("a second kind beside {first}"),
                    "give each mark a name and a table of its own",
                ))
            }
        }
    }

    /// Refuses values that cannot be; keys begin with the kind.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and what to write.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let config = self.config()?;
        config.validate().map_err(|error| error.within(config.info().name))
    }

    /// Builds the mark.
    ///
    /// # Errors
    /// When [`validate`](Self::validate) refuses, the mark does not fit the vocabulary or the prompts, or a model did not answer.
    pub fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        self.validate()?;
        let config = self.config()?;
        config.build(owner).map_err(|error| match error {
            MarkError::Config(error) => MarkError::Config(error.within(config.info().name)),
            other => other,
        })
    }

    /// Every registered kind.
    pub fn list() -> Vec<MarkInfo> {
        let mut list: Vec<MarkInfo> = Vec::new();
        for info in Self::examples()
            .iter()
            .flat_map(|example| example.given().into_iter().map(|config| config.info()).collect::<Vec<_>>())
        {
            if !list.iter().any(|known| known.name == info.name) {
                list.push(info);
            }
        }
        list
    }
}
