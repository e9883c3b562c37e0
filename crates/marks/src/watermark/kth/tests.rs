use oracle::{LogitsProcessor, Oracle, Query, Row, Sampling, Step};

use super::*;
use crate::testing::{Lab, ToyModel};
use crate::{Chance, MarkEntry};

const Q: [f64; 6] = [0.4, 0.25, 0.2, 0.1, 0.05, 0.0];

fn kth(draw: KthDraw, shifts: u32) -> KthConfig {
    KthConfig { draw, rows: 64, shifts, edits: 0, gap: 0.0, starts: Starts::All }
}

fn lab(config: KthConfig) -> Lab {
    Lab::new(&MarkEntry { kth: Some(Box::new(config)), ..MarkEntry::default() })
}

fn law(config: KthConfig, key: &Key) -> Arc<dyn LogitsProcessor> {
    let Planting::Law(law) = lab(config).build(key).unwrap().planting().remove(0) else { panic!("no law") };
    law
}

/// The one token that is left of `q` for the query of `seed` after `place` answer tokens.
fn drawn(law: &dyn LogitsProcessor, q: &[f64], seed: u64, place: usize, temperature: f32) -> Vec<usize> {
    let sampling = Sampling { temperature, ..Sampling::PLAIN };
    let query = Query { sampling, seed, ..Query::greedy(0, vec![1, 9], 9) };
    let tokens = [&query.prompt[..], &vec![5; place]].concat();
    let mut logits: Vec<f32> = q.iter().map(|q| libm::log(*q) as f32 + 3.0).collect();
    law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut logits));
    (0..q.len()).filter(|&token| logits[token] > f32::NEG_INFINITY).collect()
}

#[test]
fn the_law_is_kept_on_average_over_keys() {
    for draw in [KthDraw::Exp, KthDraw::Its] {
        let mut counts = [0.0; 6];
        for index in 0..6_000 {
            let left = drawn(&*law(kth(draw, 1), &Key::decoy(1, index)), &Q, 7, 3, 1.0);
            assert_eq!(left.len(), 1);
            counts[left[0]] += 1.0;
        }
        for (count, q) in counts.iter().zip(Q) {
            // 4 standard deviations, error rate 1e-4 each
            assert!((count - 6_000.0 * q).abs() <= 4.0 * f64::sqrt(6_000.0 * q * (1.0 - q)), "{draw:?}: {counts:?}");
        }
    }
}

/// What is drawn depends on the place alone, comes again after all rows, and starts at one of few rows.
#[test]
fn rows_follow_each_other_and_shifts_are_few() {
    let law = law(kth(KthDraw::Exp, 4), &Key::decoy(2, 0));
    let flat = [1.0 / 40.0; 40];
    let sequence = |seed| -> Vec<usize> { (0..64).map(|place| drawn(&*law, &flat, seed, place, 1.0)[0]).collect() };
    let first = sequence(1);
    assert_eq!(drawn(&*law, &flat, 1, 64, 1.0)[0], first[0]);
    let distinct: HashSet<Vec<usize>> = (0..60).map(sequence).collect();
    assert_eq!(distinct.len(), 4);
    for other in distinct {
        assert!((0..4).any(|shift| (0..64).all(|place| other[place] == first[(place + 16 * shift) % 64])));
    }
    assert_eq!(drawn(&*law, &flat, 1, 0, 0.0).len(), 40, "greedy answers are not drawn");
}

/// Tokens that were drawn by EXP score as those of Gumbel: mean -ln(1 - u) of a broad law is far above 1.
#[test]
fn marked_answers_align_at_their_shift_and_others_nowhere() {
    for (draw, shifts, edits) in [(KthDraw::Exp, 64, 0), (KthDraw::Exp, 1, 2), (KthDraw::Its, 4, 0), (KthDraw::Its, 64, 2)] {
        let lab = lab(KthConfig { edits, gap: 1.0, ..kth(draw, shifts) });
        let mark = lab.build(&Key::decoy(3, 0)).unwrap();
        let chance = Chance { decoys: 199, decoy_seed: 1, ..Chance::default() };
        let model = lab.marked(&*mark);
        let answers = model.answer(&lab.audit()[..12]).unwrap();
        let found = lab.judge(&*mark, &model, answers.clone(), chance).unwrap().remove(0);
        assert!((found.evidence.log10_p + libm::log10(200.0_f64)).abs() < 1e-12, "{draw:?}: {found:?}");
        assert!(found.evidence.z_decoy.unwrap() > 5.0 && found.evidence.interval.low > 0.0, "{draw:?}: {found:?}");
        // a single answer of EXP is enough
        let single = found.metric("median_answer_log10_p").unwrap();
        assert!(single <= if draw == KthDraw::Exp { -2.0 } else { -0.5 }, "{draw:?}: {single}");
        let other = lab.build(&Key::decoy(3, 1)).unwrap();
        let foreign = lab.judge(&*other, &model, answers, chance).unwrap().remove(0);
        // one draw: error rate 1/200 at the least p
        assert!(foreign.evidence.log10_p > -2.0, "{draw:?}: {foreign:?}");
    }
}

