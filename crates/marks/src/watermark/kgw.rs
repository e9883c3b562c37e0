//! KGW soft green list. Kirchenbauer, Geiping, Wen, Katz, Miers and Goldstein, *A Watermark for Large Language Models*,
//! ICML 2023 (arXiv 2301.10226); *On the Reliability of Watermarks*, ICLR 2024 (2306.04634). Methods a1.
//!
//! Green lists are drawn per pair, not as a permutation per context as in the authors' code: see
//! [`GreenList`](crate::keyed::green::GreenList).

use std::sync::Arc;

use oracle::{ConfigError, KeyedSet, LogitsProcessor, Raised, Row, Stage, Step, TokenId};
use serde::{Deserialize, Serialize};
use stats::Evidence;
use stats::null::{Bernoulli, Null};

use crate::key::Purpose;
use crate::keyed::cumulant;
use crate::keyed::green::{GreenList, GreenRows};
use crate::keyed::scheme::pair_input;
use crate::keyed::{Dedup, Keyed, KeyedTest, KeyedValues, MAX_CONTEXT, Rules, Scheme, Scorer, Skipped};
use crate::{Claim, Family, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, identity};

/// Parameters of the KGW watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KgwConfig {
    /// Share of the vocabulary that is green after each context, strictly between 0 and 1.
    pub gamma: f64,
    /// Added to the logits of green tokens before temperature, nats; a temperature above 1 weakens it.
    pub delta: f64,
    /// Number of tokens before the next one that choose its green list, 0 to 4.
    pub context_width: usize,
    /// Which scored units count once: every pair of context and token, or every context.
    #[serde(default)]
    pub dedup: Dedup,
    /// Which test decides.
    #[serde(default, skip_serializing_if = "KeyedTest::is_default")]
    pub test: KeyedTest,
}

