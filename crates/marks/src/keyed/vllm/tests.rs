//! Numbers of `units-vllm-philox.json` and `units-vllm-ordinary.json` of the served watermarks' fixtures, and the whole files where they are.

use std::sync::Arc;

use oracle::{Query, Row, Sampling, Step, TokenId};
use serde_json::{Value, json};

use super::history::{Deduplicate, History};
use super::prf::{PLAIN, Prf, derived, mantissas_below, uniform};
use super::{ordinary, race};
use crate::keyed::rules::NO_TOKEN;
use crate::served_texts::{answers, build, header, ids};
use crate::{Key, Planting};

const KEY: u64 = 8_446_744_073_709_551_557;
const TOKENS: [TokenId; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 511, 31_999, 151_935];
const SYNTHID: u64 = 0x5359_4E54 << 32;

fn words(prf: Prf, context: &[TokenId], stream: u64) -> [u32; 11] {
    let mut words = [0; 11];
    prf.words(context, &TOKENS, stream, &mut words);
    words
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn words_states_and_keys_are_those_of_vllm() {
    let prf = Prf::new(KEY);
    assert_eq!(prf.fold(&[NO_TOKEN; 4]), [210_853_931, 2_436_710_586, 997_479_319, 2_873_437_076]);
    assert_eq!(prf.fold(&[4, 5, 6, 7]), [3_333_787_039, 1_329_740_007, 3_296_169_727, 197_371_684]);
    assert_eq!(words(prf, &[NO_TOKEN; 4], PLAIN)[..5], [484_966_841, 635_446_669, 3_012_066_816, 840_752_786, 740_899_605]);
    assert_eq!(words(prf, &[NO_TOKEN; 4], SYNTHID)[..3], [4_187_192_390, 1_360_689_459, 2_760_097_689]);
    assert_eq!(words(prf, &[NO_TOKEN; 4], SYNTHID + 1)[..3], [947_990_094, 3_114_404_021, 604_897_095]);
    assert_eq!(["key_a", "key_b"].map(|label| derived(label, KEY)), [7_385_522_466_129_518_100, 14_200_671_442_217_054_545]);
    assert_eq!(derived("key_a", u64::MAX), 11_075_965_703_501_209_888);
    // 0x1.ce801ep-4, and its score
    assert_eq!(uniform(484_966_841), f32::from_bits(0x3de7_400f));
    assert!((race::score(484_966_841) / 0.119_814_642_646_883_4 - 1.0).abs() < 1e-15);
}

#[test]
fn the_whole_file_of_words_is_met() {
    let Some(file) = header("units-vllm-philox") else { return };
    assert_eq!(ids(&file["tokens"]), TOKENS);
    for vector in file["vectors"].as_array().unwrap() {
        let (prf, context) = (Prf::new(number(&vector["key"])), ids(&vector["context"]));
        let said =
            |name: &str| vector[name].as_array().unwrap().iter().map(|word| word.as_u64().unwrap() as u32).collect::<Vec<_>>();
        assert_eq!(prf.fold(&context)[..], said("state"));
        for (stream, name) in [(PLAIN, "word"), (SYNTHID, "word_synthid_block0"), (SYNTHID + 1, "word_synthid_block1")] {
            let words = words(prf, &context, stream);
            assert_eq!(words[..], said(name));
            // all at once, and as units
            let mut all = vec![0; 512];
            prf.all_words(&context, stream, &mut all);
            assert!(TOKENS[..9].iter().zip(&words).all(|(token, word)| all[*token as usize] == *word));
            let windows: Vec<TokenId> = TOKENS.iter().flat_map(|token| [&context[..], &[*token]].concat()).collect();
            let mut units = [0; 11];
            prf.unit_words(&windows, context.len() + 1, stream, &mut units);
            assert_eq!(units, words);
        }
        for (word, hex) in said("word").into_iter().zip(vector["u"].as_array().unwrap()) {
            assert_eq!(f64::from(uniform(word)), hexadecimal(hex.as_str().unwrap()));
        }
        for (word, score) in said("word").into_iter().zip(vector["score"].as_array().unwrap()) {
            assert!((race::score(word) / score.as_f64().unwrap() - 1.0).abs() < 4e-16);
        }
    }
    for keys in file["derived"].as_array().unwrap() {
        for label in ["key_a", "key_b"] {
            assert_eq!(derived(label, number(&keys["key"])), number(&keys[label]));
        }
    }
}

/// A number as C99 writes it: 0x1.8p-3.
fn hexadecimal(text: &str) -> f64 {
    let (digits, power) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (whole, fraction) = digits.split_once('.').unwrap();
    let mantissa = u64::from_str_radix(&format!("{whole}{fraction}"), 16).unwrap() as f64;
    mantissa * libm::exp2(power.parse::<f64>().unwrap() - 4.0 * fraction.len() as f64)
}

/// Both formulas of the server, the processor's and the graphics card's, on a spread of mantissas.
#[test]
fn numbers_lie_just_below_a_multiple_of_two_to_minus_24() {
    for mantissa in (0..1_u32 << 24).step_by(997).chain([0, (1 << 24) - 1, 1 << 23, (1 << 23) - 1]) {
        let u = uniform(mantissa << 8 | 0xff);
        assert_eq!(u, ((f64::from(mantissa) + 1.0) / 16_777_217.0) as f32, "{mantissa}");
        assert!(u > 0.0 && u < 1.0 && u == uniform(mantissa << 8));
    }
    assert!((race::score(u32::MAX) - 24.0 * std::f64::consts::LN_2).abs() < 1e-12);
    assert_eq!((mantissas_below(0.25), mantissas_below(0.5)), (1 << 22, 1 << 23));
    assert_eq!((mantissas_below(0.0), mantissas_below(1.0), mantissas_below(-1.0)), (0, 1 << 24, 0));
}

#[test]
fn ordinary_noise_and_routing_are_those_of_vllm() {
    // key B's turn at alpha 0.1
    let rows = [(0, 0, true, [2_167_721_464, 10_027_521]), (0, 11, false, [957_211_850, 3_536_478_218])];
    for (seed, position, second, words) in rows {
        assert_eq!([0, 1].map(|index| ordinary::word(seed, position, index)), words);
        assert_eq!(ordinary::second_key(0.1, seed, position), second);
    }
    let turns = (0..10_000).filter(|position| ordinary::second_key(0.1, 7, *position)).count();
    // Binomial(10,000, 0.1): 4 standard deviations, error rate 1e-4
    assert!((turns as f64 - 1_000.0).abs() < 120.0, "{turns}");
    assert_eq!([0.0, 1.0].map(|alpha| ordinary::second_key(alpha, 0, 0)), [false, true]);
    let Some(file) = header("units-vllm-ordinary") else { return };
    for vector in file["vectors"].as_array().unwrap() {
        let seed = vector["seed"].as_str().unwrap().parse::<i64>().unwrap() as u64;
        let position = vector["position"].as_u64().unwrap() as u32;
        for (index, word) in vector["word"].as_array().unwrap().iter().enumerate() {
            assert_eq!(Some(u64::from(ordinary::word(seed, position, index as u32))), word.as_u64());
            let noise = vector["noise"][index].as_f64().unwrap();
            // theirs is computed in 32 bits
            assert!((ordinary::noise(seed, position, index as u32) - noise).abs() < 2e-6 * (1.0 + noise.abs()));
        }
        assert_eq!(Some(ordinary::second_key(0.1, seed, position)), vector["key_b_at_alpha_0_1"].as_bool());
    }
}

/// Tokens that the sets' generator drew unmarked, by our rule, are as many as it says.
#[test]
fn repeats_are_drawn_unmarked_where_vllm_draws_them_unmarked() {
    let sets = [
        ("vllm-gumbel", 4, Deduplicate::SingleTurn),
        ("vllm-gumbel-h2-all-t08-p95", 2, Deduplicate::All),
        ("vllm-dual-key", 4, Deduplicate::SingleTurn),
        ("vllm-synthid-h1", 1, Deduplicate::SingleTurn),
    ];
    for (name, width, scope) in sets {
        let Some(text) = crate::served_texts::text(&format!("{name}.jsonl")) else { return };
        let history = History { width, scope, most: super::history::max_history() };
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let (prompt, answer) = (ids(&row["prompt_ids"]), ids(&row["ids"]));
            let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, prompt.clone(), answer.len()) };
            let tokens = [prompt, answer].concat();
            let skipped = (query.prompt.len()..tokens.len())
                .filter(|now| history.marked_context(&Step { query: &query, tokens: &tokens[..*now] }).is_none())
                .count();
            assert_eq!(Some(skipped as u64), row["skipped"].as_u64(), "{name}");
        }
        assert!(answers(name).is_some());
    }
}

