//! Linear centred kernel alignment of hidden states. Kornblith, Norouzi, Lee and Hinton, *Similarity of Neural Network
//! Representations Revisited*, ICML 2019 (arXiv 1905.00414); as a fingerprint of lineage Zhang et al., *REEF*, ICLR 2025
//! (arXiv 2410.14273). Methods e2.
//!
//! Two models of any widths are compared by which pairs of tokens they hold alike: the similarity of their matrices of inner products
//! of states, centred. Rotating or scaling states changes nothing. The plain estimate grows with width over tokens, so the unbiased
//! one is used (Song et al. 2012; the form with centred matrices is Székely and Rizzo's, 2014): models with nothing in common have 0
//! on average.
//!
//! Permuting which text belongs to which would only test that both models read the same texts, as every model does. The null here
//! is "no nearer to the teacher than this reference is": texts are split into disjoint groups, each gives the similarity of suspect
//! and teacher less that of reference and teacher, and these differences are independent over groups of texts. Where suspect and
//! reference are exchangeable on a group either sign is as likely, and p comes from flipping signs (`relative`); the largest p over
//! references counts. So a suspect must be nearer than all of them. Models that share an initialisation or training data with the
//! teacher are, whether or not they learned from its answers: the claim is lineage.

use std::ops::Range;
use std::sync::Arc;

use oracle::{Access, ConfigError, Matrix, TokenId};
use serde::{Deserialize, Serialize};

use crate::relative::{Differences, nearer_than_all};
use crate::{
    Bed, Case, Claim, Family, Finding, Mark, MarkConfig, MarkError, MarkInfo, Metric, Needs, Owner, Planting, Question, Seen,
    TeacherView,
};

/// Parameters of linear CKA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearCkaConfig {
    /// Number of distinct neutral texts; the states of all their tokens but the first are compared.
    pub texts: usize,
    /// Groups that the texts are split into, one similarity each; at least 10, because fewer cannot show a p of 0.001.
    pub groups: usize,
    /// Where in the model: 0 is what goes into the first layer, 1 what comes out of the last.
    pub depth: f64,
}

/// Fewest groups: 2^-10 is below 0.001.
const FEWEST_GROUPS: usize = 10;
/// Fewest tokens of a group: the unbiased estimate divides by this less 3.
const FEWEST_TOKENS: usize = 4;

impl MarkConfig for LinearCkaConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Probe,
            needs: Access::Weights,
            claim: Claim::Lineage,
            planted: false,
            compares: true,
            key_label: "probe linear_cka",
            source: "Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019, arXiv 1905.00414",
            summary: "hidden states hold the same texts alike as the teacher's, more so than any other model's do",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.groups < FEWEST_GROUPS {
            return Err(ConfigError::new("groups", self.groups, format!("use at least {FEWEST_GROUPS}, for example 20")));
        }
        if self.texts < self.groups {
            return Err(ConfigError::new("texts", self.texts, format!("use at least {}, one for each group", self.groups)));
        }
        if !(0.0..=1.0).contains(&self.depth) {
            return Err(ConfigError::new(
                "depth",
                self.depth,
                "use 0 (into the first layer) to 1 (out of the last), for example 0.7",
            ));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { neutral_prompts: self.texts as u64, compared_with: TeacherView::Raw, ..Needs::default() }
    }

    fn examples() -> Vec<Self> {
        vec![Self { texts: 40, groups: 20, depth: 1.0 }, Self { texts: 25, groups: 12, depth: 0.5 }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![("texts", "19"), ("groups", "9"), ("depth", "-0.1"), ("depth", "1.5")]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let texts = owner.distinct_neutral("texts", self.texts)?;
        let mark = LinearCka { config: self.clone(), texts };
        let shortest = mark.groups().map(|group| mark.compared(group).len()).min().unwrap_or(0);
        if shortest < FEWEST_TOKENS {
            let remedy = format!("use more texts or fewer groups: a group has {shortest} tokens and needs {FEWEST_TOKENS}");
            return Err(ConfigError::new("texts", self.texts, remedy).into());
        }
        Ok(Arc::new(mark))
    }

    /// Its test is a permutation: 199 flips show 2.3 at most.
    fn bed(&self) -> Bed {
        Bed { evidence: 2.2, ..Bed::default() }
    }
}

