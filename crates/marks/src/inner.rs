//! A mark inside another one's table, under the key `of`.

use std::sync::Arc;

use oracle::{ConfigError, LogitsProcessor};

use crate::{Mark, MarkEntry, MarkError, Owner, Planting, Question};

/// An error of the inner mark, seen from the outer one's table.
pub(crate) fn inside(error: ConfigError) -> ConfigError {
    if error.key.is_empty() { ConfigError { key: "of".into(), ..error } } else { error.within("of") }
}

/// A mark of the audit that changes the law, and that change.
pub(crate) struct Inner {
    pub(crate) mark: Arc<dyn Mark>,
    pub(crate) law: Arc<dyn LogitsProcessor>,
}

/// The inner mark `of` with the one change of the law that it plants.
///
/// # Errors
/// As [`MarkEntry::build`]; when it plants anything else, or asks anything but the audit, by whose answers the outer one judges.
pub(crate) fn law_of_audit(of: &MarkEntry, owner: &Owner<'_>) -> Result<Inner, MarkError> {
    let mark = of.build(owner).map_err(|error| match error {
        MarkError::Config(error) => MarkError::Config(inside(error)),
        other => other,
    })?;
    let name = of.config()?.info().name;
    let refused = |what: &str| MarkError::Config(ConfigError::new("of", name, what));
    let [Planting::Law(law)] = &mark.planting()[..] else {
        return Err(refused("use a mark that plants one change of the law and nothing else, for example kgw"));
    };
    if !matches!(mark.questions(0)[..], [Question::Audit]) {
        return Err(refused("use a mark that asks the audit and nothing else, for example kgw"));
    }
    let law = law.clone();
    Ok(Inner { mark, law })
}
