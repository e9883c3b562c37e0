use std::collections::HashSet;

use oracle::{LogitsProcessor, Oracle, Query, Row, Sampling, Stage, Step, TokenId};
use stats::power;

use super::*;
use crate::key::Purpose;
use crate::keyed::soft_list::Lists;
use crate::testing::{Lab, ToyCodec, ToyModel};
use crate::{Chance, Finding, MarkEntry, Planting};

const VOCAB: usize = 512;

fn kgw(context_width: usize) -> KgwConfig {
    KgwConfig::of_width(context_width)
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

/// The law that `config` plants.
fn law(config: &KgwConfig, key: &Key, vocab: usize) -> Arc<dyn LogitsProcessor> {
    let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(vocab));
    match config.build(&Owner::new(key, &codec)).unwrap().planting().remove(0) {
        Planting::Law(law) => law,
        _ => panic!("no law"),
    }
}

/// Ids that are raised after `tokens`, where all are equally probable.
fn raised(config: &KgwConfig, vocab: usize, tokens: &[TokenId]) -> Vec<TokenId> {
    let (law, query) = (law(config, &Key::decoy(1, 1), vocab), Query::greedy(0, tokens.to_vec(), 1));
    let mut logits = vec![0.0; vocab];
    law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
    (0..vocab as TokenId).filter(|id| logits[*id as usize] > 0.0).collect()
}

/// The authors' configuration with their key.
fn authors_own(seeding: Seeding, context_width: usize, gamma: f64) -> KgwConfig {
    let torch = Some(Torch { hash_key: Some(ServedKey::new(15_485_863)), vocab_size: None });
    KgwConfig { gamma, seeding, torch, ..kgw(context_width) }
}

/// Methods, appendix A: lists of the authors' code, V = 50.
#[test]
fn lists_are_those_of_the_authors() {
    let sorted = |mut ids: Vec<TokenId>| {
        ids.sort_unstable();
        ids
    };
    let left = [19, 42, 1, 7, 16, 18, 46, 34, 23, 31, 28, 44];
    assert_eq!(raised(&authors_own(Seeding::LeftHash, 1, 0.25), 50, &[9, 7]), sorted(left.to_vec()));
    let half = [44, 10, 46, 39, 5, 16, 26, 32, 7, 31, 36, 40, 17, 48, 8, 13, 3, 27, 12, 6, 34, 41, 42, 18, 11];
    assert_eq!(raised(&authors_own(Seeding::LeftHash, 1, 0.5), 50, &[9, 42]), sorted(half.to_vec()));
    let anchored = [2, 19, 37, 41, 32, 33, 24, 0, 25, 8, 11, 28];
    let context = [11, 22, 33, 44];
    assert_eq!(raised(&authors_own(Seeding::Anchored, 4, 0.25), 50, &context), sorted(anchored.to_vec()));
    let seed = |seeding: Seeding, ids: &[TokenId]| Seeds::new(seeding.rule(), 15_485_863).of(ids);
    assert_eq!(seed(Seeding::Anchored, &context), 2_066_689_895);
    assert_eq!(seed(Seeding::MinHash, &context), 179_003);
    assert_eq!(seed(Seeding::Skipgram, &[5, 11, 22, 33, 44]), 400_990);
    // a sum knows no order
    assert_eq!(seed(Seeding::LeftHash, &[11, 22]), seed(Seeding::LeftHash, &[22, 11]));
    // self hash is the anchored rule over the context and the token
    let own = authors_own(Seeding::SelfHash, 4, 0.25);
    let green: Vec<TokenId> = raised(&own, 50, &context[..3]);
    let lists = torch_lists(Seeding::SelfHash, ListSize::new(50, 0.25))(&Key::decoy(1, 1).serving(&[15_485_863]));
    let expected = |id: &TokenId| lists.size.has(seed(Seeding::Anchored, &[11, 22, 33, *id]), *id);
    assert_eq!(green, (0..50).filter(expected).take_while(|id| *id < 41).collect::<Vec<_>>());
}