impl MarkConfig for KgwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: "kgw",
            family: Family::Watermark,
            needs: self.test.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark",
            source: "Kirchenbauer et al., A Watermark for Large Language Models, ICML 2023, arXiv 2301.10226",
            summary: "soft green list: the logits of a keyed share of tokens are raised after each context",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        // below 2^-32 the draw, a 32-bit number, cannot tell gamma from 0 (and above 1 - 2^-32 from 1)
        if !(self.gamma >= 2f64.powi(-32) && self.gamma <= 1.0 - 2f64.powi(-32)) {
            return Err(ConfigError::new("gamma", self.gamma, "use a share strictly between 0 and 1, for example 0.25"));
        }
        if !(self.delta > 0.0 && self.delta.is_finite() && (self.delta as f32).is_finite()) {
            return Err(ConfigError::new("delta", self.delta, "use a finite bias above 0, for example 2.0"));
        }
        if self.context_width > MAX_CONTEXT {
            let remedy = format!("use 0 to {MAX_CONTEXT} tokens, for example 1");
            return Err(ConfigError::new("context_width", self.context_width, remedy));
        }
        self.test.validate()
    }

    fn needs(&self) -> Needs {
        self.test.needs(self.context_width)
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let rules = Rules::new(self.context_width, self.dedup, &**owner.codec);
        let rows =
            GreenRows::new(GreenList::new(owner.key, Purpose::GreenList, self.gamma), owner.codec.vocab_size(), &rules.special);
        let name = identity(&Self { test: KeyedTest::default(), ..self.clone() }, owner.key);
        let bias = Arc::new(GreenBias { name, rows, delta: self.delta as f32, context_width: self.context_width });
        Ok(Arc::new(Keyed::new(Kgw { gamma: self.gamma, rules, bias }, owner.key).judged_by(&self.test)))
    }

    fn examples() -> Vec<Self> {
        let example = Self { gamma: 0.25, delta: 2.0, context_width: 1, dedup: Dedup::Pairs, test: KeyedTest::default() };
        let counted = Self { gamma: 0.5, test: KeyedTest::Count, ..example.clone() };
        vec![example.clone(), Self { dedup: Dedup::Contexts, context_width: 3, ..example }, counted]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        let gamma = ["0.0", "1.0", "1.5", "-0.25", "1e-12"].map(|value| ("gamma", value));
        let others = [
            ("delta", "0.0"),
            ("delta", "-2.0"),
            ("delta", "1e300"),
            ("context_width", "5"),
            ("test", r#"{"score": {"kappa": -1}}"#),
            ("test", r#"{"score": {"references": []}}"#),
            ("test", r#"{"score": {"references": ["base", "base"]}}"#),
        ];
        gamma.into_iter().chain(others).collect()
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { test: KeyedTest::default(), ..self.clone() }
    }

    /// The count: the score would need laws too.
    fn timed() -> Vec<(String, Self)> {
        let config = |context_width| Self { gamma: 0.25, delta: 2.0, context_width, dedup: Dedup::Pairs, test: KeyedTest::Count };
        (0..=MAX_CONTEXT).map(|width| (format!("context of {width}"), config(width))).collect()
    }
}

struct Kgw {
    gamma: f64,
    rules: Rules,
    bias: Arc<GreenBias>,
}

impl Kgw {
    fn list(&self, key: &Key) -> GreenList {
        GreenList::new(key, Purpose::GreenList, self.gamma)
    }
}

impl Scheme for Kgw {
    fn kind(&self) -> &'static str {
        "kgw"
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn null(&self) -> Box<dyn Null> {
        Box::new(Bernoulli { rate: GreenList::rate_of(self.gamma) })
    }

    fn scorer(&self, key: &Key) -> Scorer {
        let (list, width) = (self.list(key), self.rules.context_width + 1);
        Box::new(move |windows, scores| list.score(windows, width, scores))
    }

    fn processor(&self) -> Arc<dyn LogitsProcessor> {
        self.bias.clone()
    }

    fn words(&self, evidence: &Evidence, _skipped: &Skipped) -> String {
        format!("{:.0} of {} scored units hit", evidence.statistic, evidence.n)
    }

    fn keyed(&self) -> Option<&dyn KeyedValues> {
        Some(self)
    }
}

/// 1 for a green candidate, else 0.
impl KeyedValues for Kgw {
    fn input(&self, context: &[TokenId], candidate: TokenId) -> u128 {
        pair_input(context, candidate)
    }

    fn values(&self, key: &Key, context: &[TokenId], candidates: &[TokenId], out: &mut [f64]) {
        let list = self.list(key);
        for (value, &candidate) in out.iter_mut().zip(candidates) {
            *value = f64::from(u8::from(list.contains(context, candidate)));
        }
    }

    fn cumulant(&self, lambda: f64, weight: f64) -> [f64; 3] {
        cumulant::bernoulli(GreenList::rate_of(self.gamma), lambda, weight)
    }

    fn effect_unit(&self) -> &'static str {
        "green share of tokens above the unmarked teacher's"
    }
}

/// Raises green logits. The first answer token is biased too, its context being the end of the prompt, although
/// detection never scores it.
struct GreenBias {
    name: String,
    rows: GreenRows,
    delta: f32,
    context_width: usize,
}

impl LogitsProcessor for GreenBias {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        // fewer tokens than a context holds: no list to choose, nothing is raised
        if let Some(context) = step.context(self.context_width) {
            self.rows.add(context, self.delta, row.logits);
        }
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        Some(Raised { bias: self.delta, set: &self.rows, context: step.context(self.context_width)? })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use oracle::{Oracle, Query, Sampling};
    use stats::power;

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Finding, MarkEntry, Planting};

    const VOCAB: usize = 512;

    fn kgw(context_width: usize) -> KgwConfig {
        KgwConfig { gamma: 0.25, delta: 2.0, context_width, dedup: Dedup::Pairs, test: KeyedTest::default() }
    }

    fn lab(config: KgwConfig) -> Lab {
        Lab::new(&MarkEntry { kgw: Some(Box::new(config)), ..MarkEntry::default() })
    }

    fn found(lab: &Lab, mark: &dyn Mark, model: &ToyModel, decoys: usize) -> Finding {
        let chance = Chance { decoys, decoy_seed: 1, draws: 19, draw_seed: 1 };
        lab.measure(mark, model, chance).unwrap().remove(0)
    }

    /// Green mass algebra (methods a1), exactly for the units that detection keeps: given all before, the next token adds
    /// a unit with the probability of its not yet seen tokens, and a hit with the marked probability of the green ones.
    #[test]
    fn green_rate_and_z_meet_the_closed_form() {
        let (lab, key) = (lab(kgw(1)), Key::decoy(4, 0));
        let mark = lab.build(&key).unwrap();
        let list = GreenList::new(&key, Purpose::GreenList, 0.25);
        let model = lab.marked(&*mark);

        let mut seen = HashSet::new();
        let (mut expected_units, mut expected_hits, mut variance) = (0.0, 0.0, 0.0);
        let (mut rate, mut predicted_rate, mut rate_variance, mut tokens) = (0.0, 0.0, 0.0, 0.0);
        for item in &model.answer(&lab.audit()).unwrap() {
            let in_prompt: HashSet<_> = item.query.prompt.windows(2).map(|pair| [pair[0], pair[1]]).collect();
            for place in 0..item.answer.len() {
                let before = [&item.query.prompt[..], &item.answer[..place]].concat();
                let context = before[before.len() - 1];
                // the model's own law, without the mark
                let weights: Vec<f64> = model.logits(&before).iter().map(|&logit| libm::exp(f64::from(logit))).collect();
                let total: f64 = weights.iter().sum();
                let green = |id: usize| list.is_green(&[context, id as TokenId]) && id > 2;
                let green_mass = (0..VOCAB).filter(|&id| green(id)).map(|id| weights[id] / total).sum::<f64>();
                let raised = power::green_mass(green_mass, 2.0);
                (rate, predicted_rate) = (rate + f64::from(green(item.answer[place] as usize)), predicted_rate + raised);
                (rate_variance, tokens) = (rate_variance + raised * (1.0 - raised), tokens + 1.0);
                if place == 0 {
                    continue;
                }
                let marked = |id: usize| {
                    weights[id] / total * if green(id) { raised / green_mass } else { (1.0 - raised) / (1.0 - green_mass) }
                };
                let fresh = |id: &usize| {
                    let pair = [context, *id as TokenId];
                    !seen.contains(&pair) && !in_prompt.contains(&pair)
                };
                let hit: f64 = (0..VOCAB).filter(|id| green(*id) && fresh(id)).map(marked).sum();
                expected_hits += hit;
                variance += hit * (1.0 - hit);
                expected_units += (0..VOCAB).filter(fresh).map(marked).sum::<f64>();
                if fresh(&(item.answer[place] as usize)) {
                    seen.insert([context, item.answer[place]]);
                }
            }
        }
        // sums of bounded martingale differences: 4 standard deviations, error rate 1e-4 each
        assert!((rate - predicted_rate).abs() < 4.0 * f64::sqrt(rate_variance), "{rate} of {tokens}, not {predicted_rate}");
        let found = found(&lab, &*mark, &model, 999);
        let [n, effect] = ["count_units", "count_effect"].map(|number| found.metric(number).unwrap());
        let hits = n * (effect + GreenList::rate_of(0.25));
        assert!((hits - expected_hits).abs() < 4.0 * f64::sqrt(variance), "{hits} hits, predicted {expected_hits}");
        assert!((n - expected_units).abs() < 0.01 * n, "{n} units, predicted {expected_units}");
        let z = power::predicted_z(n as u64, effect + 0.25, 0.25);
        let predicted = power::predicted_z(expected_units as u64, expected_hits / expected_units, 0.25);
        // hits vary by less than one null standard deviation here
        assert!((z - predicted).abs() < 4.0, "z {z}, predicted {predicted}");
        // the score counts every token, and its z is what decoy keys say it is
        let (score, decoys) = (found.evidence.statistic, found.evidence.z_decoy.unwrap());
        assert!(z > 20.0 && score > z && (decoys / score - 1.0).abs() < 0.12, "z {z}, score {score}, against decoys {decoys}");
    }

    #[test]
    fn it_works_at_every_context_width_and_dedup() {
        for dedup in [Dedup::Pairs, Dedup::Contexts] {
            for context_width in 0..=MAX_CONTEXT {
                let lab = lab(KgwConfig { dedup, ..kgw(context_width) });
                let mark = lab.build(&Key::decoy(5, 0)).unwrap();
                // few answers: beyond them a mark without context has said every token
                let model = lab.marked(&*mark);
                let answers = model.answer(&lab.audit()[..40]).unwrap();
                let found = lab.judge(&*mark, &model, answers, Chance::default()).unwrap().remove(0);
                // without context all text draws on one list: "one unit per context" leaves a single unit to the count
                let proven = (context_width, dedup) != (0, Dedup::Contexts);
                assert_eq!(found.metric("count_log10_p").unwrap() < -6.0, proven, "h = {context_width}, {dedup:?}: {found:?}");
                assert!(found.evidence.log10_p < -6.0, "h = {context_width}, {dedup:?}: {found:?}");
            }
        }
    }

    /// The first answer token is raised too; too short a text raises nothing, in the row and token by token.
    #[test]
    fn the_context_may_stand_in_the_prompt_and_short_prompts_are_left_alone() {
        for context_width in 0..=MAX_CONTEXT {
            let Planting::Law(law) = lab(kgw(context_width)).build(&Key::decoy(6, 0)).unwrap().planting().remove(0) else {
                panic!("no law")
            };
            assert_eq!(law.stage(), Stage::BeforeTemperature);
            for before in [&[1, 9, 8, 7, 6, 5][..], &[5, 6, 7, 8], &[5]] {
                let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, before.to_vec(), 1) };
                let step = Step { query: &query, tokens: before };
                let mut logits = vec![0.0; VOCAB];
                law.process(&step, Row::alone(&mut logits));
                let (raised, enough) = (logits.iter().filter(|&&logit| logit == 2.0).count(), before.len() >= context_width);
                assert_eq!(law.raised(&step).is_some(), enough);
                // Binomial(509, 0.25): 4 standard deviations, error rate 1e-4
                let expected = if enough { 127.25 } else { 0.0 };
                assert!((raised as f64 - expected).abs() < if enough { 4.0 * 9.8 } else { 0.5 }, "{raised} raised");
            }
        }
    }

    /// Other lists mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
    #[test]
    fn lists_are_pinned() {
        let list = GreenList::new(&Key::new(std::array::from_fn(|i| i as u8), "pinned"), Purpose::GreenList, 0.25);
        let green: Vec<TokenId> = (0..40).filter(|&token| list.is_green(&[7, token])).collect();
        assert_eq!(green, [5, 20, 26, 27, 29, 32]);
    }
}