struct LinearCka {
    config: LinearCkaConfig,
    texts: Vec<Vec<TokenId>>,
}

const KIND: &str = "linear_cka";

impl LinearCka {
    /// The texts of each group, as equal in number as they can be.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let LinearCkaConfig { texts, groups, .. } = self.config;
        (0..groups).map(move |group| group * texts / groups..(group + 1) * texts / groups)
    }

    /// Rows of all states that belong to a group: every token but the first of a text, which is the same everywhere.
    fn compared(&self, group: Range<usize>) -> Vec<usize> {
        let mut start: usize = self.texts[..group.start].iter().map(Vec::len).sum();
        let mut rows = Vec::new();
        for text in &self.texts[group] {
            rows.extend(start + 1..start + text.len());
            start += text.len();
        }
        rows
    }

    /// By group, what `who` holds alike.
    fn alike(&self, who: &str, seen: &[Seen]) -> Result<Vec<Vec<f64>>, MarkError> {
        let missing = || MarkError::unmeasurable(KIND, format!("the states of {who} are missing"));
        let states = seen.first().and_then(Seen::matrices).and_then(|all| all.first()?.as_ref()).ok_or_else(missing)?;
        let tokens: usize = self.texts.iter().map(Vec::len).sum();
        if states.rows != tokens || states.data.len() != states.rows * states.cols {
            let reason =
                format!("{tokens} tokens were read and {who} gave {} states; it must use the same tokenizer", states.rows);
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        if states.data.iter().any(|x| !x.is_finite()) {
            return Err(MarkError::unmeasurable(KIND, format!("a state of {who} is not a number")));
        }
        Ok(self.groups().map(|group| centred(states, &self.compared(group))).collect())
    }
}

/// Inner products of the states of `rows`, without those of a state with itself, centred so that nothing is expected of unrelated
/// states, and of length 1: (rows, rows). All zero where the states do not vary.
fn centred(states: &Matrix, rows: &[usize]) -> Vec<f64> {
    let n = rows.len();
    let state = |row: usize| &states.data[rows[row] * states.cols..][..states.cols];
    let mut products = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            let product: f64 = state(i).iter().zip(state(j)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            products[i * n + j] = product;
            products[j * n + i] = product;
        }
    }
    let sums: Vec<f64> = products.chunks(n).map(|row| row.iter().sum()).collect();
    let (less_two, total) = (n as f64 - 2.0, sums.iter().sum::<f64>());
    let largest = products.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            products[i * n + j] += (total / (n as f64 - 1.0) - sums[i] - sums[j]) / less_two;
        }
    }
    let length = products.iter().map(|x| x * x).sum::<f64>().sqrt();
    // what is left of equal states is rounding
    let scale = if length > 1e-9 * largest * n as f64 { 1.0 / length } else { 0.0 };
    products.iter_mut().for_each(|x| *x *= scale);
    products
}

