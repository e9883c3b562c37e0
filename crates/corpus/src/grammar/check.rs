//! A spec, checked: what drawing relies on.

use super::count;
use super::error::SpecError;
use super::plan::Plan;
use super::resolve::resolve;
use super::spec::GrammarSpec;

/// Fewest openings a kind must have, as log10, for its documents to be spread over all splits.
const LOG10_OPENINGS: f64 = 3.0;

impl GrammarSpec {
    /// Checks everything that drawing relies on: lists and patterns that resolve, answers marked where a task needs them,
    /// and for each kind at least 1,000 openings to share out over the splits.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.plan().map(drop)
    }

    /// log10 of a lower bound on the number of different prompts of `words` words: the largest number of ways in which one
    /// sequence of patterns can be filled in up to there. Different fillings of one sequence differ as text, because each
    /// slot holds exactly one word at a fixed place.
    ///
    /// # Errors
    /// When the spec is not valid.
    pub fn distinct_prompts(&self, words: usize) -> Result<f64, SpecError> {
        Ok(count::log10_prompts(&self.plan()?, words))
    }

    /// The spec with every name looked up.
    pub(super) fn plan(&self) -> Result<Plan, SpecError> {
        if self.opening_words == 0 {
            return Err(SpecError::new("opening_words", 0, "ask for at least 1 word, so that splits can be told apart"));
        }
        if self.refusal.trim().is_empty() {
            return Err(SpecError::new("refusal", "empty", "write how a refusal begins"));
        }
        if self.kinds.is_empty() {
            return Err(SpecError::new("kinds", "empty", "give at least one kind of document"));
        }
        let plan = resolve(self)?;
        for (at, kind) in self.kinds.iter().enumerate() {
            let openings = count::log10_openings(&plan, at);
            if openings < LOG10_OPENINGS {
                return Err(SpecError::new(
                    format!("kinds[{at}].parts"),
                    format!("about {:.0} openings of {} words", libm::pow(10f64, openings), self.opening_words),
                    format!("give kind `{}` more slots early on, or raise opening_words: 1000 are needed", kind.name),
                ));
            }
        }
        Ok(plan)
    }
}
