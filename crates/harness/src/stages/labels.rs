//! Labels that only the teacher's tokenizer can tell apart.

use distill::Choice;
use oracle::ConfigError;

use crate::resolve::Resolved;
use crate::stages::Vocabulary;

/// Refuses surfaces whose labels the tokenizer in `vocabulary` does not tell apart by their first tokens, and labels longer than
/// answers may be.
///
/// # Errors
/// Key of the experiment file, value and what to write.
pub fn check_labels(experiment: &Resolved, vocabulary: &Vocabulary) -> Result<(), ConfigError> {
    let most = experiment.world.queries.max_new_tokens;
    for (index, channel) in experiment.channels.iter().enumerate() {
        let key = format!("distill[{index}].surface");
        let choice = Choice::of(&channel.surface, &*vocabulary.tokenizer).map_err(|error| error.within(&key))?;
        if let Some(longest) = choice.map(|choice| choice.longest()).filter(|&longest| longest > most) {
            let remedy =
                format!("write {longest} or more, or shorten the labels of `{key}`: one takes so many tokens, its end included");
            return Err(ConfigError::new("queries.max_new_tokens", most, remedy));
        }
    }
    Ok(())
}
