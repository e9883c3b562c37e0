use oracle::{Exchange, ProcessorStage, Query, Sampling, Stop, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use stats::power;

use super::green::GreenList;
use super::walk::{Dedup, MAX_CONTEXT, Rules, Units};
use super::*;
use crate::testing::{ToyCodec, ToyModel};

const VOCAB: usize = 512;

fn pool(threads: usize) -> rayon::ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// `count` queries of 8 random prompt tokens and up to `tokens` answer tokens.
fn queries(count: u64, tokens: usize, seed: u64) -> Vec<Query> {
    let query = |index| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let prompt = std::iter::once(1).chain((0..8).map(|_| rng.random_range(3..VOCAB as u32))).collect();
        Query { index, prompt, max_new_tokens: tokens, sampling: Sampling::PLAIN, seed: rng.random() }
    };
    (0..count).map(query).collect()
}

fn ask(model: &ToyModel, count: u64, tokens: usize, seed: u64) -> Vec<Exchange> {
    use oracle::Oracle;
    model.answer(&queries(count, tokens, seed)).unwrap()
}

/// An exchange made by hand.
fn said(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { index: 0, prompt: prompt.to_vec(), max_new_tokens: answer.len(), sampling: Sampling::PLAIN, seed: 0 };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

fn kgw(context_width: usize) -> KgwConfig {
    KgwConfig { gamma: 0.25, delta: 2.0, context_width, dedup: Dedup::Pairs }
}

/// p-values of `answers` under `keys` keys that had no part in them.
fn null_p(config: &WatermarkConfig, answers: &[Exchange], keys: u64) -> Vec<f64> {
    let (codec, pool) = (ToyCodec::new(VOCAB), pool(1));
    let p = |index| {
        let mark = config.build(&Key::decoy(77, index), &codec).unwrap();
        10f64.powf(mark.detect(answers, 0, 0, &pool).unwrap().evidence.log10_p)
    };
    (0..keys).map(p).collect()
}

/// Largest distance between the distribution of `p` and the uniform one.
fn distance_from_uniform(p: &[f64]) -> f64 {
    let mut p = p.to_vec();
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    let steps = p.iter().enumerate();
    steps.map(|(i, &p)| (p - i as f64 / n).abs().max((p - (i + 1) as f64 / n).abs())).fold(0.0, f64::max)
}

fn share_at_most(p: &[f64], alpha: f64) -> f64 {
    p.iter().filter(|&&p| p <= alpha).count() as f64 / p.len() as f64
}

#[test]
fn unmarked_text_gives_uniform_p_values() {
    let answers = ask(&ToyModel::new(VOCAB, 5), 100, 24, 1);
    for config in WatermarkConfig::examples() {
        let p = null_p(&config, &answers, 400);
        // Kolmogorov bound at error rate 1e-3 (1.95 / sqrt(400)), plus the largest step of the discrete tail (0.02)
        assert!(distance_from_uniform(&p) < 0.0975 + 0.02, "{}: {}", config.name(), distance_from_uniform(&p));
        // Binomial(400, 0.05) exceeds 36 with probability below 1e-3
        assert!(share_at_most(&p, 0.05) <= 36.0 / 400.0, "{}", config.name());
    }
}

#[test]
fn repetitive_text_keeps_the_level_because_units_count_once() {
    // a law so peaked that answers run in loops, asked the same few prompts over and over
    let model = ToyModel { sharpness: 60.0, order: 1, ..ToyModel::new(VOCAB, 6) };
    let once = ask(&model, 40, 60, 2);
    let answers: Vec<Exchange> = (0..5).flat_map(|_| once.clone()).collect();
    for config in WatermarkConfig::examples() {
        let p = null_p(&config, &answers, 400);
        // discrete p-values on few units fall below alpha no more often than alpha; bounds at error rate 1e-3
        assert!(share_at_most(&p, 0.05) <= 36.0 / 400.0, "{}: {}", config.name(), share_at_most(&p, 0.05));
        assert!(share_at_most(&p, 0.01) <= 12.0 / 400.0, "{}: {}", config.name(), share_at_most(&p, 0.01));
    }
    // counted naively, the same text condemns many a stranger
    let naive = (0..400).filter(|&index| {
        let list = GreenList::new(&Key::decoy(77, index), 0.25);
        let units: Vec<_> = answers.iter().flat_map(|item| item.answer.windows(2)).collect();
        let hits = units.iter().filter(|unit| list.is_green(unit)).count() as u64;
        stats::tail::log10_binomial_sf(hits, units.len() as u64, 0.25) < 0.05f64.log10()
    });
    let naive = naive.count();
    assert!(naive > 3 * 20, "{naive} of 400");
}

#[test]
fn saying_everything_twenty_times_changes_no_evidence() {
    let once = ask(&ToyModel::new(VOCAB, 7), 20, 24, 3);
    let twenty: Vec<Exchange> = (0..20).flat_map(|_| once.clone()).collect();
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(1, 1), &ToyCodec::new(VOCAB)).unwrap();
        let (a, b) = (mark.detect(&once, 99, 4, &pool(1)).unwrap(), mark.detect(&twenty, 99, 4, &pool(1)).unwrap());
        assert_eq!((&a.evidence, &a.decoy_log10_p), (&b.evidence, &b.decoy_log10_p), "{}", config.name());
    }
}