/// Unbiased linear CKA of two centred matrices, -1 to 1.
fn similarity(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Mark for LinearCka {
    fn planting(&self) -> Vec<Planting> {
        Vec::new()
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Hidden { texts: self.texts.clone(), depth: self.config.depth }]
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        let teacher = case.teacher.ok_or_else(|| MarkError::unmeasurable(KIND, "the teacher's own states are missing"))?;
        let teacher = self.alike("the teacher", teacher)?;
        let to_teacher = |who: &str, seen: &[Seen]| -> Result<Vec<f64>, MarkError> {
            Ok(self.alike(who, seen)?.iter().zip(&teacher).map(|(theirs, teacher)| similarity(theirs, teacher)).collect())
        };
        let ours = to_teacher("the suspect", case.suspect)?;
        let mut against = Vec::with_capacity(case.references.len());
        for reference in case.references {
            let theirs = to_teacher(reference.name, reference.seen)?;
            let by_unit = ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs).collect();
            against.push(Differences { name: reference.name, by_unit });
        }
        let (evidence, nearest) = nearer_than_all(KIND, &against, "group", case.chance)?;
        let cka = ours.iter().sum::<f64>() / ours.len() as f64;
        let detail = format!(
            "similarity with the raw teacher {cka:.3}, {:.3} above the nearest other model's, {nearest}",
            evidence.effect
        );
        let metrics = vec![Metric::new("cka", cka, "1")];
        Ok(vec![Finding { metrics, ..Finding::new(evidence, "similarity above the nearest other model's", detail) }])
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::testing::{Lab, ToyModel};
    use crate::{Chance, Key, MarkEntry, Reference};

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Matrix { rows, cols, data: (0..rows * cols).map(|_| rng.random::<f32>() - 0.5).collect() }
    }

    fn cka(a: &Matrix, b: &Matrix) -> f64 {
        let rows: Vec<usize> = (0..a.rows).collect();
        similarity(&centred(a, &rows), &centred(b, &rows))
    }

    /// The estimate of Song et al. (2012), equation 5, term by term.
    fn hsic(a: &Matrix, b: &Matrix) -> f64 {
        let n = a.rows;
        let gram = |m: &Matrix| -> Vec<f64> {
            let row = |i: usize| &m.data[i * m.cols..(i + 1) * m.cols];
            let inner = |i, j| row(i).iter().zip(row(j)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            (0..n * n).map(|at| if at / n == at % n { 0.0 } else { inner(at / n, at % n) }).collect()
        };
        let (k, l) = (gram(a), gram(b));
        let sums = |m: &[f64]| -> Vec<f64> { m.chunks(n).map(|row| row.iter().sum()).collect() };
        let (k_sums, l_sums, n) = (sums(&k), sums(&l), n as f64);
        let trace: f64 = k.iter().zip(&l).map(|(x, y)| x * y).sum();
        let totals = k_sums.iter().sum::<f64>() * l_sums.iter().sum::<f64>() / ((n - 1.0) * (n - 2.0));
        let cross: f64 = k_sums.iter().zip(&l_sums).map(|(x, y)| x * y).sum();
        (trace + totals - 2.0 / (n - 2.0) * cross) / (n * (n - 3.0))
    }

    #[test]
    fn it_is_the_unbiased_estimate() {
        let (a, mut b) = (random(9, 4, 1), random(9, 7, 2));
        for row in 0..9 {
            b.data[row * 7] += 3.0 * a.data[row * 4];
        }
        let expected = hsic(&a, &b) / (hsic(&a, &a) * hsic(&b, &b)).sqrt();
        assert!((cka(&a, &b) - expected).abs() < 1e-9 && expected > 0.1, "{} {expected}", cka(&a, &b));
        assert!((cka(&a, &a) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn turning_moving_and_scaling_change_nothing_and_strangers_have_nothing_in_common() {
        let a = random(30, 3, 3);
        // a turn by 36.87 degrees, a move, a scale
        let moved = a.data.chunks(3).flat_map(|x| [7.0 + 4.0 * x[0] - 3.0 * x[1], 3.0 * x[0] + 4.0 * x[1], 5.0 * x[2] - 2.0]);
        let b = Matrix { data: moved.collect(), ..a.clone() };
        assert!((cka(&a, &b) - 1.0).abs() < 1e-4, "{}", cka(&a, &b));
        // far wider than there are tokens: the plain estimate would be near 1
        let strange: Vec<f64> = (0..200).map(|seed| cka(&random(8, 64, 2 * seed), &random(8, 64, 2 * seed + 1))).collect();
        let mean = strange.iter().sum::<f64>() / 200.0;
        // one has a standard deviation of about 0.22: four standard errors
        assert!(mean.abs() < 0.065, "{mean}");
        let flat = Matrix { data: vec![2.0; 90], ..a.clone() };
        assert_eq!(cka(&a, &flat), 0.0, "states that do not vary are like nothing");
    }

    fn lab(config: LinearCkaConfig) -> Lab {
        Lab::new(&MarkEntry { linear_cka: Some(Box::new(config)), ..MarkEntry::default() })
    }

    /// A model that holds what the teacher holds, in coordinates of its own.
    #[test]
    fn a_relative_of_the_teacher_is_nearer_than_strangers_and_less_near_than_a_copy() {
        let lab = lab(LinearCkaConfig { texts: 60, groups: 20, depth: 1.0 });
        let mark = lab.build(&Key::decoy(0, 0)).unwrap();
        let chance = Chance { draws: 999, ..Chance::default() };
        let measure = |suspect: &ToyModel| lab.measure(&*mark, suspect, chance).unwrap().remove(0);
        let (copy, stranger) = (measure(&lab.model(1_000)), measure(&lab.model(3)));
        let relative = measure(&ToyModel { view: 1_000, ..lab.model(3) });
        assert!((copy.metrics[0].value - 1.0).abs() < 1e-6 && copy.evidence.log10_p == -3.0, "{copy:?}");
        assert!(relative.evidence.log10_p == -3.0 && (0.3..0.95).contains(&relative.metrics[0].value), "{relative:?}");
        assert!(stranger.evidence.log10_p > -2.0 && stranger.metrics[0].value.abs() < 0.1, "{stranger:?}");
        assert!(relative.evidence.interval.low > 0.0 && relative.evidence.n == 20);
    }

    #[test]
    fn every_text_is_in_one_group_without_its_first_token() {
        let texts: Vec<Vec<TokenId>> = (0..23).map(|i| vec![1; 3 + i % 4]).collect();
        let mark = LinearCka { config: LinearCkaConfig { texts: 23, groups: 10, depth: 0.0 }, texts: texts.clone() };
        let rows: Vec<usize> = mark.groups().flat_map(|group| mark.compared(group)).collect();
        let mut start = 0;
        let expected = texts.iter().flat_map(|text| {
            start += text.len();
            start - text.len() + 1..start
        });
        assert_eq!(rows, expected.collect::<Vec<_>>());
        assert!(mark.groups().all(|group| group.len() == 2 || group.len() == 3));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let lab = lab(LinearCkaConfig { texts: 10, groups: 10, depth: 1.0 });
        let mark = lab.build(&Key::decoy(0, 0)).unwrap();
        let states =
            |rows: usize, value: f32| vec![Seen::Matrices(vec![Some(Matrix { rows, cols: 2, data: vec![value; 2 * rows] })])];
        let (good, short, diverged) = (states(90, 1.0), states(89, 1.0), states(90, f32::NAN));
        let reason = |suspect: &[Seen], teacher: &[Seen], reference: &[Seen]| {
            let references = [Reference { name: "base", seen: reference }];
            let case = Case {
                suspect,
                teacher: Some(teacher),
                references: &references,
                second: &[],
                contexts: None,
                chance: Chance::default(),
            };
            mark.judge(&case).unwrap_err().to_string()
        };
        assert!(reason(&short, &good, &good).contains("the suspect gave 89"));
        assert!(reason(&good, &diverged, &good).contains("a state of the teacher is not a number"));
        assert!(reason(&good, &good, &[Seen::Matrices(vec![None])]).contains("the states of base are missing"));

        let key = Key::decoy(0, 0);
        let neutral: Vec<Vec<TokenId>> = (3..13).map(|id| vec![1, id, id]).collect();
        let config = LinearCkaConfig { texts: 10, groups: 10, depth: 1.0 };
        let error = config.build(&Owner { neutral: &neutral, ..Owner::new(&key, &lab.codec) }).err().unwrap();
        assert!(error.to_string().contains("a group has 2 tokens"), "{error}");
    }
}
