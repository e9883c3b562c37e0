//! Written over every registered mark that plants one change of the drawn law.

use std::sync::Arc;

use oracle::{Exchange, LogitsProcessor, Oracle, Query, Row, Sampling, Stage, Step, Stop, TokenId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stats::null::NullKind;

use super::green::GreenList;
use super::rules::{Dedup, NO_TOKEN, Rules};
use super::walk::{Skipped, Units};
use crate::key::Purpose;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{ALPHA, Chance, Finding, Key, Mark, MarkEntry, Phase, Planting};

const VOCAB: usize = 512;

/// Marks that raise special tokens as their servers do.
const AS_SERVED: [&str; 1] = ["sbw"];

/// A lab for every mark that changes the drawn law.
fn labs() -> Vec<Lab> {
    let drawn = |entry: &&MarkEntry| {
        let config = entry.config().unwrap();
        let (needs, family) = (config.needs(), config.info().family);
        // one with smaller toys asks more of them than these tests could pay
        let affordable = config.bed().vocab == VOCAB;
        needs.phase == Phase::Service && needs.changes_drawn_law && family == crate::Family::Watermark && affordable
    };
    let labs: Vec<Lab> = MarkEntry::examples().iter().filter(drawn).map(Lab::new).collect();
    assert!(labs.len() >= 10, "{}", labs.len());
    labs
}

/// Marks that are judged by what a suspect would say after a prompt, whatever it said.
const OF_PROMPTS: [&str; 2] = ["drw", "ginsew"];

/// Labs of those that are judged by the tokens of answers.
fn of_tokens() -> impl Iterator<Item = Lab> {
    labs().into_iter().filter(|lab| !OF_PROMPTS.contains(&lab.name()))
}

fn law(mark: &dyn Mark) -> Arc<dyn LogitsProcessor> {
    let [Planting::Law(law)] = &mark.planting()[..] else { panic!("not one law") };
    law.clone()
}

/// `count` queries of 8 random prompt tokens and up to `tokens` answer tokens.
fn queries(count: u64, tokens: usize, seed: u64) -> Vec<Query> {
    let query = |index| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let prompt = std::iter::once(1).chain((0..8).map(|_| rng.random_range(3..VOCAB as u32))).collect();
        Query { sampling: Sampling::PLAIN, seed: rng.random(), ..Query::greedy(index, prompt, tokens) }
    };
    (0..count).map(query).collect()
}

fn ask(model: &ToyModel, count: u64, tokens: usize, seed: u64) -> Vec<Exchange> {
    model.answer(&queries(count, tokens, seed)).unwrap()
}

/// A toy model with `mark` in it.
fn marked(mark: &dyn Mark, seed: u64) -> ToyModel {
    ToyModel { processors: vec![law(mark)], ..ToyModel::new(VOCAB, seed) }
}

/// An exchange made by hand.
fn said(prompt: &[TokenId], answer: &[TokenId]) -> Exchange {
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.to_vec(), answer.len()) };
    Exchange { query, answer: answer.to_vec(), stop: Stop::Length }
}

/// What the first account's key finds in `answers`.
fn found(lab: &Lab, mark: &dyn Mark, answers: &[Exchange], decoys: usize) -> Finding {
    let chance = Chance { decoys, decoy_seed: 4, draws: 19, draw_seed: 1 };
    lab.judge(mark, &lab.model(0), answers.to_vec(), chance).unwrap().remove(0)
}

/// What is found in `answers` under each of `keys` keys that had no part in them; of marks with keys by account, what the first
/// account's finds, which is what the inner mark finds under it.
fn under_null(lab: &Lab, answers: &[Exchange], keys: u64) -> Vec<Finding> {
    let inner = lab.entry.per_account.as_ref().map(|config| Lab::new(&config.of));
    let key = |index| {
        let key = Key::decoy(77, index);
        if inner.is_some() { key.of_account(0) } else { key }
    };
    let chance = Chance { decoy_seed: 4, draws: 19, draw_seed: 1, ..Chance::default() };
    let keys: Vec<Key> = (0..keys).map(key).collect();
    inner.as_ref().unwrap_or(lab).judge_under(&keys, &lab.model(0), answers.to_vec(), chance).unwrap()
}

/// Units that the e-process went over.
fn counted(found: &Finding) -> u64 {
    found.metric("count_units").map_or(found.evidence.n, |units| units as u64)
}

fn p(found: &Finding) -> f64 {
    libm::pow(10f64, found.evidence.log10_p)
}

fn share_at_most(found: &[Finding], alpha: f64) -> f64 {
    found.iter().filter(|found| p(found) <= alpha).count() as f64 / found.len() as f64
}