#[test]
fn marked_text_is_proven_and_decoys_are_not() {
    let codec = ToyCodec::new(VOCAB);
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(1, 1), &codec).unwrap();
        let model = ToyModel { processors: vec![mark.processor()], ..ToyModel::new(VOCAB, 8) };
        let answers = ask(&model, 100, 24, 4);
        let found = mark.detect(&answers, 999, 5, &pool(2)).unwrap();
        assert!(found.evidence.log10_p < -20.0, "{}: {:?}", config.name(), found.evidence);
        assert_eq!(found.evidence.log10_p_decoy, Some(-3.0));
        assert_eq!((found.evidence.decoys, found.decoy_log10_p.len()), (999, 999));
        // error rate 1e-3 at the Kolmogorov bound for 999 keys, plus the step of the discrete tail
        let decoys: Vec<f64> = found.decoy_log10_p.iter().map(|log10_p| 10f64.powf(*log10_p)).collect();
        assert!(distance_from_uniform(&decoys) < 0.0617 + 0.02, "{}", distance_from_uniform(&decoys));
        assert!(found.evidence.log10_e.unwrap() > 15.0);

        let other = config.build(&Key::decoy(1, 2), &codec).unwrap().detect(&answers, 0, 0, &pool(1)).unwrap();
        // one draw: error rate 1e-4
        assert!(other.evidence.log10_p > -4.0 && other.evidence.log10_p_decoy.is_none());
    }
}

#[test]
fn the_first_crossing_is_read_off_in_units_and_in_queries() {
    let codec = ToyCodec::new(VOCAB);
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(1, 1), &codec).unwrap();
        let model = ToyModel { processors: vec![mark.processor()], ..ToyModel::new(VOCAB, 8) };
        let answers = ask(&model, 100, 24, 4);
        let found = mark.detect(&answers, 0, 0, &pool(1)).unwrap();
        let queries = found.audit_queries_to_detect(crate::ALPHA).unwrap() as usize;
        let units = found.evidence.units_to_detect.unwrap();
        let units_of = |count: usize| mark.detect(&answers[..count], 0, 0, &pool(1)).unwrap().evidence.n;
        assert!(queries < 20 && units_of(queries - 1) < units && units <= units_of(queries), "{queries} queries, {units} units");
        assert!(found.max_log10_e_by_query.is_sorted());
        let unmarked = mark.detect(&ask(&ToyModel::new(VOCAB, 8), 100, 24, 4), 0, 0, &pool(1)).unwrap();
        assert_eq!(unmarked.audit_queries_to_detect(crate::ALPHA), None);
    }
}

