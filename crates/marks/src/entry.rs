//! What an experiment's entry of a mark can do, whatever its kind.

use std::sync::Arc;

use crate::mark_rate::Serving;
use crate::{Mark, MarkConfig, MarkEntry, MarkError, MarkInfo, Owner, Phase};
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
        let name = config.info().name;
        config.validate().map_err(|error| error.within(name))?;
        self.serving().validate(name, config.needs().phase == Phase::Service)
    }

    /// How often the mark is served.
    fn serving(&self) -> Serving<'_> {
        Serving { mark_rate: self.mark_rate, opt_out: self.opt_out.as_ref() }
    }

    /// The same mark with none beside it, in every answer: how a mark is served changes nothing of what it is, asks and finds.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { stack: false, mark_rate: None, opt_out: None, ..self.clone() }
    }

    /// Builds the mark.
    ///
    /// # Errors
    /// When [`validate`](Self::validate) refuses, the mark does not fit the vocabulary or the prompts, or a model did not answer.
    pub fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        self.validate()?;
        let config = self.config()?;
        let mark = config.build(owner).map_err(|error| match error {
            MarkError::Config(error) => MarkError::Config(error.within(config.info().name)),
            other => other,
        })?;
        Ok(self.serving().of(mark, owner.key))
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
