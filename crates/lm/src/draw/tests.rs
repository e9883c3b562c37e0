use std::sync::Arc;

use oracle::{KeyedSet, LogitsProcessor, Query, Row, Stage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::processing::Processing;

fn chain(processors: &[Arc<dyn LogitsProcessor>], vocab: usize) -> Chain<'_> {
    Chain::new(Processing::of(processors), vocab).unwrap()
}

/// A query whose prompt is one token.
fn query(sampling: Sampling) -> Query {
    Query { sampling, ..Query::greedy(0, vec![7], 9) }
}

fn law(sampling: Sampling) -> Vec<f32> {
    let mut logits = vec![1.0, 3.0, 2.0, 3.0, f32::NEG_INFINITY];
    served_law(&mut logits, &sampling, &chain(&[], 5), &Step { query: &query(sampling), tokens: &[7] }, &[]);
    logits
}

const CUT: f32 = f32::NEG_INFINITY;

#[test]
fn each_cut_keeps_what_it_says() {
    let plain = Sampling::PLAIN;
    assert_eq!(law(Sampling::GREEDY), [CUT, 3.0, CUT, CUT, CUT]);
    assert_eq!(law(plain), [1.0, 3.0, 2.0, 3.0, CUT]);
    assert_eq!(law(Sampling { temperature: 2.0, ..plain }), [0.5, 1.5, 1.0, 1.5, CUT]);
    assert_eq!(law(Sampling { top_k: 1, ..plain }), [CUT, 3.0, CUT, CUT, CUT]);
    assert_eq!(law(Sampling { top_k: 3, ..plain }), [CUT, 3.0, 2.0, 3.0, CUT]);
    // The two largest hold 2 e^3 / (2 e^3 + e^2 + e) = 0.799 of the mass.
    assert_eq!(law(Sampling { top_p: 0.79, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
    assert_eq!(law(Sampling { top_p: 0.81, ..plain }), [CUT, 3.0, 2.0, 3.0, CUT]);
    assert_eq!(law(Sampling { top_p: 0.01, ..plain }), [CUT, 3.0, CUT, CUT, CUT]);
    // Mass is that of what top-k left: 0.84 for the two largest of three.
    assert_eq!(law(Sampling { top_k: 3, top_p: 0.83, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
    // e^-1 = 0.368 and e^-2 = 0.135 of the largest
    assert_eq!(law(Sampling { min_p: 0.37, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
    assert_eq!(law(Sampling { min_p: 0.36, ..plain }), [CUT, 3.0, 2.0, 3.0, CUT]);
    assert_eq!(law(Sampling { min_p: 0.13, ..plain }), [1.0, 3.0, 2.0, 3.0, CUT]);
    assert_eq!(law(Sampling { min_p: 1.0, ..plain }), [CUT, 3.0, CUT, 3.0, CUT]);
    assert_eq!(law(Sampling { min_p: 0.5, ..Sampling::GREEDY }), [CUT, 3.0, CUT, CUT, CUT]);
}

#[test]
fn cuts_act_in_the_order_of_the_server() {
    let order = |text: &str| text.parse().unwrap();
    let hot = Sampling { temperature: 2.0, min_p: 0.37, ..Sampling::PLAIN };
    // at temperature 2 the third has e^-0.5 = 0.607 of the largest: it is cut before the temperature alone
    assert_eq!(law(hot), [CUT, 1.5, 1.0, 1.5, CUT]);
    assert_eq!(law(Sampling { order: order("top_k,top_p,min_p,temperature"), ..hot }), [CUT, 1.5, CUT, 1.5, CUT]);
    // top-p counts what min-p left: 2 e^3 / (2 e^3 + e^2) = 0.844, and 0.799 of all
    let both = Sampling { top_p: 0.82, min_p: 0.2, ..Sampling::PLAIN };
    assert_eq!(law(both), [CUT, 3.0, 2.0, 3.0, CUT]);
    assert_eq!(law(Sampling { order: order("temperature,min_p,top_k,top_p"), ..both }), [CUT, 3.0, CUT, 3.0, CUT]);
}

#[test]
fn processors_act_at_their_stage() {
    struct Add(Stage, TokenId, f32);
    impl LogitsProcessor for Add {
        fn name(&self) -> String {
            "add".into()
        }
        fn stage(&self) -> Stage {
            self.0
        }
        fn process(&self, step: &Step<'_>, row: Row<'_>) {
            assert_eq!((step.tokens, step.answer(), row.companions), (&[7, 8][..], &[8][..], &[][..]));
            row.logits[self.1 as usize] += self.2;
        }
    }
    let stages = [(Stage::AfterTruncation, 2, 10.0), (Stage::Shown, 1, 5.0), (Stage::BeforeTemperature, 0, 6.0)];
    let processors: Vec<Arc<dyn LogitsProcessor>> =
        stages.into_iter().map(|(stage, id, added)| Arc::new(Add(stage, id, added)) as _).collect();
    let mut logits = vec![1.0, 3.0, 2.0];
    let sampling = Sampling { temperature: 2.0, top_k: 2, ..Sampling::PLAIN };
    let query = query(sampling);
    let (chain, step) = (chain(&processors, 3), Step { query: &query, tokens: &[7, 8] });
    served_law(&mut logits, &sampling, &chain, &step, &[]);
    // 1 + 6 and 3 survive the cut; the late 10 meets a token already cut off.
    assert_eq!(logits, [3.5, 1.5, CUT]);
    chain.show(&mut logits, &step, &[]);
    assert_eq!(logits, [3.5, 6.5, CUT], "what is shown changes apart");
}

/// A processor after truncation sees the whole row of a greedy answer where it says so, and the most probable token alone else.
#[test]
fn greedy_answers_are_changed_before_the_most_probable_token_is_taken() {
    struct Late(TokenId, f32, bool);
    impl LogitsProcessor for Late {
        fn name(&self) -> String {
            "late".into()
        }
        fn stage(&self) -> Stage {
            Stage::AfterTruncation
        }
        fn changes_greedy(&self) -> bool {
            self.2
        }
        fn process(&self, _step: &Step<'_>, row: Row<'_>) {
            row.logits[self.0 as usize] += self.1;
        }
    }
    let late = |id, added, greedy| Arc::new(Late(id, added, greedy)) as Arc<dyn LogitsProcessor>;
    for (processors, expected) in [
        (vec![late(2, 2.0, true)], [CUT, CUT, 4.0]),
        (vec![late(2, 2.0, false)], [CUT, 3.0, CUT]),
        // one that does not comes after, whatever their order
        (vec![late(2, 1.0, false), late(2, 2.0, true)], [CUT, CUT, 5.0]),
    ] {
        let query = query(Sampling::GREEDY);
        let (chain, step) = (chain(&processors, 3), Step { query: &query, tokens: &[7] });
        let mut logits = vec![1.0, 3.0, 2.0];
        served_law(&mut logits, &Sampling::GREEDY, &chain, &step, &[]);
        assert_eq!(logits, expected);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn = Drawer::default().next(&mut [1.0, 3.0, 2.0], &chain, &step, &[], &mut rng);
        assert_eq!(drawn, expected.iter().position(|logit| *logit > CUT).map(|id| id as TokenId));
        // drawn answers have one order for all
        let plain = Sampling::PLAIN;
        let mut logits = vec![1.0, 3.0, 2.0];
        served_law(&mut logits, &Sampling { top_k: 1, ..plain }, &chain, &step, &[]);
        assert_eq!(logits[1], 3.0);
    }
}

/// Raises every token whose bit is set, as a whole row or token by token.
struct Raise {
    bias: f32,
    set: fn(TokenId) -> bool,
    /// Whether single tokens may be asked about.
    told: bool,
    stage: Stage,
}

impl LogitsProcessor for Raise {
    fn name(&self) -> String {
        "raise".into()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn process(&self, _step: &Step<'_>, row: Row<'_>) {
        let raised = row.logits.iter_mut().enumerate().filter(|(id, _)| (self.set)(*id as TokenId));
        raised.for_each(|(_, logit)| *logit += self.bias);
    }

    fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
        self.told.then_some(Raised { bias: self.bias, set: self, context: step.tokens })
    }
}

impl KeyedSet for Raise {
    fn contains(&self, _context: &[TokenId], token: TokenId) -> bool {
        (self.set)(token)
    }
}

const BEFORE: Stage = Stage::BeforeTemperature;

const DRAWS: usize = 10_000;

/// Chi-square of `DRAWS` draws against the law by its definition in f64, as a standard normal number (Wilson and Hilferty
/// 1931); tokens expected less than 10 times count together. Of a processor after truncation, all but the 50 most probable tokens are cut off.
fn deviation(row: &[f32], temperature: f32, processor: Raise) -> f64 {
    let (bias, set) = (f64::from(processor.bias), processor.set);
    let sampling = match processor.stage {
        Stage::AfterTruncation => Sampling { temperature, top_k: 50, ..Sampling::PLAIN },
        _ => Sampling { temperature, ..Sampling::PLAIN },
    };
    let divided = |of_stage| if processor.stage == of_stage { f64::from(temperature) } else { 1.0 };
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
    let cut = |id: usize| sampling.top_k > 0 && order.iter().skip(sampling.top_k).any(|lost| *lost == id);
    let raised = |(id, logit): (usize, &f32)| match cut(id) {
        true => f64::NEG_INFINITY,
        false => f64::from(*logit) / divided(Stage::AfterTruncation) + if set(id as TokenId) { bias } else { 0.0 },
    };
    let changed: Vec<f64> = row.iter().enumerate().map(raised).collect();
    let highest = changed.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = changed.iter().map(|logit| libm::exp((logit - highest) / divided(BEFORE))).collect();
    let total: f64 = weights.iter().sum();

    let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(processor)];
    let (mut drawer, mut rng) = (Drawer::default(), ChaCha8Rng::seed_from_u64(11));
    let (chain, query) = (chain(&processors, row.len()), query(sampling));
    let step = Step { query: &query, tokens: &[7, 2, 3] };
    let mut counts = vec![0.0; row.len()];
    for _ in 0..DRAWS {
        let token = drawer.next(&mut row.to_vec(), &chain, &step, &[], &mut rng).unwrap();
        counts[token as usize] += 1.0;
    }
    let (mut chi_square, mut cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
    let mut cell = |count: f64, expected: f64| {
        chi_square += (count - expected).powi(2) / expected;
        cells += 1.0;
    };
    for (count, weight) in counts.into_iter().zip(weights) {
        let expected = weight / total * DRAWS as f64;
        if expected >= 10.0 {
            cell(count, expected);
        } else {
            rare = (rare.0 + count, rare.1 + expected);
        }
    }
    if rare.1 >= 10.0 {
        cell(rare.0, rare.1);
    } else {
        // Poisson of a mean below 10: above 40 with probability below 1e-12.
        assert!(rare.0 <= 40.0, "{} rare tokens, expected {}", rare.0, rare.1);
    }
    let freedom = cells - 1.0;
    if freedom == 0.0 {
        return 0.0;
    }
    let spread = 2.0 / (9.0 * freedom);
    (libm::cbrt(chi_square / freedom) - (1.0 - spread)) / f64::sqrt(spread)
}

/// Rows of ids 0..vocab: flat, rough, and peaked on a token outside the set (2) or inside (3).
fn rows(vocab: usize) -> Vec<Vec<f32>> {
    let noise = |id: usize| ((id * 7_919 + 13) % 1_009) as f32 / 1_009.0;
    let rough: Vec<f32> = (0..vocab).map(|id| 6.0 * noise(id)).collect();
    let peaked = |at: usize| (0..vocab).map(|id| if id == at { 12.0 } else { 4.0 * noise(id) }).collect();
    vec![vec![0.5; vocab], rough, peaked(2), peaked(3)]
}

/// 5 standard deviations: error rate 3e-7 for each of some hundred laws.
const BOUND: f64 = 5.0;

#[test]
fn draws_follow_the_law() {
    for vocab in [5, 300] {
        for row in rows(vocab) {
            for (temperature, bias) in [(1.0, 0.0), (0.5, 0.0), (1.3, 1.5)] {
                let found = deviation(&row, temperature, Raise { bias, set: |id| id % 4 == 3, told: false, stage: BEFORE });
                assert!(found < BOUND, "{vocab} tokens, temperature {temperature}, bias {bias}: {found}");
            }
        }
    }
}

#[test]
fn proposals_follow_the_bent_law() {
    let sets: [fn(TokenId) -> bool; 4] = [|id| id % 4 == 3, |id| id == 0, |_| false, |_| true];
    for row in [rows(5), rows(300)].concat() {
        for (temperature, bias) in [(1.0, 2.0), (0.6, 1.0), (1.5, 4.0), (1.0, 10.0), (1.0, 300.0)] {
            for set in sets {
                for stage in [BEFORE, Stage::AfterTruncation] {
                    let found = deviation(&row, temperature, Raise { bias, set, told: true, stage });
                    assert!(found < BOUND, "{} tokens, temperature {temperature}, bias {bias}, {stage:?}: {found}", row.len());
                }
            }
        }
    }
}

#[test]
fn few_tokens_are_asked_about() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    struct Counting(AtomicUsize);
    impl LogitsProcessor for Counting {
        fn name(&self) -> String {
            "counting".into()
        }
        fn stage(&self) -> Stage {
            Stage::BeforeTemperature
        }
        fn process(&self, _: &Step<'_>, _: Row<'_>) {
            panic!("the row is not needed");
        }
        fn raised<'a>(&'a self, step: &Step<'a>) -> Option<Raised<'a>> {
            Some(Raised { bias: 2.0, set: self, context: step.tokens })
        }
    }
    impl KeyedSet for Counting {
        fn contains(&self, context: &[TokenId], token: TokenId) -> bool {
            assert_eq!(context, [7]);
            self.0.fetch_add(1, Ordering::Relaxed);
            token % 4 == 3
        }
    }
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let processors: Vec<Arc<dyn LogitsProcessor>> = vec![counting.clone()];
    let (mut drawer, mut rng) = (Drawer::default(), ChaCha8Rng::seed_from_u64(1));
    let (chain, query) = (chain(&processors, 2_000), query(Sampling::PLAIN));
    let step = Step { query: &query, tokens: &[7] };
    for _ in 0..1_000 {
        // The token that holds nearly all mass is not raised.
        drawer.next(&mut rows(2_000)[2].clone(), &chain, &step, &[], &mut rng).unwrap();
    }
    let asked = counting.0.load(Ordering::Relaxed);
    assert!((500..3_000).contains(&asked), "{asked} for 1,000 draws");
}

#[test]
fn nothing_is_drawn_from_a_broken_law() {
    let told = |told| Arc::new(Raise { bias: 1.0, set: |id| id == 0, told, stage: BEFORE }) as Arc<dyn LogitsProcessor>;
    let mut drawer = Drawer::default();
    let samplings =
        [Sampling::PLAIN, Sampling::GREEDY, Sampling { top_k: 1, ..Sampling::PLAIN }, Sampling { top_p: 0.5, ..Sampling::PLAIN }];
    for processors in [vec![], vec![told(false)], vec![told(true)]] {
        let chain = chain(&processors, 3);
        for sampling in samplings {
            let query = query(sampling);
            let step = Step { query: &query, tokens: &[7] };
            for row in [[CUT, CUT, CUT], [f32::NAN, 1.0, 0.0], [f32::INFINITY, 1.0, 0.0]] {
                let rng = &mut ChaCha8Rng::seed_from_u64(0);
                assert_eq!(drawer.next(&mut row.clone(), &chain, &step, &[], rng), None, "{sampling:?} of {row:?}");
            }
        }
    }
}

/// A processor that draws tokens itself is asked for one, and takes as much randomness as its law would.
#[test]
fn a_chosen_token_is_the_one_that_the_law_leaves() {
    struct Second(bool);
    impl LogitsProcessor for Second {
        fn name(&self) -> String {
            "second".into()
        }
        fn stage(&self) -> Stage {
            Stage::AfterTruncation
        }
        fn process(&self, step: &Step<'_>, row: Row<'_>) {
            let kept = step.tokens.len() % row.logits.len();
            row.logits.iter_mut().enumerate().filter(|(id, _)| *id != kept).for_each(|(_, logit)| *logit = CUT);
        }
        fn chosen(&self, step: &Step<'_>, logits: &[f32]) -> Option<TokenId> {
            self.0.then_some((step.tokens.len() % logits.len()) as TokenId)
        }
    }
    let drawn = |told| {
        let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(Second(told))];
        let (chain, query) = (chain(&processors, 5), query(Sampling::PLAIN));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let step = Step { query: &query, tokens: &[7, 1] };
        let token = Drawer::default().next(&mut rows(5)[1].clone(), &chain, &step, &[], &mut rng);
        let broken = Drawer::default().next(&mut [f32::INFINITY, 1.0, 0.0], &chain, &step, &[], &mut rng.clone());
        (token, broken, unit_interval(&mut rng))
    };
    assert_eq!(drawn(true), drawn(false));
    assert_eq!((drawn(true).0, drawn(true).1), (Some(2), None));
}