#[test]
fn contexts_are_of_the_answer_and_repeats_of_what_is_searched() {
    let query =
        |temperature| Query { sampling: Sampling { temperature, ..Sampling::PLAIN }, ..Query::greedy(0, vec![1, 5, 6, 7], 9) };
    let marked = |scope, most, answer: &[TokenId], temperature| {
        let query = query(temperature);
        let tokens = [&query.prompt, answer].concat();
        History { width: 2, scope, most }.marked_context(&Step { query: &query, tokens: &tokens })
    };
    use Deduplicate::{All, None as Never, SingleTurn};
    let pad = NO_TOKEN;
    assert_eq!(marked(SingleTurn, 0, &[], 1.0), Some(vec![pad, pad]));
    assert_eq!(marked(SingleTurn, 0, &[6], 1.0), Some(vec![pad, 6]));
    assert_eq!(marked(SingleTurn, 0, &[6], 0.0), None, "greedy answers are unmarked");
    // 5 6 stands in the prompt; 6 7 8 6 7 repeats itself after two tokens more
    assert_eq!([SingleTurn, All, Never].map(|scope| marked(scope, 0, &[9, 5, 6], 1.0).is_some()), [true, false, true]);
    assert_eq!([SingleTurn, All, Never].map(|scope| marked(scope, 0, &[9, 7, 9, 7], 1.0).is_some()), [false, false, true]);
    assert_eq!([SingleTurn, All, Never].map(|scope| marked(scope, 0, &[9], 1.0).is_some()), [true, false, true]);
    // the last two positions hold no 9 7
    assert!(marked(SingleTurn, 2, &[9, 7, 8, 9, 7], 1.0).is_some() && marked(SingleTurn, 3, &[9, 7, 8, 9, 7], 1.0).is_none());
}

