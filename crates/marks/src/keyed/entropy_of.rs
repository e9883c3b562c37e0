//! The key `entropy_of` of marks whose places count by the entropy of a model's law.

use oracle::ConfigError;

use super::KeyedTest;
use crate::{Needs, Whom};

/// The value of `entropy_of` where nothing is said.
pub(crate) fn teacher() -> String {
    "teacher".into()
}

/// Whether nothing need be said.
pub(crate) fn is_teacher(name: &str) -> bool {
    name == "teacher"
}

/// Refuses a model without a name.
pub(crate) fn check_model(name: &str) -> Result<(), ConfigError> {
    if name.trim().is_empty() {
        return Err(ConfigError::new("entropy_of", format!("{name:?}"), "name a model, for example teacher"));
    }
    Ok(())
}

/// What `test` needs beside entropies of the model called `entropy_of`.
pub(crate) fn needs(test: &KeyedTest, context_width: usize, entropy_of: &str) -> Needs {
    let mut needs = test.needs(context_width);
    let whom = Whom::called(entropy_of);
    if !needs.second_round.contains(&whom) {
        needs.second_round.push(whom);
    }
    needs
}