#[test]
fn stopping_at_the_best_moment_keeps_the_level() {
    let answers = ask(&ToyModel::new(VOCAB, 5), 60, 24, 1);
    let (codec, pool) = (ToyCodec::new(VOCAB), pool(1));
    for config in WatermarkConfig::examples() {
        let crossed = (0..300).filter(|&index| {
            let mark = config.build(&Key::decoy(78, index), &codec).unwrap();
            mark.detect(&answers, 0, 0, &pool).unwrap().audit_queries_to_detect(0.05).is_some()
        });
        // Ville: at most 0.05; Binomial(300, 0.05) exceeds 28 with probability below 1e-3
        assert!(crossed.count() <= 28, "{}", config.name());
    }
}

#[test]
fn what_stands_in_the_prompt_is_never_scored() {
    let codec = ToyCodec::new(VOCAB);
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(1, 1), &codec).unwrap();
        let marked = ask(&ToyModel { processors: vec![mark.processor()], ..ToyModel::new(VOCAB, 8) }, 50, 24, 4);
        // a suspect that owes nothing to the mark is shown marked text and repeats it
        let parrot: Vec<_> = marked.iter().map(|item| said(&[&[1], &item.answer[..]].concat(), &item.answer)).collect();
        let found = mark.detect(&parrot, 99, 5, &pool(1)).unwrap();
        assert_eq!((found.evidence.n, found.evidence.log10_p), (0, 0.0), "{}", config.name());
        assert_eq!(found.evidence.log10_p_decoy, Some(0.0));
        // and goes on in its own words
        let own = ask(&ToyModel::new(VOCAB, 9), 50, 24, 6);
        let mixed: Vec<_> = parrot
            .iter()
            .zip(&own)
            .map(|(parrot, own)| said(&parrot.query.prompt, &[&parrot.answer[..], &own.answer[..]].concat()))
            .collect();
        let found = mark.detect(&mixed, 0, 0, &pool(1)).unwrap();
        assert!(found.evidence.n > 1000 && found.evidence.log10_p > -3.0, "{}: {:?}", config.name(), found.evidence);
    }
}

#[test]
fn special_tokens_are_never_raised_and_never_scored() {
    let codec = ToyCodec::new(VOCAB);
    for config in WatermarkConfig::examples() {
        for index in 0..20 {
            let mark = config.build(&Key::decoy(2, index), &codec).unwrap();
            let mut logits = vec![0.0; VOCAB];
            mark.processor().process(&[1, 5, 6, 7, 8], 4, &mut logits);
            assert_eq!(logits[..3], [0.0; 3]);
            assert!(logits.iter().any(|&logit| logit != 0.0));
        }
        let mark = config.build(&Key::decoy(2, 0), &codec).unwrap();
        let found = mark.detect(&[said(&[1], &[0, 1, 0, 1, 0])], 0, 0, &pool(1)).unwrap();
        assert_eq!(found.evidence.n, 0);
    }
}

#[test]
fn processors_are_pure_and_detection_does_not_know_the_threads() {
    let codec = ToyCodec::new(VOCAB);
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(3, 0), &codec).unwrap();
        let again = config.build(&Key::decoy(3, 0), &codec).unwrap();
        let model = ToyModel { processors: vec![mark.processor()], ..ToyModel::new(VOCAB, 8) };
        let fresh = ToyModel { processors: vec![again.processor()], ..ToyModel::new(VOCAB, 8) };
        let answers = ask(&model, 30, 24, 4);
        let mut backwards: Vec<_> = queries(30, 24, 4);
        backwards.reverse();
        let mut others = oracle::Oracle::answer(&fresh, &backwards).unwrap();
        others.reverse();
        assert_eq!(answers, others, "{}", config.name());
        let one = mark.detect(&answers, 99, 5, &pool(1)).unwrap();
        assert_eq!(one, again.detect(&answers, 99, 5, &pool(3)).unwrap());
    }
}