/// Logits of the file's formula after a context, as the mark under `key` leaves them.
fn stepped(kind: &str, more: &Value, key: u64, context: &[TokenId], position: usize) -> Vec<f32> {
    let mut table = json!({"key": key.to_string(), "context_width": 4, "deduplicate_contexts": "none"});
    table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mark = build(json!({ kind: table }), &Key::decoy(1, 1));
    let [Planting::Law(law)] = &mark.planting()[..] else { panic!("one law") };
    let law = Arc::clone(law);
    let answer: Vec<TokenId> = context.iter().copied().filter(|id| *id != NO_TOKEN).collect();
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, vec![1], 9) };
    let tokens = [&[1], &answer[..]].concat();
    let mut logits: Vec<f32> = (0..128).map(|token| (((37 * token + 17 * position) % 131) as f32 - 56.0) / 16.0).collect();
    law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut logits));
    logits
}

fn left(logits: &[f32]) -> Vec<u64> {
    (0..).zip(logits).filter(|(_, logit)| **logit > f32::NEG_INFINITY).map(|(token, _)| token).collect()
}

/// ln of the probability of each candidate after 32 layers, and what a rounding of one sum by 2^-24 in each layer moves it by: theirs has
/// sums in 32 bits, and a factor 1 + g - sum that they leave near 0 is off by many times its own last digit.
fn played(prf: Prf, context: &[TokenId], logits: &[f32]) -> Vec<(f64, f64)> {
    let mut words = vec![0; logits.len()];
    prf.all_words(context, SYNTHID, &mut words);
    let mut p: Vec<f64> = logits.iter().map(|logit| libm::exp(f64::from(*logit))).collect();
    let total: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= total);
    let mut rounding = vec![0.0; p.len()];
    for layer in 0..32 {
        let ones: f64 = p.iter().zip(&words).map(|(p, word)| p * f64::from(word >> layer & 1)).sum();
        for ((p, word), rounding) in p.iter_mut().zip(&words).zip(&mut rounding) {
            let factor = 1.0 + f64::from(word >> layer & 1) - ones;
            *rounding += libm::exp2(-24.0) / factor;
            *p *= factor;
        }
    }
    p.into_iter().map(libm::log).zip(rounding).collect()
}