#[test]
fn unmarked_text_gives_uniform_p_values() {
    let answers = ask(&ToyModel::new(VOCAB, 5), 100, 24, 1);
    for lab in labs() {
        let name = lab.name();
        let all = under_null(&lab, &answers, 400);
        let mut sorted: Vec<f64> = all.iter().map(p).collect();
        sorted.sort_by(f64::total_cmp);
        let (mut too_small, mut too_large) = (0.0_f64, 0.0_f64);
        for (i, p) in sorted.iter().enumerate() {
            too_small = too_small.max((i + 1) as f64 / 400.0 - p);
            too_large = too_large.max(p - i as f64 / 400.0);
        }
        // Kolmogorov bound at error rate 1e-3 (1.95 / sqrt(400)), plus the largest step of a discrete tail (0.02)
        assert!(too_small < 0.0975, "{name}: {too_small}");
        // a bound lies above p, and a list that is nearly used up leaves few values of p
        if matches!(all[0].evidence.null.kind, NullKind::Binomial | NullKind::Bits | NullKind::Gamma) {
            assert!(too_large < 0.0975 + 0.02, "{name}: {too_large}");
        }
        // Binomial(400, 0.05) exceeds 36 with probability below 1e-3
        assert!(share_at_most(&all, 0.05) <= 36.0 / 400.0, "{name}");
        // what stands beside a bound is uniform too: from both sides but for a count on few values
        for (number, both) in [("score_log10_p", true), ("count_log10_p", false)] {
            let mut sorted: Vec<f64> = all.iter().filter_map(|found| found.metric(number)).map(|p| libm::pow(10f64, p)).collect();
            sorted.sort_by(f64::total_cmp);
            for (i, p) in sorted.iter().enumerate() {
                let (below, above) = ((i + 1) as f64 / 400.0 - p, p - i as f64 / 400.0);
                assert!(below < 0.0975 && (!both || above < 0.0975), "{name}, {number}: {p} is number {i}");
            }
        }
    }
}

/// Decoy keys are tried as the true one is.
#[test]
fn a_decoy_finds_what_a_key_of_its_bytes_would() {
    let answers = ask(&ToyModel::new(VOCAB, 5), 30, 24, 1);
    for lab in labs() {
        let decoys = found(&lab, &*lab.build(&Key::decoy(1, 1)).unwrap(), &answers, 5);
        if lab.entry.per_account.is_some() || decoys.evidence.null.kind == NullKind::Decoys {
            continue;
        }
        for (index, (log10_p, statistic)) in decoys.decoy_log10_p.iter().zip(&decoys.decoy_statistics).enumerate() {
            let own = found(&lab, &*lab.build(&Key::decoy(4, index as u64)).unwrap(), &answers, 0).evidence;
            assert_eq!((*log10_p, *statistic), (own.log10_p, own.statistic), "{} {index}", lab.name());
        }
    }
}

#[test]
fn repetitive_text_keeps_the_level() {
    // a law so peaked that answers run in loops, asked the same few prompts over and over
    let model = ToyModel { sharpness: 60.0, order: 1, ..ToyModel::new(VOCAB, 6) };
    let once = ask(&model, 40, 60, 2);
    let answers: Vec<Exchange> = (0..5).flat_map(|_| once.clone()).collect();
    for lab in labs() {
        let all = under_null(&lab, &answers, 400);
        // discrete p-values on few units fall below alpha no more often than alpha; bounds at error rate 1e-3
        for (alpha, most) in [(0.05, 36.0), (0.01, 12.0)] {
            assert!(share_at_most(&all, alpha) <= most / 400.0, "{}: {}", lab.name(), share_at_most(&all, alpha));
        }
    }
    // counted naively, the same text condemns many a stranger
    let naive = (0..400).filter(|&index| {
        let list = GreenList::new(&Key::decoy(77, index), Purpose::GreenList, 0.25);
        let units: Vec<_> = answers.iter().flat_map(|item| item.answer.windows(2)).collect();
        let hits = units.iter().filter(|unit| list.is_green(unit)).count() as u64;
        stats::tail::log10_binomial_sf(hits, units.len() as u64, 0.25) < libm::log10(0.05f64)
    });
    let naive = naive.count();
    assert!(naive > 3 * 20, "{naive} of 400");
}