#[test]
fn nothing_said_is_no_evidence() {
    for config in WatermarkConfig::examples() {
        let mark = config.build(&Key::decoy(3, 0), &ToyCodec::new(VOCAB)).unwrap();
        for answers in [vec![], vec![said(&[1, 5], &[])], vec![said(&[1, 5], &[2])]] {
            let found = mark.detect(&answers, 9, 0, &pool(1)).unwrap();
            assert_eq!((found.evidence.n, found.evidence.log10_p, found.evidence.effect), (0, 0.0, 0.0));
            assert_eq!(found.max_log10_e_by_query.len(), answers.len());
        }
    }
}

#[test]
fn walk_keeps_what_it_should_and_says_why_not() {
    let codec = ToyCodec::new(VOCAB);
    let walk = |width, dedup, items: &[Exchange]| {
        let units = Units::walk(items, &Rules::new(width, dedup, &codec));
        let windows: Vec<Vec<TokenId>> = units.windows().map(<[TokenId]>::to_vec).collect();
        (windows, units.ends().to_vec(), units.skipped)
    };
    // the answer's first pair has its context in the prompt; 10 11 stands in the prompt; after the end token nothing counts
    let items = [said(&[1, 10, 11], &[10, 11, 12, 10, 12, 2, 30, 31]), said(&[1, 9], &[12, 10, 11, 12, 0, 14, 15])];
    let (windows, ends, skipped) = walk(1, Dedup::Pairs, &items);
    assert_eq!(windows, [[11, 12], [12, 10], [10, 12], [10, 11], [14, 15]]);
    assert_eq!(ends, [3, 5]);
    assert_eq!(skipped, Skipped { special: 2, in_prompt: 1, repeated: 2 });
    let (windows, _, _) = walk(1, Dedup::Contexts, &items);
    assert_eq!(windows, [[11, 12], [12, 10], [10, 12], [14, 15]]);
    let (windows, _, _) = walk(0, Dedup::Pairs, &items);
    assert_eq!(windows, [[12], [10], [11], [14], [15]]);
    let (windows, _, _) = walk(4, Dedup::Pairs, &items);
    assert_eq!(windows, [[10, 11, 12, 10, 12]]);
}

