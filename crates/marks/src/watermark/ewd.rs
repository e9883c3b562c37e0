//! EWD: a green list whose tokens count by the entropy of the law that they were drawn from. Lu, Liu, Yu, Li and King, *An Entropy-based
//! Text Watermarking Detection Method*, ACL 2024 (arXiv 2403.13485). Methods a6; spike entropy after Kirchenbauer et al. 2023 (a1).
//!
//! What is served is KGW's bias. A token counts W = S - 1 / (1 + z), where S = sum of p / (1 + z p) is the spike entropy of the law with
//! modulus z = (1 - gamma) (e^delta - 1) / (1 - gamma + e^delta gamma), and 1 / (1 + z) is what a certain token has. (The authors take off
//! the least S of the text, which in a long text is the same.) Their z is (sum of W over green tokens - gamma sum of W) / sqrt(gamma (1 -
//! gamma) sum of W^2); here the verdict rests on Chernoff's bound of the same sum, or on the keyed score test with the same weights.

use std::sync::Arc;

use oracle::{ConfigError, Exchange, Law, LogitsProcessor};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Null, WeightedHits};

use crate::key::Purpose;
use crate::keyed::entropy_of::{check_model, is_teacher, needs, teacher};
use crate::keyed::green::GreenRows;
use crate::keyed::green_scheme::{GreenBias, GreenValues, check_green};
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, PlaceWeights, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Reduce, Whom, identity};

const KIND: &str = "ewd";

/// Weights are whole numbers of this many parts, so that few differ.
const PARTS: f64 = 128.0;