#[test]
fn saying_everything_twenty_times_changes_no_evidence() {
    let once = ask(&ToyModel::new(VOCAB, 7), 20, 24, 3);
    let twenty: Vec<Exchange> = (0..20).flat_map(|_| once.clone()).collect();
    for lab in labs() {
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let (a, b) = (found(&lab, &*mark, &once, 99), found(&lab, &*mark, &twenty, 99));
        let name = lab.name();
        let of = |number| [&a, &b].map(|found| found.metric(number));
        if a.evidence.null.kind == NullKind::Chernoff {
            let [one, many] = [&a, &b].map(|found| found.evidence.statistic);
            // weights are twenty times as large and mean the same; what is left out, a hundredth of the variance, may be another part.
            // Repeats that counted as new would make z 4.5 times as large.
            assert!((one - many).abs() < 0.3 + 0.01 * one.abs(), "{name}: z {one} and {many}");
            let [one, many] = [&a, &b].map(|found| found.evidence.log10_p);
            assert!((one - many).abs() < 0.3 + 0.06 * one.abs(), "{name}: {one} and {many}");
            for number in ["count_units", "count_effect", "count_log10_p"] {
                assert_eq!(of(number)[0], of(number)[1], "{name}: {number}");
            }
        } else {
            assert_eq!((&a.evidence, &a.decoy_log10_p), (&b.evidence, &b.decoy_log10_p), "{name}");
        }
    }
}

#[test]
fn the_first_crossing_is_read_off_in_units_and_in_queries() {
    let unmarked = ask(&ToyModel::new(VOCAB, 8), 100, 24, 4);
    for lab in labs() {
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let answers = ask(&marked(&*mark, 8), 100, 24, 4);
        let seen = found(&lab, &*mark, &answers, 0);
        assert_eq!(found(&lab, &*mark, &unmarked, 0).audit_queries_to_detect(ALPHA), None, "{}", lab.name());
        if seen.max_log10_e_by_query.is_empty() {
            assert_eq!((seen.evidence.log10_e, seen.audit_queries_to_detect(ALPHA)), (None, None), "{}", lab.name());
            continue;
        }
        let queries = seen.audit_queries_to_detect(ALPHA).unwrap() as usize;
        let units = seen.evidence.units_to_detect.unwrap();
        let units_of = |count: usize| {
            let found = found(&lab, &*mark, &answers[..count], 0);
            if found.evidence.null.kind == NullKind::Chernoff { found.evidence.n } else { counted(&found) }
        };
        let told = units_of(queries - 1) < units && units <= units_of(queries);
        assert!(queries < 20 && told, "{}: {queries} queries, {units} units", lab.name());
        assert!(seen.max_log10_e_by_query.is_sorted() && seen.evidence.log10_e.unwrap() > 15.0, "{}", lab.name());
    }
}

#[test]
fn stopping_at_the_best_moment_keeps_the_level() {
    let answers = ask(&ToyModel::new(VOCAB, 5), 60, 24, 1);
    for lab in labs() {
        let all = under_null(&lab, &answers, 300);
        let crossed = all.iter().filter(|found| found.audit_queries_to_detect(0.05).is_some()).count();
        // Ville: at most 0.05; Binomial(300, 0.05) exceeds 28 with probability below 1e-3
        assert!(crossed <= 28, "{}: {crossed}", lab.name());
    }
}

#[test]
fn what_stands_in_the_prompt_is_never_scored() {
    for lab in of_tokens() {
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let shown = ask(&marked(&*mark, 8), 50, 24, 4);
        // a suspect that never learned the mark is shown marked text and repeats it
        let parrot: Vec<_> = shown.iter().map(|item| said(&[&[1], &item.answer[..]].concat(), &item.answer)).collect();
        let repeated = found(&lab, &*mark, &parrot, 99).evidence;
        assert_eq!((repeated.n, repeated.log10_p, repeated.decoys), (0, 0.0, 99), "{}", lab.name());
        // a rank, where the verdict asks for one
        assert!(repeated.log10_p_decoy.is_none_or(|p| p == 0.0), "{}", lab.name());
        // and goes on in its own words
        let own = ask(&ToyModel::new(VOCAB, 9), 50, 24, 6);
        let goes_on =
            |(parrot, own): (&Exchange, &Exchange)| said(&parrot.query.prompt, &[&parrot.answer[..], &own.answer[..]].concat());
        let mixed: Vec<_> = parrot.iter().zip(&own).map(goes_on).collect();
        let mixed = found(&lab, &*mark, &mixed, 0).evidence;
        // there are 509 tokens for marks that have no context
        assert!(mixed.n > 400 && mixed.log10_p > -3.0, "{}: {mixed:?}", lab.name());
    }
}

