//! SWEET: a green list that is raised only where the law is broad. Lee, Hong, Ahn, Hong, Lee, Yun, Shin and Kim, *Who Wrote this Code?
//! Watermarking for Code Generation*, ACL 2024 (arXiv 2305.15060). Methods a6.
//!
//! Where the next token is nearly certain (most of code, numbers, quotations) a bias would either change nothing or spoil the answer, so
//! nothing is raised there; and detection passes over tokens that a model finds certain, which would only dilute the count. Which they are
//! is asked of the owner's model, or of another one that the file names: it must be near the teacher, and sees no key, so the count of the
//! tokens that are left is as exact as KGW's.

use std::sync::Arc;

use oracle::{ConfigError, Exchange, Law, LogitsProcessor};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::Null;

use crate::key::Purpose;
use crate::keyed::entropy_of::{check_model, is_teacher, needs, teacher};
use crate::keyed::green::GreenRows;
use crate::keyed::green_scheme::{GreenBias, GreenValues, check_green};
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, PlaceWeights, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Entropy, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Reduce, Whom, identity};

const KIND: &str = "sweet";

/// Parameters of the SWEET watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweetConfig {
    /// Share of the vocabulary that is green after each context, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its green list, 0 to 5.
    pub context_width: usize,
    /// Entropy, nats, that the raw law must be above for a token to be marked, and to be scored.
    pub above_entropy: f64,
    /// The model whose entropies say which tokens are scored: `teacher` (raw), `clean`, `base`, `stranger`, or an entry of `[models]`.
    #[serde(default = "teacher", skip_serializing_if = "is_teacher")]
    pub entropy_of: String,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for SweetConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark sweet",
            source: "Lee et al., Who Wrote this Code? Watermarking for Code Generation, ACL 2024, arXiv 2305.15060",
            summary: "soft green list where the law is broad: near-certain tokens are neither raised nor scored",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        check_green(self.gamma, self.delta, self.context_width)?;
        if !(self.above_entropy >= 0.0 && self.above_entropy.is_finite()) {
            return Err(ConfigError::new("above_entropy", self.above_entropy, "use nats from 0 on, for example 0.9"));
        }
        check_model(&self.entropy_of)?;
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        needs(&self.test, self.context_width, &self.entropy_of)
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let rules = Rules::new(self.context_width, self.dedup, &**owner.codec);
        let values = GreenValues { purpose: Purpose::Kind(KIND), gamma: self.gamma };
        let rows = GreenRows::new(values.list(owner.key), owner.codec.vocab_size(), &rules.special);
        // how text is scored changes nothing that is drawn
        let name = identity(&Self { dedup: Dedup::default(), ..self.planted() }, owner.key);
        let (delta, above_entropy) = (self.delta as f32, Some(self.above_entropy));
        let bias = Arc::new(GreenBias { name, rows, delta, context_width: self.context_width, above_entropy });
        let (whom, least) = (Whom::called(&self.entropy_of), self.above_entropy);
        let scheme = Sweet { rules, values, bias, whom, least };
        Ok(Arc::new(Keyed::new(scheme, owner.key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            gamma: 0.25,
            delta: 2.0,
            context_width: 1,
            above_entropy: 0.9,
            entropy_of: teacher(),
            dedup: Dedup::Pairs,
            test: KeyedTest::default(),
        };
        // about half of the toys' laws are below
        let counted = Self { gamma: 0.5, above_entropy: 5.78, test: KeyedTest::Count, ..example.clone() };
        vec![example, counted]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("above_entropy", "-0.1"),
            ("gamma", "0.0"),
            ("gamma", "1.0"),
            ("delta", "0.0"),
            ("context_width", "6"),
            ("entropy_of", "\" \""),
            ("test", r#"{"score": {"kappa": -1}}"#),
        ]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { entropy_of: teacher(), test: KeyedTest::default(), ..self.clone() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }
}

struct Sweet {
    rules: Rules,
    values: GreenValues,
    bias: Arc<GreenBias>,
    whom: Whom,
    least: f64,
}

impl Scheme for Sweet {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        self.values.null()
    }

    fn place_weights(&self) -> Option<PlaceWeights> {
        Some(PlaceWeights { whom: self.whom.clone(), reduce: Arc::new(Broad { least: self.least }) })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        self.values.scorer(key, self.rules.context_width)
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} units hit where the law is broad", evidence.statistic, evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(&self.values)
    }
}

/// 1 where the law's entropy is above the least, else 0.
struct Broad {
    least: f64,
}