/// Parameters of the EWD watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EwdConfig {
    /// Share of the vocabulary that is green after each context, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its green list, 0 to 5.
    pub context_width: usize,
    /// The model whose entropies are the tokens' weights: `teacher` (raw), `clean`, `base`, `stranger`, or an entry of `[models]`.
    #[serde(default = "teacher", skip_serializing_if = "is_teacher")]
    pub entropy_of: String,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for EwdConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark ewd",
            source: "Lu et al., An Entropy-based Text Watermarking Detection Method, ACL 2024, arXiv 2403.13485",
            summary: "soft green list whose tokens count by the entropy of the law that they were drawn from",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        check_green(self.gamma, self.delta, self.context_width)?;
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
        let (delta, context_width) = (self.delta as f32, self.context_width);
        let bias = Arc::new(GreenBias { name, rows, delta, context_width, above_entropy: None });
        let weight = SpikeEntropy { modulus: modulus(self.gamma, self.delta) };
        let scheme = Ewd { rules, values, bias, whom: Whom::called(&self.entropy_of), weight };
        Ok(Arc::new(Keyed::new(scheme, owner.key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        let (dedup, test) = (Dedup::Pairs, KeyedTest::default());
        let example = Self { gamma: 0.5, delta: 2.0, context_width: 1, entropy_of: teacher(), dedup, test };
        let counted = Self { gamma: 0.25, context_width: 2, test: KeyedTest::Count, ..example.clone() };
        vec![example, counted]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("gamma", "0.0"),
            ("gamma", "1.0"),
            ("delta", "0.0"),
            ("context_width", "6"),
            ("entropy_of", "\"\""),
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

/// z of the spike entropy.
fn modulus(gamma: f64, delta: f64) -> f64 {
    // divided by e^delta, so that a hard list does not overflow
    let soft = libm::exp(-delta);
    (1.0 - gamma) * (1.0 - soft) / ((1.0 - gamma) * soft + gamma)
}

struct Ewd {
    rules: Rules,
    values: GreenValues,
    bias: Arc<GreenBias>,
    whom: Whom,
    weight: SpikeEntropy,
}

impl Scheme for Ewd {
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
        Some(PlaceWeights { whom: self.whom.clone(), reduce: Arc::new(self.weight) })
    }

    fn null_of(&self, weights: &[f64]) -> Box<dyn Null> {
        Box::new(WeightedHits::new(self.values.rate(), weights))
    }

    fn scorer(&self, key: &Key) -> Scorer {
        self.values.scorer(key, self.rules.context_width)
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens, weighted by entropy, above chance"
    }

    /// The authors' z.
    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        let (n, law) = (evidence.n as f64, &evidence.null);
        let (mean, sd) = (law.mean.unwrap_or(0.0), law.sd.unwrap_or(0.0));
        let z = if sd > 0.0 { (evidence.statistic - n * mean) / (n.sqrt() * sd) } else { 0.0 };
        format!("z {z:.2} over {} units weighted by entropy", evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(&self.values)
    }
}

/// W of a law.
#[derive(Debug, Clone, Copy)]
struct SpikeEntropy {
    modulus: f64,
}

impl Reduce for SpikeEntropy {
    /// A law that shows its top only counts its tail as one token, which gives a lower bound.
    fn reduce(&self, _given: &Exchange, _position: usize, law: Law<'_>, kept: &mut Vec<f64>) {
        let (log_probs, whole) = match law {
            Law::Whole(log_probs) => (log_probs, true),
            Law::Top { log_probs, .. } => (log_probs, false),
        };
        let term = |p: f64| p / (1.0 + self.modulus * p);
        let (mut spike, mut mass) = (0.0, 0.0);
        for &log_prob in log_probs {
            let p = f64::from(libm::expf(log_prob));
            spike += term(p);
            mass += p;
        }
        if !whole {
            spike += term((1.0 - mass).max(0.0));
        }
        let weight = (spike - 1.0 / (1.0 + self.modulus)).max(0.0);
        kept.push((weight * PARTS).round() / PARTS);
    }
}

#[cfg(test)]
mod tests {
    use oracle::Oracle;

    use super::*;
    use crate::keyed::Units;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Finding, MarkEntry};

    fn ewd(gamma: f64, test: KeyedTest) -> EwdConfig {
        EwdConfig { gamma, test, ..EwdConfig::examples().remove(0) }
    }

    /// Toys whose laws are narrow.
    fn lab(config: EwdConfig) -> Lab {
        let mut lab = Lab::new(&MarkEntry { ewd: Some(Box::new(config)), ..MarkEntry::default() });
        lab.bed.sharpness = 500.0;
        lab
    }

    fn found(lab: &Lab, mark: &dyn Mark, model: &ToyModel) -> Finding {
        lab.measure(mark, model, Chance { decoys: 99, decoy_seed: 1, ..Chance::default() }).unwrap().remove(0)
    }

    fn weight(modulus: f64, law: Law<'_>) -> f64 {
        let mut kept = Vec::new();
        let given = Exchange { query: oracle::Query::greedy(0, vec![1], 1), answer: vec![3], stop: oracle::Stop::Length };
        SpikeEntropy { modulus }.reduce(&given, 0, law, &mut kept);
        assert_eq!(kept.len(), 1);
        kept[0]
    }

    /// gamma 1/2, delta 2: z = tanh 1. Values by hand from the paper's formula, to the step of weights.
    #[test]
    fn weights_are_spike_entropies_above_that_of_a_certain_token() {
        let z = modulus(0.5, 2.0);
        assert!((z - libm::tanh(1.0_f64)).abs() < 1e-15);
        assert!((modulus(0.25, 1e6) - 3.0).abs() < 1e-12);
        let of = |law: &[f64]| {
            let logs: Vec<f32> = law.iter().map(|p| libm::log(*p) as f32).collect();
            (weight(z, Law::Whole(&logs)), weight(z, Law::Top { ids: &[3, 4], log_probs: &logs[..2.min(logs.len())] }))
        };
        let exact = |law: &[f64]| law.iter().map(|p| p / (1.0 + z * p)).sum::<f64>() - 1.0 / (1.0 + z);
        let law = [0.5, 0.3, 0.2];
        assert!((exact(&law) - 0.212_210).abs() < 1e-5, "{}", exact(&law));
        for law in [&law[..], &[0.9, 0.05, 0.05], &[0.25; 4]] {
            assert!((of(law).0 - exact(law)).abs() <= 0.5 / PARTS + 1e-6, "{law:?}");
            // less is seen of a law whose tail is one token
            assert!(of(law).1 <= of(law).0);
        }
        assert_eq!(of(&[1.0]).0, 0.0);
    }

    /// The authors' z, computed from texts, lists and entropies one by one.
    #[test]
    fn the_count_is_the_authors_z() {
        let (lab, key) = (lab(ewd(0.25, KeyedTest::Count)), Key::decoy(1, 1));
        let mark = lab.build(&key).unwrap();
        let (model, plain) = (lab.marked(&*mark), lab.model(1_000));
        let seen = found(&lab, &*mark, &model);
        let answers = model.answer(&lab.audit()).unwrap();
        let (z, list) = (modulus(0.25, 2.0), GreenValues { purpose: Purpose::Kind(KIND), gamma: 0.25 }.list(&key));
        let rules = Rules::new(1, Dedup::Pairs, &*lab.codec);
        let (mut met, mut green, mut sum, mut squares) = (std::collections::BTreeSet::new(), 0.0, 0.0, 0.0);
        for item in &answers {
            let own = Units::walk(std::slice::from_ref(item), &rules);
            for at in 1..item.answer.len() {
                let pair = [item.answer[at - 1], item.answer[at]];
                if !own.windows().any(|window| window == pair) || met.contains(&pair) {
                    continue;
                }
                let logits = plain.logits(&[&item.query.prompt[..], &item.answer[..at]].concat());
                let total: f64 = logits.iter().map(|x| libm::exp(f64::from(*x))).sum();
                let spike: f64 = logits.iter().map(|x| libm::exp(f64::from(*x)) / total).map(|p| p / (1.0 + z * p)).sum();
                let weight = ((spike - 1.0 / (1.0 + z)).max(0.0) * PARTS).round() / PARTS;
                // certain tokens are no units
                if weight > 0.0 {
                    met.insert(pair);
                    (sum, squares) = (sum + weight, squares + weight * weight);
                    green += if list.is_green(&pair) { weight } else { 0.0 };
                }
            }
        }
        let rate = crate::keyed::green::GreenList::rate_of(0.25);
        let z = (green - rate * sum) / (rate * (1.0 - rate) * squares).sqrt();
        assert!(seen.detail.starts_with(&format!("z {z:.2} over {} units", met.len())), "{z}, {}: {}", met.len(), seen.detail);
        assert!((seen.evidence.statistic - green).abs() < 1e-9 && z > 8.0, "{seen:?}");
        assert!((seen.evidence.effect - (green / sum - rate)).abs() < 1e-9);
    }

    /// The scheme's reason: on the same narrow text a plain count shows less.
    #[test]
    fn weights_show_more_than_a_plain_count() {
        let (lab, key) = (lab(ewd(0.25, KeyedTest::Count)), Key::decoy(2, 1));
        let mark = lab.build(&key).unwrap();
        let model = lab.marked(&*mark);
        let weighed = found(&lab, &*mark, &model).evidence;
        let units = Units::walk(&model.answer(&lab.audit()).unwrap(), &Rules::new(1, Dedup::Pairs, &*lab.codec));
        let list = GreenValues { purpose: Purpose::Kind(KIND), gamma: 0.25 }.list(&key);
        let hits = units.windows().filter(|window| list.is_green(window)).count() as u64;
        let plain = Evidence::binomial(hits, units.len() as u64, 0.25);
        assert!(weighed.log10_p < plain.log10_p - 2.0, "{} and {}", weighed.log10_p, plain.log10_p);
    }

    #[test]
    fn the_score_test_weighs_tokens_too() {
        let (lab, key) = (lab(ewd(0.5, KeyedTest::default())), Key::decoy(3, 1));
        let mark = lab.build(&key).unwrap();
        let seen = found(&lab, &*mark, &lab.marked(&*mark));
        assert!(seen.evidence.log10_p < -10.0 && seen.metric("count_log10_p").unwrap() < -8.0, "{seen:?}");
        // tokens of weight 0 are not scored
        assert!(seen.evidence.n < 100 * 23, "{}", seen.evidence.n);
    }
}