/// Green mass algebra (methods a1), exactly for the units that detection keeps: given all before, the next token adds
/// a unit with the probability of its not yet seen tokens, and a hit with the marked probability of the green ones.
#[test]
fn kgw_green_rate_and_z_meet_the_closed_form() {
    let codec = ToyCodec::new(VOCAB);
    let key = Key::decoy(4, 0);
    let mark = WatermarkConfig::Kgw(kgw(1)).build(&key, &codec).unwrap();
    let list = GreenList::new(&key, 0.25);
    let plain = ToyModel::new(VOCAB, 10);
    let model = ToyModel { processors: vec![mark.processor()], ..plain.clone() };
    let answers = ask(&model, 200, 32, 7);

    let mut seen = std::collections::HashSet::new();
    let (mut expected_units, mut expected_hits, mut variance) = (0.0, 0.0, 0.0);
    let (mut rate, mut predicted_rate, mut rate_variance, mut tokens) = (0.0, 0.0, 0.0, 0.0);
    for item in &answers {
        let in_prompt: std::collections::HashSet<_> = item.query.prompt.windows(2).map(<[u32]>::to_vec).collect();
        for place in 0..item.answer.len() {
            let before = [&item.query.prompt[..], &item.answer[..place]].concat();
            let context = before[before.len() - 1];
            let weights: Vec<f64> = plain.logits(&before).iter().map(|&logit| f64::from(logit).exp()).collect();
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
            let fresh =
                |id: &usize| !seen.contains(&[context, *id as TokenId]) && !in_prompt.contains(&vec![context, *id as TokenId]);
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
    assert!((rate - predicted_rate).abs() < 4.0 * f64::sqrt(rate_variance), "{rate} of {tokens}, predicted {predicted_rate}");
    let found = mark.detect(&answers, 999, 1, &pool(2)).unwrap().evidence;
    assert!(
        (found.statistic - expected_hits).abs() < 4.0 * f64::sqrt(variance),
        "{} hits, predicted {expected_hits}",
        found.statistic
    );
    let n = found.n as f64;
    assert!((n - expected_units).abs() < 0.01 * n, "{n} units, predicted {expected_units}");
    let z = power::predicted_z(found.n, found.effect + 0.25, 0.25);
    let predicted = power::predicted_z(expected_units as u64, expected_hits / expected_units, 0.25);
    // hits vary by less than one null standard deviation here
    assert!((z - predicted).abs() < 4.0, "z {z}, predicted {predicted}");
    assert!(z > 40.0 && (found.z_decoy.unwrap() / z - 1.0).abs() < 0.12, "z {z}, against decoys {:?}", found.z_decoy);
}

#[test]
fn kgw_works_at_every_context_width_and_dedup() {
    let codec = ToyCodec::new(VOCAB);
    for dedup in [Dedup::Pairs, Dedup::Contexts] {
        for context_width in 0..=MAX_CONTEXT {
            let config = WatermarkConfig::Kgw(KgwConfig { dedup, ..kgw(context_width) });
            let mark = config.build(&Key::decoy(5, 0), &codec).unwrap();
            assert_eq!(mark.processor().stage(), ProcessorStage::BeforeTemperature);
            let model = ToyModel { processors: vec![mark.processor()], ..ToyModel::new(VOCAB, 11) };
            let found = mark.detect(&ask(&model, 60, 24, 8), 0, 0, &pool(1)).unwrap().evidence;
            // without context all text draws on one list: "one unit per context" leaves a single unit
            let proven = (context_width, dedup) != (0, Dedup::Contexts);
            assert_eq!(found.log10_p < -6.0, proven, "h = {context_width}, {dedup:?}: {found:?}");
        }
    }
}

#[test]
fn kgw_biases_the_first_answer_token_and_leaves_short_prompts_alone() {
    let mark = WatermarkConfig::Kgw(kgw(3)).build(&Key::decoy(6, 0), &ToyCodec::new(VOCAB)).unwrap();
    let raised = |before: &[TokenId]| {
        let mut logits = vec![0.0; VOCAB];
        mark.processor().process(before, before.len(), &mut logits);
        logits.iter().filter(|&&logit| logit == 2.0).count()
    };
    assert_eq!(raised(&[5, 6]), 0);
    // Binomial(509, 0.25): 4 standard deviations, error rate 1e-4
    assert!((raised(&[5, 6, 7]) as f64 - 127.25).abs() < 4.0 * 9.8);
}

/// What is said token by token is what is done to the row; too short a text raises nothing either way.
#[test]
fn raised_tokens_are_those_of_the_row() {
    for context_width in 0..=MAX_CONTEXT {
        let mark = WatermarkConfig::Kgw(kgw(context_width)).build(&Key::decoy(8, 0), &ToyCodec::new(VOCAB)).unwrap();
        let processor = mark.processor();
        for before in [&[1, 9, 8, 7, 6, 5][..], &[5, 6, 7, 8], &[5]] {
            let mut logits = vec![0.0; VOCAB];
            processor.process(before, 1, &mut logits);
            let raised = processor.raised(before, 1);
            assert_eq!(raised.is_some(), before.len() >= context_width);
            let told = |token| raised.filter(|raised| raised.contains(token)).map_or(0.0, |raised| raised.bias);
            let told: Vec<f32> = (0..VOCAB as TokenId).map(told).collect();
            assert_eq!(logits, told, "h = {context_width} after {before:?}");
        }
    }
}

/// Other lists mean other transcripts and other verdicts: whoever changes them raises the revisions of those stages.
#[test]
fn kgw_lists_are_pinned() {
    let list = GreenList::new(&Key::from_bytes(std::array::from_fn(|i| i as u8)), 0.25);
    let green: Vec<TokenId> = (0..40).filter(|&token| list.is_green(&[7, token])).collect();
    assert_eq!(green, [5, 20, 26, 27, 29, 32]);
}
