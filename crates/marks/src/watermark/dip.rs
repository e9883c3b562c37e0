//! DiPmark: the law is reweighted along a keyed order of its tokens. Wu, Hu, Guo, Zhang and Huang, *A Resilient and Accessible
//! Distribution-Preserving Watermark for Large Language Models*, ICML 2024 (arXiv 2310.07710). Methods a6.
//!
//! The first share alpha of the mass in the order of a context is lost, the last is doubled; over keys the law is kept. The authors count
//! tokens in the later half of their orders and state Phi = (count - n / 2) / sqrt(n) with p <= exp(-2 Phi^2); the exact binomial tail of
//! the same count stands in its place here. A value of 0, 1 or 2 for lost, kept or doubled mass shows more where alpha is small. The
//! likelihood ratio of Unbiased stands beside both.

use std::sync::Arc;

use oracle::{ConfigError, Exchange, LogitsProcessor};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::Null;

use crate::case::exchanges;
use crate::key::Purpose;
use crate::keyed::masking;
use crate::keyed::ratio::Ratios;
use crate::keyed::reweight::Reweighting;
use crate::keyed::steps::Steps;
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, Rules, Scheme, Scorer, Skipped};
use crate::{
    AnyKey, Case, Claim, ContextCounts, Family, Finding, FollowUp, Key, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs,
    Owner, Planting, Question, Seen, Whom, identity,
};

const KIND: &str = "dip";

/// What a unit scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DipScore {
    /// 1 in the later half of its context's order, else 0: the authors' count, with an exact binomial tail.
    #[default]
    Half,
    /// 0 where the mass of a broad law is lost, 1 where it is kept, 2 where it is doubled: Chernoff's bound of the tail.
    Density,
}

impl DipScore {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Parameters of the DiP watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DipConfig {
    /// Share of the mass that is lost and doubled, above 0, at most 0.5.
    pub alpha: f64,
    /// Number of tokens before the next one that choose the order, 0 to 5.
    pub context_width: usize,
    /// Whether a token whose context stood before an earlier token of the same answer is drawn unmarked. Needs a context of at
    /// least one token.
    pub mask_repeats: bool,
    /// What a unit scores.
    #[serde(default, skip_serializing_if = "DipScore::is_default")]
    pub score: DipScore,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for DipConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark dip",
            source: "Wu et al., A Resilient and Accessible Distribution-Preserving Watermark for LLMs, ICML 2024, arXiv 2310.07710",
            summary: "the first of the mass in a keyed order is lost, the last doubled: kept on average over keys",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.alpha >= 0.01 && self.alpha <= 0.5) {
            return Err(ConfigError::new("alpha", self.alpha, "use a share from 0.01 to 0.5, for example 0.45"));
        }
        self.test.validate()?;
        masking::check(self.context_width, self.mask_repeats, 4)
    }

    fn needs(&self) -> Needs {
        Needs { lives_in_the_draw: true, ..self.test.needs(self.context_width) }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let &Self { alpha, context_width, mask_repeats, score, dedup, .. } = self;
        let steps = match score {
            DipScore::Half => vec![0.5],
            DipScore::Density => vec![alpha, 1.0 - alpha],
        };
        // how text is scored changes nothing that is drawn
        let name = identity(&Self { dedup: Dedup::default(), ..self.planted() }, owner.key);
        let rules = Rules::new(context_width, dedup, &**owner.codec);
        let steps = Steps::new(Purpose::Kind(KIND), &steps);
        let law = Reweighting { name, state: steps.state(owner.key), alpha, context_width, mask_repeats };
        Ok(reweighted(KIND, rules, steps, law, owner.key, &self.test))
    }

    fn examples() -> Vec<Self> {
        let (dedup, test) = (Dedup::Pairs, KeyedTest::default());
        let example = Self { alpha: 0.45, context_width: 2, mask_repeats: true, score: DipScore::Half, dedup, test };
        let density = Self { alpha: 0.3, context_width: 1, mask_repeats: false, score: DipScore::Density, ..example.clone() };
        vec![example, Self { test: KeyedTest::Count, ..density }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let alphas = ["0.0", "0.51", "-0.1"].map(|value| ("alpha", value));
        alphas.into_iter().chain([("context_width", "6"), ("context_width", "0")]).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { score: DipScore::default(), test: KeyedTest::default(), ..self.clone() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        Self::examples().into_iter().take(1).map(|example| (String::new(), Self { test: KeyedTest::Count, ..example })).collect()
    }
}

/// The mark of the kind `kind` under `key` that plants `law` and scores by `steps`.
pub(super) fn reweighted(
    kind: &'static str,
    rules: Rules,
    steps: Steps,
    law: Reweighting,
    key: &Key,
    test: &KeyedTest,
) -> Arc<dyn Mark> {
    let teacher = match test {
        KeyedTest::Score(test) => test.references.iter().position(|name| Whom::called(name) == Whom::Teacher),
        KeyedTest::Count => None,
    };
    let (alpha, judged) = (law.alpha, (rules.clone(), steps.clone()));
    let keyed = Keyed::new(Reweighted { kind, rules, steps, law: Arc::new(law) }, key).judged_by(test);
    Arc::new(WithRatio { kind, keyed, key: key.clone(), alpha, judged, teacher })
}

struct Reweighted {
    kind: &'static str,
    rules: Rules,
    steps: Steps,
    law: Arc<Reweighting>,
}

impl Scheme for Reweighted {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        self.steps.null()
    }

    fn scorer(&self, key: &Key) -> Scorer {
        self.steps.scorer(key, self.rules.context_width)
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.law.clone()
    }

    /// With the authors' Phi where units score halves.
    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        let n = evidence.n as f64;
        let mean = evidence.statistic / n.max(1.0);
        match evidence.null.mean {
            Some(half) if half <= 0.5 => {
                let phi = (evidence.statistic - 0.5 * n) / n.max(1.0).sqrt();
                format!("{:.1} % of {} units in the later half, Phi {phi:.2}", 100.0 * mean, evidence.n)
            }
            _ => format!("mean value {mean:.3} over {} units", evidence.n),
        }
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(&self.steps)
    }
}

