//! Mistakes in what was given, told apart from failures of the work.

use std::io;

use lm::hub::HubError;

use crate::config_error::ConfigErrors;

/// A mistake in how the command was called, or in what it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// A model that is not here, and that a run will fetch: no mistake in a file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct WillBeFetched(pub String);

/// An experiment of which nothing is wrong as far as it can be told before its models are here.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", models.iter().map(|(key, said)| format!("`{key}`: {said}")).collect::<Vec<_>>().join("; "))]
pub struct NotHereYet {
    /// Its name.
    pub name: String,
    /// By key: what is to be fetched, from where, and how to have it now.
    pub models: Vec<(String, String)>,
}

/// Whether somebody gave something that cannot be used, rather than that something failed.
pub fn is_refusal(error: &anyhow::Error) -> bool {
    error.chain().any(is_input)
}

/// Whether somebody gave something that cannot be used.
fn is_input(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<ConfigErrors>()
        || error.is::<UsageError>()
        || error.is::<WillBeFetched>()
        || error.is::<NotHereYet>()
        || error.is::<lm::LoadError>()
        || error.is::<lm::DeviceError>()
        || error.is::<lm::hub::NameError>()
        || error.downcast_ref::<HubError>().is_some_and(HubError::is_input)
        || error.is::<corpus::FileError>()
        || error.is::<corpus::ExchangeError>()
        || error.is::<corpus::SpecError>()
        || error.is::<oracle::ConfigError>()
        || matches!(
            error.downcast_ref(),
            Some(store::StoreError::NotMade { .. } | store::StoreError::NotPlain { .. } | store::StoreError::Unnamed { .. })
        )
        || matches!(error.downcast_ref(), Some(marks::MarkError::Config(_) | marks::MarkError::Program(_)))
        || matches!(error.downcast_ref(), Some(oracle::OracleError::Processor(_)))
        || matches!(error.downcast_ref(), Some(lm::RunError::Input(_)))
        || error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::NotADirectory)
        || matches!(
            error.downcast_ref(),
            Some(distill::DistillError::Config(_) | distill::DistillError::LossNotServed { .. } | distill::DistillError::Data(_))
        )
}