#[test]
fn special_tokens_are_never_raised_and_never_scored() {
    for lab in of_tokens() {
        for index in 0..20 {
            let law = law(&*lab.build(&Key::decoy(2, index)).unwrap());
            let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, vec![1, 5, 6, 7, 8], 1) };
            let mut logits = vec![0.0; VOCAB];
            law.process(&Step { query: &query, tokens: &query.prompt }, Row::alone(&mut logits));
            // a keyed draw lets special tokens race like others: an answer must be able to end; a server's form raises what the server does
            let raised = law.stage() == Stage::BeforeTemperature && !AS_SERVED.contains(&lab.name());
            assert!(!raised || logits[..3] == [0.0; 3], "{}", lab.name());
            assert!(logits.iter().any(|&logit| logit != 0.0), "{}", lab.name());
        }
        let mark = lab.build(&Key::decoy(2, 0)).unwrap();
        assert_eq!(found(&lab, &*mark, &[said(&[1], &[0, 1, 0, 1, 0])], 0).evidence.n, 0, "{}", lab.name());
    }
}

#[test]
fn processors_are_pure_functions_of_key_and_step() {
    for lab in labs() {
        let [mark, again] = [0, 0].map(|_| lab.build(&Key::decoy(3, 0)).unwrap());
        let answers = ask(&marked(&*mark, 8), 30, 24, 4);
        let mut backwards = queries(30, 24, 4);
        backwards.reverse();
        let mut others = marked(&*again, 8).answer(&backwards).unwrap();
        others.reverse();
        assert_eq!(answers, others, "{}", lab.name());
    }
}

#[test]
fn nothing_said_is_no_evidence() {
    for lab in of_tokens() {
        let mark = lab.build(&Key::decoy(3, 0)).unwrap();
        for answers in [vec![], vec![said(&[1, 5], &[])], vec![said(&[1, 5], &[2])]] {
            let seen = found(&lab, &*mark, &answers, 9);
            let evidence = &seen.evidence;
            assert_eq!((evidence.n, evidence.log10_p, evidence.effect), (0, 0.0, 0.0), "{}", lab.name());
            assert_eq!(seen.max_log10_e_by_query.len(), evidence.log10_e.map_or(0, |_| answers.len()), "{}", lab.name());
        }
    }
}

/// What is said token by token is what is done to the row.
#[test]
fn raised_tokens_are_those_of_the_row() {
    let mut told_at_all = 0;
    for lab in labs() {
        let law = law(&*lab.build(&Key::decoy(8, 0)).unwrap());
        for before in [&[1, 9, 8, 7, 6, 5][..], &[5, 6, 7, 8], &[5]] {
            let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, before.to_vec(), 1) };
            let step = Step { query: &query, tokens: before };
            let Some(raised) = law.raised(&step) else { continue };
            let mut logits = vec![0.0; VOCAB];
            law.process(&step, Row::alone(&mut logits));
            let told = |token| if raised.contains(token) { raised.bias } else { 0.0 };
            assert_eq!(logits, (0..VOCAB as TokenId).map(told).collect::<Vec<f32>>(), "{} after {before:?}", lab.name());
            told_at_all += 1;
        }
    }
    assert!(told_at_all >= 6);
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

/// Contexts of the answer alone: its first tokens are units too, and a prompt takes out what it holds of a unit.
#[test]
fn padded_walk_scores_the_beginning_of_answers() {
    let codec = ToyCodec::new(VOCAB);
    let (pad, items) =
        (NO_TOKEN, [said(&[1, 10, 11], &[10, 12, 13, 2, 30]), said(&[1], &[12, 13, 0, 14]), said(&[1, 9], &[20, 12])]);
    let walk = |dedup| {
        let units = Units::walk(&items, &Rules::padded(2, dedup, &codec));
        (units.windows().map(<[TokenId]>::to_vec).collect::<Vec<_>>(), units.ends().to_vec(), units.skipped)
    };
    let (windows, ends, skipped) = walk(Dedup::Contexts);
    // 10 stands in the prompt; a special token ends two contexts; every answer begins in one context
    assert_eq!(windows, [[pad, 10, 12], [10, 12, 13], [pad, pad, 12], [pad, 12, 13], [pad, 20, 12]]);
    assert_eq!(ends, [2, 4, 5]);
    assert_eq!(skipped, Skipped { special: 2, in_prompt: 1, repeated: 1 });
    assert_eq!(walk(Dedup::Pairs).0.len(), 6);
    // places, contexts and windows are of one mind
    let rules = Rules::padded(2, Dedup::Pairs, &codec);
    let scored: Vec<_> = (0..9).filter_map(|at| rules.place(&items[1], at)).collect();
    assert_eq!(scored.iter().map(|place| place.context().to_vec()).collect::<Vec<_>>(), [[pad, pad], [pad, 12], [12, 13]]);
    assert_eq!(
        scored.iter().map(|place| (place.at(), place.said().is_some())).collect::<Vec<_>>(),
        [(0, true), (1, true), (2, false)]
    );
    assert!(Rules::new(2, Dedup::Pairs, &codec).place(&items[1], 1).is_none());
}