/// A reweighted law's mark with the authors' likelihood ratio beside its finding, where the raw teacher's laws are asked for anyway.
struct WithRatio {
    kind: &'static str,
    keyed: Keyed<Reweighted>,
    key: Key,
    alpha: f64,
    judged: (Rules, Steps),
    /// The teacher's place among the references.
    teacher: Option<usize>,
}

impl WithRatio {
    fn ratios(&self, case: &Case<'_>, answers: &[Exchange]) -> Option<Ratios> {
        let laws = case.second.get(self.teacher?).and_then(Seen::laws).filter(|laws| laws.len() == answers.len())?;
        Some(Ratios::of(&self.judged.0, answers, laws))
    }
}

impl Mark for WithRatio {
    fn planting(&self) -> Vec<Planting> {
        self.keyed.planting()
    }

    fn questions(&self, stream: u64) -> Vec<Question> {
        self.keyed.questions(stream)
    }

    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        self.keyed.follow_up(first)
    }

    fn contexts(&self, first: &[Seen]) -> Option<ContextCounts> {
        self.keyed.contexts(first)
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }
}

impl AnyKey for WithRatio {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let mut found = self.keyed.judge_under(case, keys)?;
        let Some(ratios) = self.ratios(case, exchanges(self.kind, case.suspect, 0)?) else { return Ok(found) };
        for (found, key) in found.iter_mut().zip(keys) {
            let log10_e = ratios.log10_e(self.judged.1.state(key), self.alpha);
            found.metrics.push(Metric::new("ratio_log10_e", log10_e, "log10 e"));
            found.metrics.push(Metric::new("ratio_contexts", ratios.len() as f64, "contexts"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use oracle::{Oracle, Query, Row, Sampling, Step, TokenId};

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, MarkEntry};

    const Q: [f64; 6] = [0.4, 0.25, 0.2, 0.1, 0.05, 0.0];

    fn lab(config: DipConfig) -> Lab {
        Lab::new(&MarkEntry { dip: Some(Box::new(config)), ..MarkEntry::default() })
    }

    fn law(config: DipConfig, key: &Key) -> Arc<dyn LogitsProcessor> {
        let Planting::Law(law) = lab(config).build(key).unwrap().planting().remove(0) else { panic!("no law") };
        law
    }

    /// `Q` as it is served after `tokens`, the first of which is the prompt.
    fn served(law: &dyn LogitsProcessor, tokens: &[TokenId], temperature: f32) -> Vec<f64> {
        let query = Query { sampling: Sampling { temperature, ..Sampling::PLAIN }, ..Query::greedy(0, tokens[..1].to_vec(), 9) };
        let mut logits: Vec<f32> = Q.iter().map(|q| libm::log(*q) as f32 + 3.0).collect();
        law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
        let weights: Vec<f64> = logits.iter().map(|&logit| libm::exp(f64::from(logit))).collect();
        weights.iter().map(|weight| weight / weights.iter().sum::<f64>()).collect()
    }

    fn dip(alpha: f64) -> DipConfig {
        DipConfig { alpha, ..DipConfig::examples().remove(0) }
    }

    #[test]
    fn the_law_is_kept_on_average_over_keys_and_not_under_each() {
        for alpha in [0.5, 0.3] {
            let (n, mut sums, mut squares) = (3_000_u32, [0.0; 6], [0.0; 6]);
            for index in 0..n {
                let law = law(dip(alpha), &Key::decoy(1, u64::from(index)));
                for (token, p) in served(&*law, &[1, 8, 9], 1.0).into_iter().enumerate() {
                    sums[token] += p;
                    squares[token] += p * p;
                }
            }
            for (token, q) in Q.into_iter().enumerate() {
                let mean = sums[token] / f64::from(n);
                let sd = (squares[token] / f64::from(n) - mean * mean).max(0.0).sqrt();
                // 4 standard errors, error rate 1e-4
                assert!((mean - q).abs() <= 4.0 * sd / f64::from(n).sqrt(), "{token}: {mean} for {q}");
                assert!(q == 0.0 || sd > 0.4 * alpha * q, "{token}: {sd}");
            }
        }
    }

    #[test]
    fn repeats_greedy_answers_and_short_texts_are_unmarked() {
        let key = Key::decoy(2, 0);
        let (masked, open) = (law(dip(0.5), &key), law(DipConfig { mask_repeats: false, ..dip(0.5) }, &key));
        let unmarked = |law: &[f64]| law.iter().zip(Q).all(|(p, q)| (p - q).abs() < 1e-6);
        // the prompt is the first token: 8 9 stood before 8, an answer token
        let again = [1, 8, 9, 8, 9];
        assert!(unmarked(&served(&*masked, &again, 1.0)) && !unmarked(&served(&*open, &again, 1.0)));
        assert!(!unmarked(&served(&*masked, &again[..4], 1.0)));
        assert!(unmarked(&served(&*open, &again, 0.0)) && unmarked(&served(&*open, &again[..1], 1.0)));
    }

    /// On a broad law with alpha .3 the mean of halves is 1/2 + .3, that of 0, 1, 2 is 1 + 2 (.3); in standard deviations .6 and .77 a
    /// token. Theory to 4 standard errors, error rate 1e-4.
    #[test]
    fn scores_have_the_mean_of_theory_and_density_shows_more_of_a_small_share() {
        let of = |score| {
            let config = DipConfig { alpha: 0.3, score, test: KeyedTest::Count, mask_repeats: false, ..dip(0.3) };
            let mut lab = lab(config);
            (lab.bed.sharpness, lab.bed.prompts) = (0.5, 200);
            let mark = lab.build(&Key::decoy(3, 0)).unwrap();
            lab.measure(&*mark, &lab.marked(&*mark), Chance::default()).unwrap().remove(0).evidence
        };
        let (half, density) = (of(DipScore::Half), of(DipScore::Density));
        let n = half.n as f64;
        assert!(n > 3_500.0 && density.n == half.n);
        assert!((half.effect - 0.3).abs() < 4.0 * 0.4 / n.sqrt() + 0.01, "{half:?}");
        assert!((density.effect - 0.6).abs() < 4.0 * 0.5 / n.sqrt() + 0.02, "{density:?}");
        let [z_half, z_density] = [half.effect / 0.5, density.effect / 0.6_f64.sqrt()];
        assert!(z_density > 1.2 * z_half && density.log10_p < half.log10_p, "{z_half} {z_density}");
    }

    /// The authors' statistic under the true key and under others.
    #[test]
    fn the_likelihood_ratio_stands_beside_the_score() {
        let lab = lab(dip(0.45));
        let (key, other) = (Key::decoy(4, 0), Key::decoy(4, 1));
        let model = lab.marked(&*lab.build(&key).unwrap());
        let answers = model.answer(&lab.audit()).unwrap();
        let found = lab.judge_under(&[key, other], &model, answers, Chance::default()).unwrap();
        let of = |found: &Finding| (found.metric("ratio_log10_e").unwrap(), found.metric("ratio_contexts").unwrap());
        let ((own, contexts), (foreign, same)) = (of(&found[0]), of(&found[1]));
        assert!(own > 100.0 && foreign < 3.0, "{own} and {foreign}");
        assert!(contexts > 1_000.0 && contexts == same);
        assert!(found[0].detail.contains("Phi "), "{}", found[0].detail);
        // nobody's text
        let strange = ToyModel { seed: 9, ..lab.model(9) };
        let found = lab.measure(&*lab.build(&Key::decoy(4, 0)).unwrap(), &strange, Chance::default()).unwrap();
        assert!(of(&found[0]).0 < 3.0, "{found:?}");
    }

    /// Other orders mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
    #[test]
    fn orders_are_pinned() {
        let steps = Steps::new(Purpose::Kind(KIND), &[0.5]);
        let key = Key::new(std::array::from_fn(|i| i as u8), "pinned");
        let candidates: Vec<TokenId> = (0..24).collect();
        let mut values = [0.0; 24];
        steps.values(&key, &[7], &candidates, &mut values);
        let later: Vec<TokenId> = candidates.iter().copied().filter(|&token| values[token as usize] == 1.0).collect();
        assert_eq!(later, [1, 3, 5, 8, 12, 14, 15, 18, 19]);
    }
}
