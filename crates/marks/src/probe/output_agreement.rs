//! Agreement of greedy next tokens with the teacher. Nikolić, Baluta and Saxena, *Model Provenance Testing for Large
//! Language Models*, NeurIPS 2025 (arXiv 2502.00706), methods d4.
//!
//! The paper compares two proportions. Here every model answers the same prompts, so the test is paired: exact McNemar
//! on the prompts where exactly one of suspect and reference says what the teacher says. A suspect counts as near only
//! when it is nearer than *every* reference: p is the largest over references, which is a valid level for that union
//! of nulls (Berger 1982, intersection-union test) without any correction.

use std::sync::Arc;

use oracle::{Access, ConfigError, Exchange, Query, TokenId};
use serde::{Deserialize, Serialize};
use stats::{Evidence, NullKind, NullLaw};

use crate::case::exchanges;
use crate::paired::Paired;
use crate::{Case, Claim, Family, Finding, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Planting, Question, TeacherView};

/// Parameters of the agreement test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputAgreementConfig {
    /// Number of distinct neutral prompts, one next token each.
    pub prompts: usize,
    /// The teacher that is agreed with.
    #[serde(default)]
    pub teacher: TeacherView,
}

impl MarkConfig for OutputAgreementConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "output_agreement",
            family: Family::Probe,
            needs: Access::Text,
            claim: Claim::Distillation,
            planted: false,
            compares: true,
            key_label: "probe output_agreement",
            source: "Nikolić et al., Model Provenance Testing for Large Language Models, NeurIPS 2025, arXiv 2502.00706",
            summary: "greedy next tokens agree with the teacher's more often than any other model's do",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.prompts == 0 {
            return Err(ConfigError::new("prompts", 0, "use at least 1, for example 400"));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { neutral_prompts: self.prompts as u64, compared_with: self.teacher, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        [TeacherView::Served, TeacherView::Raw].map(|teacher| Self { prompts: 100, teacher }).into()
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("prompts", "0")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let prompts = owner.distinct_neutral("prompts", self.prompts)?;
        Ok(Arc::new(OutputAgreement { config: self.clone(), prompts }))
    }
}

struct OutputAgreement {
    config: OutputAgreementConfig,
    prompts: Vec<Vec<TokenId>>,
}

impl OutputAgreement {
    /// For every prompt, whether `answers` begin as the teacher's do.
    fn agrees(&self, who: &str, answers: &[Exchange], teacher: &[Exchange]) -> Result<Vec<bool>, MarkError> {
        let asked = self.config.prompts;
        for (who, count) in [(who, answers.len()), ("the teacher", teacher.len())] {
            if count != asked {
                return Err(self.unmeasurable(format!("{asked} prompts were asked and {who} gave {count} answers")));
            }
        }
        let first = |exchange: &Exchange| exchange.answer.first().copied();
        Ok(answers.iter().zip(teacher).map(|(ours, theirs)| first(ours).is_some() && first(ours) == first(theirs)).collect())
    }

    fn unmeasurable(&self, reason: String) -> MarkError {
        MarkError::unmeasurable(KIND, reason)
    }
}

const KIND: &str = "output_agreement";

impl Mark for OutputAgreement {
    fn planting(&self) -> Vec<Planting> {
        Vec::new()
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        let prompts = self.prompts.iter().enumerate();
        vec![Question::Answers(prompts.map(|(index, prompt)| Query::greedy(index as u64, prompt.clone(), 1)).collect())]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let teacher = case.teacher.ok_or_else(|| self.unmeasurable("the teacher's own answers are missing".to_string()))?;
        let teacher = exchanges(KIND, teacher, 0)?;
        let suspect = self.agrees("the suspect", exchanges(KIND, case.suspect, 0)?, teacher)?;
        let hits = count(&suspect);

        let mut pairs = Vec::with_capacity(case.references.len());
        for reference in case.references {
            let theirs = self.agrees(reference.name, exchanges(KIND, reference.seen, 0)?, teacher)?;
            pairs.push((reference.name, Paired::count(&suspect, &theirs), count(&theirs)));
        }
        let (nearest, pair, _) = pairs
            .iter()
            .max_by_key(|(_, _, agreement)| *agreement)
            .ok_or_else(|| self.unmeasurable("there is no reference model to compare with".to_string()))?;
        let log10_p = pairs.iter().map(|(_, pair, _)| pair.log10_p()).fold(f64::NEG_INFINITY, f64::max);

        let asked = self.config.prompts as u64;
        let words = format!(
            "McNemar, Binomial(b + c, 0.5) of prompts where one alone agrees; largest p over {} references, nearest {nearest}",
            pairs.len(),
        );
        let null = NullLaw::new(NullKind::Mcnemar, words);
        let evidence = Evidence::new(hits as f64, pair.difference(asked), pair.interval(asked), asked, null, log10_p)
            .map_err(|error| self.unmeasurable(error.to_string()))?;
        let detail = format!(
            "{hits} of {asked} answers as the {} teacher has them; the nearest other model is {nearest}",
            self.config.teacher.name()
        );
        Ok(vec![Finding::new(evidence, "agreement above the nearest other model's", detail)])
    }
}

fn count(agrees: &[bool]) -> u64 {
    agrees.iter().filter(|&&agrees| agrees).count() as u64
}

#[cfg(test)]
mod tests;