#[test]
fn one_step_picks_what_vllm_picks() {
    // the first row of units-vllm-step.json
    assert_eq!(left(&stepped("vllm_gumbel", &json!({}), KEY, &[NO_TOKEN; 4], 0)), [53]);
    let Some(file) = header("units-vllm-step") else { return };
    for vector in file["vectors"].as_array().unwrap() {
        let (key, context) = (number(&vector["key"]), ids(&vector["context"]));
        let position = vector["position"].as_u64().unwrap() as usize;
        let step = |kind: &str, more: Value| stepped(kind, &more, key, &context, position);
        let plain: Vec<f32> = (0..128).map(|token| (((37 * token + 17 * position) % 131) as f32 - 56.0) / 16.0).collect();
        assert_eq!(left(&step("vllm_gumbel", json!({}))), [vector["gumbel_argmax"].as_u64().unwrap()]);
        // of two keys that one whose turn it is
        for (alpha, label) in [(0.0, "key_a"), (1.0, "key_b")] {
            let alone = stepped("vllm_gumbel", &json!({}), derived(label, key), &context, position);
            assert_eq!(step("vllm_dual_key", json!({ "alpha": alpha })), alone);
        }
        let raised = step("vllm_red_green_proposal", json!({"gamma": 0.25, "delta": 2.0}));
        let green: Vec<u64> = (0..128).filter(|token| raised[*token as usize] == plain[*token as usize] + 2.0).collect();
        assert_eq!(green, ids(&vector["green_gamma_0_25"]).into_iter().map(u64::from).collect::<Vec<_>>());
        let reweighted = step("vllm_synthid_proposal", json!({"variant": "stream", "depth": 32}));
        let (mut best, theirs) = (0, vector["synthid_depth32"].as_array().unwrap());
        let exact = played(Prf::new(key), &context, &plain);
        for (token, (ours, theirs)) in reweighted.iter().zip(theirs).enumerate() {
            let ((ln_p, rounding), ours_ln_p) = (exact[token], f64::from(*ours));
            // ours is computed in 64 bits and kept in 32
            assert!((ours_ln_p - ln_p).abs() < 1e-7 * (1.0 + ln_p.abs()), "{token}: {ours} for {ln_p}");
            let off = (theirs.as_f64().unwrap() - ln_p).abs();
            assert!(off < 1e-7 * ln_p.abs() + 4.0 * rounding, "{token}: {theirs} for {ln_p} within {rounding}");
            best = if *ours > reweighted[best] { token } else { best };
        }
        assert_eq!(Some(best as u64), vector["synthid_depth32_argmax"].as_u64());
    }
}

/// Which key draws is a matter of the request's seed and the position alone.
#[test]
fn dual_keys_take_turns_as_the_routing_says() {
    let mark = build(
        json!({"vllm_dual_key": {"key": KEY, "alpha": 0.4, "context_width": 1, "deduplicate_contexts": "none"}}),
        &Key::decoy(1, 1),
    );
    let [Planting::Law(law)] = &mark.planting()[..] else { panic!("one law") };
    let mut turns = [0; 2];
    for seed in 0..40 {
        let query = Query { sampling: Sampling::PLAIN, seed, ..Query::greedy(0, vec![1, 4, 9], 9) };
        let tokens = [1, 4, 9, 33];
        let mut logits = vec![0.0; 512];
        law.process(&Step { query: &query, tokens: &tokens }, Row::alone(&mut logits));
        let second = ordinary::second_key(0.4, seed, 3);
        let prf = Prf::new(derived(if second { "key_b" } else { "key_a" }, KEY));
        let mut words = vec![0; 512];
        prf.all_words(&[33], PLAIN, &mut words);
        assert_eq!(left(&logits), [race::winner(&[0.0; 512], &words).unwrap() as u64]);
        turns[usize::from(second)] += 1;
    }
    assert!(turns[0] > 10 && turns[1] > 5, "{turns:?}");
}

#[test]
fn the_race_skips_no_winner() {
    let prf = Prf::new(3);
    for round in 0..200_u32 {
        let mut words = vec![0; 300];
        prf.all_words(&[round], PLAIN, &mut words);
        let logits: Vec<f32> = (0..300_u32).map(|at| ((at * 7919 + round * 104_729) % 4_001) as f32 / 200.0).collect();
        let raced = |place: usize| f64::from(logits[place]) - libm::log(-libm::log(f64::from(uniform(words[place]))));
        let slow = (0..300).reduce(|best, place| if raced(place) > raced(best) { place } else { best });
        assert_eq!(race::winner(&logits, &words), slow);
    }
    assert_eq!(race::winner(&[f32::NEG_INFINITY; 3], &[1, 2, 3]), None);
    assert_eq!(race::winner(&[f32::NAN, 0.0], &[u32::MAX, 0]), Some(1));
}
