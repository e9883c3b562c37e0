use oracle::{Oracle, Query, Sampling, TokenId};
use serde_json::Value;

use super::*;
use crate::keyed::soft_list::Lists;
use crate::testing::{Lab, ToyCodec};
use crate::{Authors, Chance, MarkEntry, Planting};

fn config(seeding_scheme: SeedingScheme, context_width: usize, key: u64) -> HfKgwConfig {
    let [left, ..] = &HfKgwConfig::examples()[..] else { panic!("no example") };
    HfKgwConfig { seeding_scheme, context_width, hashing_key: Some(ServedKey::new(key)), ..left.clone() }
}

/// The lists of a server's key, V = 512.
fn lists(config: &HfKgwConfig) -> TorchLists {
    let key = ServedKey::in_hands_of(config.hashing_key, &Key::decoy(1, 1));
    config.lists(ListSize::new(512, config.greenlist_ratio))(&key)
}

/// What the processor adds to `scores` after `tokens`.
fn raised(config: &HfKgwConfig, tokens: &[TokenId], scores: &[f32]) -> Vec<TokenId> {
    let (key, codec): (_, Arc<dyn Codec>) = (Key::decoy(1, 1), Arc::new(ToyCodec::new(512)));
    let Planting::Law(law) = config.build(&Owner::new(&key, &codec)).unwrap().planting().remove(0) else { panic!("no law") };
    assert_eq!(law.stage(), Stage::AfterTruncation);
    let query = Query { sampling: Sampling::PLAIN, ..Query::greedy(0, tokens.to_vec(), 1) };
    let mut logits = scores.to_vec();
    law.process(&Step { query: &query, tokens }, Row::alone(&mut logits));
    (0..512).filter(|id| logits[*id as usize] == scores[*id as usize] + 2.0).collect()
}

