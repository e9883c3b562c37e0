//! Unbiased watermark: the later half of a keyed order of the law's mass is doubled, the earlier half lost. Hu, Chen, Wu, Wu, Zhang and
//! Huang, *Unbiased Watermark for Large Language Models*, ICLR 2024 (arXiv 2310.10669), the gamma-reweight. Methods a6.
//!
//! It is the strongest of the family that DiPmark spans (its alpha 1/2). The authors judge by the likelihood ratio of the reweighted law
//! against the raw one, which needs the owner's model: its mean over keys is 1, so that it is an e-value over distinct contexts, and stands
//! beside the finding. Their other form, the delta-reweight, draws by a keyed uniform number for each context and has no value for every
//! candidate; it is not built.

use std::sync::Arc;

use oracle::ConfigError;
use serde::{Deserialize, Serialize};

use super::dip::reweighted;
use crate::key::Purpose;
use crate::keyed::masking;
use crate::keyed::reweight::Reweighting;
use crate::keyed::steps::Steps;
use crate::keyed::{Dedup, KeyedTest, Rules};
use crate::{Claim, Family, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, identity};

const KIND: &str = "unbiased";

/// Parameters of the unbiased watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnbiasedConfig {
    /// Number of tokens before the next one that choose the order, 0 to 5.
    pub context_width: usize,
    /// Whether a token whose context stood before an earlier token of the same answer is drawn unmarked. Needs a context of at
    /// least one token.
    pub mask_repeats: bool,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for UnbiasedConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark unbiased",
            source: "Hu et al., Unbiased Watermark for Large Language Models, ICLR 2024, arXiv 2310.10669",
            summary: "the later half of a keyed order of the law is doubled: every law is kept on average over keys",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.test.validate()?;
        masking::check(self.context_width, self.mask_repeats, 4)
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, ..self.test.needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let &Self { context_width, mask_repeats, dedup, .. } = self;
        // how text is scored changes nothing that is drawn
        let name = identity(&Self { dedup: Dedup::default(), ..self.planted() }, owner.key);
        let rules = Rules::new(context_width, dedup, &**owner.codec);
        let steps = Steps::new(Purpose::Kind(KIND), &[0.5]);
        let law = Reweighting { name, state: steps.state(owner.key), alpha: 0.5, context_width, mask_repeats };
        Ok(reweighted(KIND, rules, steps, law, owner.key, &self.test))
    }

    fn examples() -> Vec<Self> {
        vec![Self { context_width: 2, mask_repeats: true, dedup: Dedup::Contexts, test: KeyedTest::default() }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("context_width", "6"), ("context_width", "0"), ("test", r#"{"score": {"kappa": -1}}"#)]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Sampling, TokenId};

    use super::*;
    use crate::testing::Lab;
    use crate::{Chance, Key, MarkEntry};

    fn lab() -> Lab {
        Lab::new(&MarkEntry { unbiased: Some(Box::new(UnbiasedConfig::examples().remove(0))), ..MarkEntry::default() })
    }

    /// Tokens of an answer that the mark drew stand in the later half of the mass of their orders, all of them.
    #[test]
    fn no_token_is_drawn_from_the_lost_half() {
        let (lab, key) = (lab(), Key::decoy(1, 0));
        let mark = lab.build(&key).unwrap();
        let (model, plain) = (lab.marked(&*mark), lab.model(1_000));
        let state = Steps::new(Purpose::Kind(KIND), &[0.5]).state(&key);
        let mut checked = 0;
        for item in &model.answer(&lab.audit()[..20]).unwrap() {
            let mut met = std::collections::HashSet::new();
            for at in 0..item.answer.len() {
                let before = [&item.query.prompt[..], &item.answer[..at]].concat();
                let context = &before[before.len() - 2..];
                if !met.insert(context.to_vec()) {
                    continue;
                }
                let logits = plain.logits(&before);
                let mut draws = vec![0; logits.len()];
                crate::keyed::siphash::all_tokens(state, context, &mut draws);
                let own = item.answer[at] as usize;
                let q: Vec<f64> = logits.iter().map(|logit| libm::exp(f64::from(*logit))).collect();
                let upto: f64 = (0..q.len()).filter(|&id| (draws[id], id) <= (draws[own], own)).map(|id| q[id]).sum();
                assert!(upto / q.iter().sum::<f64>() > 0.5 - 1e-6, "place {at}");
                checked += 1;
            }
        }
        assert!(checked > 400, "{checked}");
    }

    #[test]
    fn evidence_needs_no_temperature_of_one_and_greedy_answers_hold_none() {
        let lab = lab();
        let mark = lab.build(&Key::decoy(2, 0)).unwrap();
        let model = lab.marked(&*mark);
        for (sampling, proven) in [
            (Sampling { temperature: 0.7, top_k: 40, top_p: 0.95, ..Sampling::PLAIN }, true),
            (Sampling { temperature: 0.0, ..Sampling::PLAIN }, false),
        ] {
            let queries: Vec<_> = lab.audit().into_iter().map(|query| oracle::Query { sampling, ..query }).collect();
            let answers = model.answer(&queries).unwrap();
            assert!(answers.iter().all(|item| item.answer.iter().all(|&token: &TokenId| token > 2)));
            let found = lab.judge(&*mark, &model, answers, Chance::default()).unwrap().remove(0);
            assert_eq!(found.evidence.log10_p < -10.0, proven, "{found:?}");
            assert_eq!(found.metric("ratio_log10_e").unwrap() > 10.0, proven, "{found:?}");
        }
    }
}