/// What decides about a token is what a seeding says, in both functions: contexts that differ elsewhere raise the same tokens.
#[test]
fn contexts_decide_by_what_a_seeding_looks_at() {
    for torch in [None, Some(Torch::default())] {
        let of = |seeding, tokens: &[TokenId]| {
            let config = KgwConfig { gamma: 0.5, seeding, torch: torch.clone(), ..kgw(tokens.len()) };
            raised(&config, 300, tokens)
        };
        assert_eq!(of(Seeding::Skipgram, &[5, 6, 7]), of(Seeding::Skipgram, &[5, 9, 8]));
        assert_ne!(of(Seeding::Skipgram, &[5, 6, 7]), of(Seeding::Skipgram, &[6, 5, 7]));
        // the least of three is the least of two of them, with one of the others
        let least = of(Seeding::MinHash, &[20, 30, 40]);
        let pairs = [[20, 30], [20, 40], [30, 40]].map(|pair| of(Seeding::MinHash, &pair));
        assert!(pairs.iter().filter(|pair| **pair == least).count() == 2, "{torch:?}");
        assert_eq!(least, of(Seeding::MinHash, &[40, 20, 30]));
        // the anchor counts by its place, the others do not
        assert_eq!(of(Seeding::Anchored, &[20, 30, 40]), of(Seeding::Anchored, &[30, 20, 40]));
        assert_ne!(of(Seeding::Anchored, &[20, 30, 40]), of(Seeding::Anchored, &[40, 30, 20]));
        assert_ne!(of(Seeding::LeftHash, &[20, 30, 40]), of(Seeding::LeftHash, &[20, 30, 41]));
        assert_ne!(of(Seeding::SelfHash, &[20, 30, 40]), of(Seeding::SelfHash, &[21, 31, 41]));
        // 41 candidates are tried, half of which are green: 4 standard deviations
        let tried = of(Seeding::SelfHash, &[20, 30, 40]).len();
        assert!((8..=33).contains(&tried), "{tried} of 41");
    }
}

/// Units of one draw are told: whatever two windows have one name, one is green if the other is, under that key.
#[test]
fn windows_of_one_name_have_one_value() {
    for config in KgwConfig::examples() {
        let codec: Arc<dyn Codec> = Arc::new(ToyCodec::new(512));
        let seeding = config.seeding;
        let width = config.rules(&*codec).context_width + 1;
        // contexts of few ids meet each other often
        let windows: Vec<TokenId> = (0..4_000_u32).map(|at| 3 + at.wrapping_mul(2_654_435_761) % 5).collect();
        let windows = &windows[..windows.len() / width * width];
        let key = Key::decoy(9, 9);
        let (lists, alike): (Arc<dyn Lists>, _) = match config.torch {
            None => (Arc::new(NativeLists::new(&key, config.gamma, seeding)), seeding.alike(false)),
            Some(_) => (Arc::new(torch_lists(seeding, ListSize::new(512, config.gamma))(&key)), seeding.alike(true)),
        };
        let mut scores = vec![0.0; windows.len() / width];
        lists.score(windows, width, &mut scores);
        let mut by_name = std::collections::HashMap::new();
        for (window, score) in windows.chunks(width).zip(&scores) {
            let name = match alike {
                Alike::None => continue,
                Alike::Always(input) => input(&window[..width - 1], window[width - 1]),
                Alike::UnderKey => lists.input(window),
            };
            assert_eq!(by_name.entry(name).or_insert(*score), score, "{seeding:?} {window:?}");
        }
    }
}

/// One token of context is what it is under every seeding that looks at one; the lists are those pinned above.
#[test]
fn one_token_chooses_one_list() {
    let key = Key::new(std::array::from_fn(|i| i as u8), "pinned");
    let green = |seeding, context: &[TokenId]| -> Vec<TokenId> {
        let lists = NativeLists::new(&key, 0.25, seeding);
        let windows: Vec<TokenId> = (0..40).flat_map(|token| [context, &[token]].concat()).collect();
        let mut scores = vec![0.0; 40];
        lists.score(&windows, context.len() + 1, &mut scores);
        (0..40).filter(|token| scores[*token as usize] > 0.0).collect()
    };
    assert_eq!(green(Seeding::Skipgram, &[7, 1, 2]), [5, 20, 26, 27, 29, 32]);
    assert_eq!(green(Seeding::MinHash, &[7]), [5, 20, 26, 27, 29, 32]);
    // a token that is alone with itself chooses by itself
    assert_eq!(
        green(Seeding::SelfHash, &[]).len(),
        (0..40).filter(|token| green(Seeding::Skipgram, &[*token]).contains(token)).count()
    );
}