impl Reduce for Broad {
    fn reduce(&self, given: &Exchange, position: usize, law: Law<'_>, kept: &mut Vec<f64>) {
        Entropy.reduce(given, position, law, kept);
        for entropy in kept {
            *entropy = f64::from(u8::from(*entropy > self.least));
        }
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Query, Row, Sampling, Stage, Step, TokenId};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Finding, MarkEntry, Planting};

    fn sweet(above_entropy: f64, test: KeyedTest) -> SweetConfig {
        SweetConfig { above_entropy, test, ..SweetConfig::examples().remove(0) }
    }

    /// Toys whose laws are narrow: half of them hold less than 0.9 nats.
    fn lab(config: SweetConfig) -> Lab {
        let mut lab = Lab::new(&MarkEntry { sweet: Some(Box::new(config)), ..MarkEntry::default() });
        lab.bed.sharpness = 500.0;
        lab
    }

    fn found(lab: &Lab, mark: &dyn Mark, model: &ToyModel) -> Finding {
        lab.measure(mark, model, Chance { decoys: 99, decoy_seed: 1, ..Chance::default() }).unwrap().remove(0)
    }

    #[test]
    fn the_list_is_raised_where_the_law_is_broad_and_nowhere_else() {
        let lab = lab(sweet(1.0, KeyedTest::Count));
        let Planting::Law(law) = lab.build(&Key::decoy(1, 0)).unwrap().planting().remove(0) else { panic!("no law") };
        assert_eq!(law.stage(), Stage::BeforeTemperature);
        let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, vec![1, 9], 1) };
        // one token ahead of 511 equal ones: e^-lead each
        for lead in [0.0, 4.0, 8.0, 9.0, 12.0] {
            let mut logits = vec![0.0; 512];
            logits[7] = lead;
            let rest = 511.0 * libm::exp(-f64::from(lead));
            let p = 1.0 / (1.0 + rest);
            let entropy = -p * libm::log(p) - (1.0 - p) * libm::log((1.0 - p) / 511.0);
            let before = logits.clone();
            law.process(&Step { query: &query, tokens: &query.prompt }, Row::alone(&mut logits));
            assert_eq!(logits != before, entropy > 1.0, "lead {lead}: entropy {entropy}");
        }
    }

    /// What detection scores is what generation raised, to the last place: the units are those of a walk that looks at the raw law itself.
    #[test]
    fn detection_scores_the_tokens_that_generation_raised() {
        let (lab, key) = (lab(sweet(0.9, KeyedTest::Count)), Key::decoy(2, 0));
        let mark = lab.build(&key).unwrap();
        let (model, plain) = (lab.marked(&*mark), lab.model(1_000));
        let seen = found(&lab, &*mark, &model);
        let (mut scored, mut hits, mut passed) = (std::collections::BTreeSet::new(), 0.0, 0);
        let list = GreenValues { purpose: Purpose::Kind(KIND), gamma: 0.25 }.list(&key);
        for item in model.answer(&lab.audit()).unwrap() {
            let pairs: Vec<[TokenId; 2]> = item.query.prompt.windows(2).map(|pair| [pair[0], pair[1]]).collect();
            for at in 1..item.answer.len() {
                let logits = plain.logits(&[&item.query.prompt[..], &item.answer[..at]].concat());
                if crate::keyed::green_scheme::entropy(&logits) <= 0.9 {
                    passed += 1;
                    continue;
                }
                let pair = [item.answer[at - 1], item.answer[at]];
                if !pairs.contains(&pair) && scored.insert(pair) {
                    hits += f64::from(u8::from(list.is_green(&pair)));
                }
            }
        }
        assert!(passed > 300 && scored.len() > 300, "{passed} passed over, {} scored", scored.len());
        assert_eq!((seen.evidence.n, seen.evidence.statistic), (scored.len() as u64, hits));
        assert!(seen.evidence.log10_p < -10.0, "{seen:?}");
    }

    /// The scheme's reason: on the same text, tokens without a choice would dilute the count.
    #[test]
    fn passing_over_certain_tokens_shows_more_of_the_mark() {
        for test in [KeyedTest::Count, KeyedTest::default()] {
            let (gated, open) = (lab(sweet(0.9, test.clone())), lab(sweet(0.0, test)));
            let key = Key::decoy(3, 0);
            let model = gated.marked(&*gated.build(&key).unwrap());
            let of = |lab: &Lab| found(lab, &*lab.build(&key).unwrap(), &model).evidence;
            let (gated, open) = (of(&gated), of(&open));
            assert!(gated.n < open.n && gated.effect > 1.3 * open.effect, "{gated:?}\n{open:?}");
            assert!(gated.log10_p < open.log10_p - 1.0, "{} and {}", gated.log10_p, open.log10_p);
        }
    }

    /// Another model's entropies choose other tokens, and no key enters either choice.
    #[test]
    fn entropies_of_a_named_model_are_asked_for() {
        let config = SweetConfig { entropy_of: "base".into(), ..sweet(0.9, KeyedTest::Count) };
        let needs = config.needs();
        assert_eq!(needs.second_round, [Whom::Named("base".into())]);
        assert_eq!(sweet(0.9, KeyedTest::default()).needs().second_round, [Whom::Teacher]);
        let lab = lab(config);
        let mark = lab.build(&Key::decoy(4, 0)).unwrap();
        let near = found(&lab, &*mark, &lab.marked(&*mark)).evidence;
        // a stranger's entropies pass over as many marked tokens as unmarked ones: weaker, and still a valid count
        assert!(near.n > 300 && near.log10_p < -5.0, "{near:?}");
    }

    #[test]
    fn lists_are_pinned() {
        let key = Key::new(std::array::from_fn(|i| i as u8), "pinned");
        let list = GreenValues { purpose: Purpose::Kind(KIND), gamma: 0.25 }.list(&key);
        let green: Vec<TokenId> = (0..40).filter(|&token| list.is_green(&[7, token])).collect();
        assert_eq!(green, [1, 3, 9, 10, 11, 14, 19, 32, 34, 35]);
    }
}