/// Edits: each answer loses a token in its middle.
#[test]
fn answers_that_lost_a_token_are_found_with_edits() {
    let of = |edits| {
        let lab = lab(KthConfig { edits, gap: 1.0, starts: Starts::Shifts, ..kth(KthDraw::Exp, 1) });
        let mark = lab.build(&Key::decoy(5, 0)).unwrap();
        let model = lab.marked(&*mark);
        let mut answers = model.answer(&lab.audit()[..20]).unwrap();
        answers.iter_mut().for_each(|item| {
            item.answer.remove(2);
        });
        let chance = Chance { decoys: 99, decoy_seed: 1, ..Chance::default() };
        lab.judge(&*mark, &model, answers, chance).unwrap()[0].evidence.z_decoy.unwrap()
    };
    let (straight, edited) = (of(0), of(1));
    assert!(edited > 10.0 && edited > 2.0 * straight, "{edited} and {straight}");
}

/// p is uniform over keys that had no part in the text, at levels that the bank can reach: 100 keys against banks of their own of 29 keys
/// each. Binomial(100, 1/10) exceeds 21 and Binomial(100, 1/30) exceeds 11 with probability below 1e-3.
#[test]
fn other_keys_keep_the_level() {
    let lab = lab(KthConfig { edits: 1, gap: 0.5, ..kth(KthDraw::Exp, 4) });
    let Lab { codec, .. } = &lab;
    // an answer in loops, and the same few prompts over and over
    let model = ToyModel { sharpness: 60.0, order: 1, ..ToyModel::new(512, 6) };
    let answers = model.answer(&lab.audit()[..8]).unwrap();
    let rows = Rows { draw: KthDraw::Exp, rows: 64, shifts: 4, vocab: codec.vocab_size() };
    let texts = Texts::of(&Rules::new(0, Dedup::Pairs, &**codec), &answers);
    let alignment = Alignment { starts: std::iter::once(0..64).collect(), edits: 1, gap: 0.5 };
    let total = |key: &Key| -> f64 {
        let table = rows.table(&rows.under(key), &texts.tokens);
        texts.texts.iter().map(|text| alignment.best(text, &table)).sum()
    };
    let p: Vec<f64> = (0..100)
        .map(|trial| {
            let bank: Vec<f64> = (0..29).map(|index| total(&Key::decoy(1_000 + trial, index))).collect();
            stats::monte_carlo::log10_p_against(total(&Key::decoy(77, trial)), &bank)
        })
        .collect();
    for (alpha, most) in [(0.1, 21), (1.0 / 30.0, 11)] {
        let rejected = p.iter().filter(|p| **p <= libm::log10(alpha) + 1e-9).count();
        assert!(rejected <= most, "{rejected} of 100 at {alpha}");
    }
}

#[test]
fn what_is_copied_from_the_prompt_and_what_is_said_twice_is_left_out() {
    let codec = crate::testing::ToyCodec::new(512);
    let rules = Rules::new(0, Dedup::Pairs, &codec);
    let said = |prompt: &[TokenId], answer: &[TokenId]| Exchange {
        query: Query::greedy(0, prompt.to_vec(), answer.len()),
        answer: answer.to_vec(),
        stop: oracle::Stop::Length,
    };
    let texts = Texts::of(
        &rules,
        &[
            said(&[1, 10, 11], &[10, 11, 12, 11, 2, 30]),
            said(&[1], &[10, 11, 12, 11]),
            said(&[1, 7], &[10, 0, 12]),
            said(&[1], &[]),
        ],
    );
    let why = Judged {
        texts: 4,
        prompt_tokens: 7,
        tokens: 13,
        units: 4,
        ended: 2,
        special: 1,
        in_prompt: 2,
        repeated: 4,
        ..Judged::default()
    };
    assert_eq!((texts.texts.len(), texts.judged), (2, why));
    let numbers: Vec<Vec<Option<TokenId>>> =
        texts.texts.iter().map(|text| text.iter().map(|n| n.map(|n| texts.tokens[n as usize])).collect()).collect();
    assert_eq!(numbers, [vec![Some(10), None, Some(12)], vec![None, None, Some(12), Some(11)]]);
}

/// Whoever has texts and no model finds what an audit finds; a text on its own has its own rank. A rank of 99 decoys goes no lower than
/// 0.01, which unmarked texts together reach with probability 0.01 under this key.
#[test]
fn texts_alone_show_the_mark() {
    for draw in [KthDraw::Exp, KthDraw::Its] {
        let (lab, key) = (lab(kth(draw, 2)), Key::decoy(3, 1));
        let mark = lab.build(&key).unwrap();
        let chance = Chance { decoys: 99, decoy_seed: 7, ..Chance::default() };
        let query = |query: Query| Query { max_new_tokens: 32, ..query };
        let prompts: Vec<Query> = lab.audit().into_iter().take(20).map(query).collect();
        let found = |model: &ToyModel| {
            let texts = model.answer(&prompts).unwrap();
            let found = mark.detector().unwrap().detect(&texts, chance).unwrap().remove(0);
            let seen = [crate::Seen::Exchanges(Arc::new(texts))];
            let case = Case { suspect: &seen, teacher: None, references: &[], second: &[], contexts: None, chance };
            let judged = mark.judge(&case).unwrap().remove(0);
            let pooled = &found.pooled;
            assert_eq!((&judged.evidence, &judged.detail), (&pooled.finding.evidence, &pooled.finding.detail));
            assert_eq!(pooled.judged.units, pooled.finding.evidence.n);
            found
        };
        let marked = found(&lab.marked(&*mark));
        assert_eq!((marked.pooled.finding.evidence.log10_p, marked.each.len()), (-2.0, 20));
        let low = marked.each.iter().filter(|each| each.finding.evidence.log10_p <= -1.0).count();
        assert!(low > 10, "{draw:?}: {low} of 20 single texts");
        assert!(found(&lab.model(1_000)).pooled.finding.evidence.log10_p > -2.0);
    }
}