/// Seeds and beginnings of lists that transformers 5.24 drew (units-hf-kgw).
#[test]
fn lists_are_those_of_transformers() {
    type Known = (SeedingScheme, usize, u64, &'static [TokenId], u32, [TokenId; 3]);
    use SeedingScheme::{LeftHash, SelfHash};
    let known: [Known; 8] = [
        (LeftHash, 1, 15_485_863, &[0], 0, [172, 137, 235]),
        (LeftHash, 1, 15_485_863, &[403], 1_945_835_493, [293, 425, 416]),
        (LeftHash, 1, 982_451_653, &[511], 3_816_588_347, [149, 123, 110]),
        (SelfHash, 4, 15_485_863, &[1, 403, 407, 261], 201_828_828, [383, 506, 269]),
        (SelfHash, 4, 15_485_863, &[7, 7, 7, 7], 992_930_830, [100, 379, 106]),
        (SelfHash, 1, 15_485_863, &[5], 3_477_772_539, [77, 85, 80]),
        (SelfHash, 4, 982_451_653, &[353, 236, 224, 470], 3_874_329_166, [238, 377, 359]),
        (SelfHash, 1, 982_451_653, &[5], 556_072_252, [254, 47, 21]),
    ];
    for (scheme, width, key, window, seed, green) in known {
        let lists = lists(&config(scheme, width, key));
        assert_eq!(lists.seeds.of(window), seed, "{scheme:?} {window:?}");
        for token in green {
            assert!(lists.size.has(seed, token));
        }
    }
}

fn units() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/watermarked/units-hf-kgw.json");
    let text = std::fs::read_to_string(path).map_err(|_| println!("skipped: {path} is not there")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Every vector of units-hf-kgw: seeds, whole lists, and the ids that the processor raises.
#[test]
fn the_processor_is_that_of_transformers() {
    let Some(units) = units() else { return };
    let ids = |value: &Value| -> Vec<TokenId> { serde_json::from_value(value.clone()).unwrap() };
    for vector in units["vectors"].as_array().unwrap() {
        let scheme = serde_json::from_value(vector["scheme"].clone()).unwrap();
        let width = vector["context_width"].as_u64().unwrap() as usize;
        let config = config(scheme, width, vector["key"].as_str().unwrap().parse().unwrap());
        if let Some(biased) = vector.get("biased") {
            // ((37 token + 17 position) mod 131 - 56) / 16 + token / 4096
            let score = |token: u32| (f64::from((37 * token + 17 * 3) % 131) - 56.0) / 16.0 + f64::from(token) / 4096.0;
            let scores: Vec<f32> = (0..512).map(|token| score(token) as f32).collect();
            assert_eq!(raised(&config, &ids(&vector["input_ids"]), &scores), ids(biased), "{config:?}");
            continue;
        }
        let (lists, window, mut green) = (lists(&config), ids(&vector["window"]), ids(&vector["green"]));
        let seed = lists.seeds.of(&window);
        assert_eq!(u64::from(seed), vector["low32"].as_u64().unwrap(), "{window:?}");
        green.sort_unstable();
        assert_eq!((0..512).filter(|token| lists.size.has(seed, *token)).collect::<Vec<_>>(), green);
        // a row of the cache, many windows and one window agree
        let windows: Vec<TokenId> = match scheme {
            SeedingScheme::LeftHash => (0..512).flat_map(|token| [window[0], token]).collect(),
            SeedingScheme::SelfHash => window.clone(),
        };
        let unit = if scheme == SeedingScheme::LeftHash { 2 } else { width };
        let mut scores = vec![0.0; windows.len() / unit];
        lists.score(&windows, unit, &mut scores);
        let one_by_one: Vec<f64> = windows.chunks(unit).map(|unit| f64::from(u8::from(lists.is_green(unit)))).collect();
        assert_eq!(scores, one_by_one);
    }
}

/// A text that is too short is left alone: with selfhash as long as it has no more ids than the lists see beside the candidate.
#[test]
fn short_texts_are_left_alone() {
    let scores = vec![0.0; 512];
    for (scheme, width) in [(SeedingScheme::LeftHash, 3), (SeedingScheme::SelfHash, 3)] {
        let config = config(scheme, width, 15_485_863);
        assert!(raised(&config, &[5, 6], &scores).is_empty());
        assert!(!raised(&config, &[5, 6, 7], &scores).is_empty());
    }
}

/// The list after id 0 is the same under every key: nothing after it is scored.
#[test]
fn what_no_key_decides_is_not_scored() {
    let codec = ToyCodec::new(512);
    assert!(config(SeedingScheme::LeftHash, 1, 7).rules(&codec).is_special(0));
    let of = |key| lists(&config(SeedingScheme::LeftHash, 1, key));
    assert!((0..512).all(|token| of(7).is_green(&[0, token]) == of(8).is_green(&[0, token])));
}

#[test]
fn keys_that_pytorch_refuses_or_does_not_see_are_refused() {
    for (scheme, key, refused) in [
        (SeedingScheme::SelfHash, 1 << 63, true),
        (SeedingScheme::LeftHash, 1 << 63, true),
        (SeedingScheme::LeftHash, (1 << 63) + 1, false),
        (SeedingScheme::SelfHash, (1 << 40) + 1, false),
        (SeedingScheme::LeftHash, 1 << 40, true),
    ] {
        let checked = config(scheme, 1, key).validate();
        assert_eq!(checked.is_err(), refused, "{scheme:?} {key}");
        if let Err(error) = checked {
            assert!(error.key == "hashing_key" && !error.to_string().contains(&key.to_string()), "{error}");
        }
    }
}

/// z of 2 hits in 4 windows, one window twice, and the p of the older version.
#[test]
fn the_detectors_count_windows_as_they_do() {
    let config = config(SeedingScheme::LeftHash, 1, 15_485_863);
    let of = config.clone();
    let detector = Detector { lists: Arc::new(move |_| lists(&of)), width: 2, ratio: 0.25, bos: Some(1) };
    // 293 and 425 are green after 403, 416 too; 0 after 1 is
    let text = [1, 403, 293, 403, 293];
    let scores = detector.judge(&Key::decoy(1, 1), &[&text]).unwrap();
    let green = lists(&config).is_green(&[293, 403]);
    let hits = 2 + u64::from(green);
    assert_eq!((scores[0].units, scores[0].statistic as u64, scores[1].units), (3, hits, 2));
    let z = (hits as f64 - 0.75) / (3.0 * 0.1875_f64).sqrt();
    assert!((scores[0].z.unwrap() - z).abs() < 1e-12);
    let old = 0.5 - 0.5 * (1.0 - libm::exp(-2.0 * z * z / std::f64::consts::PI));
    assert!((libm::pow(10.0, scores[2].log10_p.unwrap()) / old - 1.0).abs() < 1e-9);
}

/// Texts that know no key, under 300 keys: windows that differ may be copies of one draw, and counted apart they condemn many a stranger
/// (served-watermarks 10: a quarter, at a nominal 1 %). Counted once for each draw they do not, whatever the text repeats.
#[test]
fn strangers_are_not_condemned_by_copies_of_a_draw() {
    let own = HfKgwConfig { test: KeyedTest::Count, hashing_key: None, ..config(SeedingScheme::SelfHash, 4, 1) };
    let lab = Lab::new(&MarkEntry { hf_kgw: Some(Box::new(own.clone())), ..MarkEntry::default() });
    let once = lab.model(5).answer(&lab.audit()).unwrap();
    let answers: Vec<_> = (0..3).flat_map(|_| once.clone()).collect();
    let keys: Vec<Key> = (0..300).map(|index| Key::decoy(78, index)).collect();
    let chance = Chance::default();
    let found = lab.judge_under(&keys, &lab.model(5), answers.clone(), chance).unwrap();
    let at = |p: &dyn Fn(usize) -> f64, level: f64| (0..300).filter(|key| p(*key) <= libm::log10(level)).count();
    let ours = |key: usize| found[key].evidence.log10_p;
    // Binomial(300, 0.05) exceeds 28 and Binomial(300, 0.01) exceeds 10 with probability below 1e-3
    assert!(at(&ours, 0.05) <= 28 && at(&ours, 0.01) <= 10, "{} and {}", at(&ours, 0.05), at(&ours, 0.01));
    let (lists, rules) = (own.lists(ListSize::new(128, 0.25)), own.rules(&ToyCodec::new(128)));
    let units = crate::Units::walk(&answers, &rules);
    let naive = |key: usize| {
        let mut scores = vec![0.0; units.len()];
        lists(&keys[key]).score(units.flat(), units.width(), &mut scores);
        stats::tail::log10_binomial_sf(scores.iter().sum::<f64>() as u64, units.len() as u64, 0.25)
    };
    assert!(at(&naive, 0.01) > 15, "{} of 300", at(&naive, 0.01));
}
