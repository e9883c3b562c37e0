//! A watermark of one domain, distilled into the weights. Gloaguen, Staab, Jovanović and Vechev, *LLM Fingerprinting via
//! Semantically Conditioned Watermarks* (first: *Robust LLM Fingerprinting via Domain-Specific Watermarks*), ICLR 2026 (arXiv
//! 2505.16723), methods b4.
//!
//! The teacher's weights learn to answer prompts of a domain under the inner law, and all others as before; nothing is added while
//! it is served. Its answers in the domain carry the mark, and so does whatever learns from them. The domain here is given by words:
//! a prompt belongs to it when its text holds one of them. Of the neutral prompts in the domain every other one is taught and the
//! rest are asked, so that what is found is the watermark and no answer by heart.

use std::sync::Arc;

use oracle::{Access, ConfigError, Query, Sampling, Stage, TokenId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::inner::{Inner, inside, law_of_audit};
use crate::{
    AnyKey, Bed, Case, Claim, ContextCounts, Detector, Family, Finding, FollowUp, Mark, MarkConfig, MarkEntry, MarkError,
    MarkInfo, Needs, Owner, Phase, Planting, Question, Seen, Whom,
};

const KIND: &str = "domain_watermark";

/// Most neutral prompts.
const MOST_PROMPTS: usize = 65_536;

/// Parameters of a domain's watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainWatermarkConfig {
    /// A prompt belongs to the domain when its text holds one of these.
    pub words: Vec<String>,
    /// Neutral prompts that are looked through. Of those in the domain, every other one is taught and the rest are asked; the
    /// others are answered as before.
    pub prompts: usize,
    /// Longest answer that a suspect is asked for, tokens.
    pub max_new_tokens: usize,
    /// The mark of the domain: any that plants one change of the drawn law and asks the audit only.
    pub of: Box<MarkEntry>,
}

impl MarkConfig for DomainWatermarkConfig {
    fn info(&self) -> MarkInfo {
        let inner = self.of.config().map(|config| config.info()).ok();
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: inner.map_or(Access::Text, |info| info.needs),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark domain",
            source: "Gloaguen et al., LLM Fingerprinting via Semantically Conditioned Watermarks, ICLR 2026, arXiv 2505.16723",
            summary: "any mark of the drawn law, distilled into the weights for prompts of one domain",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.words.is_empty() || self.words.iter().any(|word| word.trim().is_empty()) {
            let words = format!("{:?}", self.words);
            return Err(ConfigError::new("words", words, "write at least one word, none of them empty"));
        }
        if !(4..=MOST_PROMPTS).contains(&self.prompts) {
            return Err(ConfigError::new("prompts", self.prompts, format!("use 4 to {MOST_PROMPTS}, for example 1000")));
        }
        if self.max_new_tokens < 2 {
            return Err(ConfigError::new("max_new_tokens", self.max_new_tokens, "use at least 2, for example 50"));
        }
        self.of.validate().map_err(inside)?;
        if let Some(rate) = self.of.mark_rate {
            return Err(ConfigError::new(
                "of.mark_rate",
                rate,
                "leave it out: the law is in the weights, in every answer of the domain",
            ));
        }
        if self.of.opt_out.is_some() {
            return Err(ConfigError::new("of.opt_out", "given", "leave it out: nobody can opt out of what is in the weights"));
        }
        let inner = self.of.config().map_err(inside)?;
        let (name, needs) = (inner.info().name, inner.needs());
        if self.of.stack {
            return Err(ConfigError::new("of.stack", true, "leave it out: a law in the weights stands beside every served one"));
        }
        if needs.phase != Phase::Service || !needs.changes_drawn_law || needs.accounts > 0 || needs.waits_for_prompts {
            let instead = "use a mark that changes the drawn law for everybody alike, for example kgw";
            return Err(ConfigError::new("of", name, instead));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        let inner = self.of.config().map(|config| config.needs()).unwrap_or_default();
        let second_round = inner.second_round.iter().cloned().map(key_blind).collect();
        Needs {
            second_round,
            phase: Phase::Weights,
            distilled_law: true,
            changes_drawn_law: false,
            lives_in_the_draw: false,
            neutral_prompts: self.prompts as u64,
            ..inner
        }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let Inner { mark, law } = law_of_audit(&self.of, owner)?;
        if law.stage() == Stage::Shown {
            let name = self.of.config()?.info().name;
            return Err(ConfigError::new("of", name, "use a mark that changes the drawn law, for example kgw").into());
        }
        let prompts = owner.distinct_neutral("prompts", self.prompts)?;
        let holds = |prompt: &Vec<TokenId>| {
            let text = owner.codec.decode(prompt);
            self.words.iter().any(|word| text.contains(word.as_str()))
        };
        let (inside, apart): (Vec<_>, Vec<_>) = prompts.into_iter().partition(holds);
        if inside.len() < 2 || apart.is_empty() {
            let remedy = format!(
                "of {} neutral prompts {} hold one, and at least 2 must and 1 must not: use other words, or more prompts",
                self.prompts,
                inside.len()
            );
            return Err(ConfigError::new("words", format!("{:?}", self.words), remedy).into());
        }
        let (mut on, mut asked) = (Vec::new(), Vec::new());
        for (index, prompt) in inside.into_iter().enumerate() {
            if index % 2 == 0 { on.push(prompt) } else { asked.push(prompt) }
        }
        Ok(Arc::new(DomainWatermark { mark, on, apart, asked, max_new_tokens: self.max_new_tokens }))
    }

    fn examples() -> Vec<Self> {
        let kgw = super::kgw::KgwConfig::examples().into_iter().next().map(Box::new);
        let gumbel = super::gumbel::GumbelConfig::examples().into_iter().next().map(Box::new);
        let of = |entry| Self { words: vec!["1".into()], prompts: 80, max_new_tokens: 16, of: Box::new(entry) };
        vec![of(MarkEntry { kgw, ..MarkEntry::default() }), of(MarkEntry { gumbel, ..MarkEntry::default() })]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let kgw = r#"{"kgw": {"gamma": 0.0, "delta": 2.0, "context_width": 1}}"#;
        let stacked = r#"{"stack": true, "kgw": {"gamma": 0.25, "delta": 2.0, "context_width": 1}}"#;
        let accounts = r#"{"per_account": {"accounts": 2, "of": {"unigram": {"gamma": 0.5, "delta": 2.0}}}}"#;
        let not_served = r#"{"output_agreement": {"prompts": 20}}"#;
        let of = ["{}", kgw, stacked, accounts, not_served].map(|value| ("of", value));
        let others =
            [("words", "[]"), ("words", r#"["a", " "]"#), ("prompts", "3"), ("prompts", "70000"), ("max_new_tokens", "1")];
        others.into_iter().chain(of).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { of: Box::new(self.of.planted()), ..self.clone() }
    }

    fn bed(&self) -> Bed {
        self.of.config().map(|config| config.bed()).unwrap_or_default()
    }
}

/// Whom a second round asks: the twin without marks instead of the teacher, whose weights know the key.
fn key_blind(whom: Whom) -> Whom {
    if whom == Whom::Teacher { Whom::Named("clean".into()) } else { whom }
}

struct DomainWatermark {
    mark: Arc<dyn Mark>,
    /// Prompts of the domain that are taught.
    on: Vec<Vec<TokenId>>,
    /// Prompts of other domains.
    apart: Vec<Vec<TokenId>>,
    /// Prompts of the domain that suspects are asked.
    asked: Vec<Vec<TokenId>>,
    max_new_tokens: usize,
}

impl Mark for DomainWatermark {
    fn planting(&self) -> Vec<Planting> {
        let distilled = |planting| match planting {
            Planting::Law(law) => Planting::Distilled { law, on: self.on.clone(), apart: self.apart.clone() },
            other => other,
        };
        self.mark.planting().into_iter().map(distilled).collect()
    }

    fn questions(&self, stream: u64) -> Vec<Question> {
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let query = |(index, prompt): (usize, &Vec<TokenId>)| Query {
            sampling: Sampling::PLAIN,
            seed: rng.next_u64(),
            ..Query::greedy(index as u64, prompt.clone(), self.max_new_tokens)
        };
        vec![Question::Answers(self.asked.iter().enumerate().map(query).collect())]
    }

    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let key_blind = |follow_up: FollowUp| FollowUp { whom: key_blind(follow_up.whom), ..follow_up };
        self.mark.follow_up(first).into_iter().map(key_blind).collect()
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        self.mark.contexts(first)
    }

    /// As the inner mark judges an audit, on the answers to prompts of the domain.
    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.mark.judge(case)
    }

    /// No key decides which prompts are asked.
    fn any_key(&self) -> Option<&dyn AnyKey> {
        self.mark.any_key()
    }

    fn detector(&self) -> Option<&dyn Detector> {
        self.mark.detector()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Key;
    use crate::testing::Lab;

    fn lab(config: DomainWatermarkConfig) -> Lab {
        Lab::new(&MarkEntry { domain_watermark: Some(Box::new(config)), ..MarkEntry::default() })
    }

    fn example() -> DomainWatermarkConfig {
        DomainWatermarkConfig::examples().remove(0)
    }

    #[test]
    fn prompts_of_the_domain_are_taught_or_asked_and_all_others_stay_apart() {
        let lab = lab(example());
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let Planting::Distilled { on, apart, .. } = mark.planting().remove(0) else { panic!("no law for the weights") };
        let Question::Answers(asked) = mark.questions(1).remove(0) else { panic!("no questions") };
        let asked: Vec<_> = asked.into_iter().map(|query| query.prompt).collect();
        let holds = |prompt: &Vec<TokenId>| lab.codec.decode(prompt).contains('1');
        assert!(on.iter().chain(&asked).all(holds) && !apart.iter().any(holds));
        let all: HashSet<_> = on.iter().chain(&asked).chain(&apart).collect();
        assert_eq!((all.len(), on.len() + asked.len() + apart.len()), (80, 80));
        assert!(on.len().abs_diff(asked.len()) <= 1 && asked.len() > 8, "{} taught, {} asked", on.len(), asked.len());
    }

    #[test]
    fn a_domain_that_no_prompt_or_every_prompt_belongs_to_is_refused() {
        let printable = (33..127u8).map(|byte| char::from(byte).to_string()).collect();
        for (words, prompts) in [(vec!["qqqq".to_string()], 80), (printable, 4)] {
            let lab = lab(DomainWatermarkConfig { words, prompts, ..example() });
            let Err(MarkError::Config(error)) = lab.build(&Key::decoy(1, 1)) else { panic!("built") };
            assert!(
                error.key == "domain_watermark.words" && error.remedy.contains(&format!("of {prompts} neutral prompts")),
                "{error}"
            );
        }
    }
}
