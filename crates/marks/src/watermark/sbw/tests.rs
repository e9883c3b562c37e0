use oracle::{Query, Row, Sampling, Step};
use serde_json::{Value, json};

use super::*;
use crate::Planting;
use crate::keyed::philox;
use crate::keyed::sbw::hash;
use crate::served_texts::{answers, build, counted, header, ids};

const KEY: i64 = 1_099_511_627_791;

fn seeds(key: i64, seeding: Seeding) -> Seeds {
    Seeds { key, seeding }
}

/// Green candidates below 128.
fn green(seeds: Seeds, context: &[TokenId], gamma: f64) -> Vec<TokenId> {
    let mut draws = [0; 128];
    seeds.all_draws(context, &mut draws);
    (0..128).filter(|id| draws[*id as usize] < green_below(gamma)).collect()
}

/// Numbers of `units-sbw.json`.
#[test]
fn hashes_seeds_and_lists_are_those_of_sbw() {
    for (id, expected) in [(NO_TOKEN, 0), (0, 638_944_058), (1, 1_362_763_215), (511, 148_451_877), (151_935, 1_939_273_333)] {
        assert_eq!(hash(id), expected, "{id}");
    }
    // the oldest of the published window of four does not count
    let own = seeds(KEY, Seeding::SelfHash);
    assert_eq!(
        [0, 7, 403].map(|id| own.seed(&[2, 3, 4], id)),
        [-7_659_816_203_414_182_240, -1_033_461_138_276_688_942, -7_280_114_868_029_343_137]
    );
    assert_eq!(green(own, &[2, 3, 4], 0.5)[..12], [0, 1, 2, 3, 5, 8, 9, 12, 15, 16, 20, 21]);
    assert_eq!(green(own, &[2, 3, 4], 0.25)[..12], [0, 1, 2, 3, 21, 22, 36, 45, 46, 53, 57, 60]);
    // a context that is not full leaves seeds that no key enters
    assert_eq!(own.seed(&[NO_TOKEN; 3], 7), 0);
    let left = seeds(KEY, Seeding::LeftHash);
    assert_eq!((left.seed(&[5], 9), left.seed(&[NO_TOKEN], 9)), (5_497_558_138_955, -KEY));
    assert_eq!(green(left, &[5], 0.5)[..12], [3, 6, 9, 11, 12, 13, 15, 16, 17, 18, 21, 22]);
    let Some(file) = header("units-sbw") else { return };
    for (id, expected) in file["h"].as_object().unwrap() {
        assert_eq!(Some(i64::from(hash(id.parse::<i64>().unwrap() as TokenId))), expected.as_i64());
    }
    let number = |value: &Value| value.as_str().unwrap().parse::<i64>().unwrap();
    for vector in file["vectors"].as_array().unwrap() {
        let (key, context) = (number(&vector["key"]), ids(&vector["context"]));
        let (seeds, context) = if vector["scheme"] == "selfhash" {
            let (own, context) = (seeds(key, Seeding::SelfHash), &context[1..]);
            for (id, seed) in vector["seed"].as_object().unwrap() {
                assert_eq!(own.seed(context, id.parse().unwrap()), number(seed));
            }
            (own, context)
        } else {
            let left = seeds(key, Seeding::LeftHash);
            assert_eq!(left.seed(&context, 0), number(&vector["seed"]));
            (left, &context[..])
        };
        for (gamma, name) in [(0.5, "green_gamma_0_5"), (0.25, "green_gamma_0_25")] {
            if !vector[name].is_null() {
                assert_eq!(green(seeds, context, gamma), ids(&vector[name]), "{vector}");
            }
        }
        // one by one, and as units
        let windows: Vec<TokenId> = (0..128).flat_map(|id| [context, &[id]].concat()).collect();
        let (mut all, mut units) = ([0; 128], [0; 128]);
        seeds.all_draws(context, &mut all);
        seeds.draws(&windows, context.len() + 1, &mut units);
        assert_eq!(all, units);
        assert!((0..128).all(|id| seeds.draw(context, id) == all[id as usize]));
    }
}

fn entry(form: &str, seeding: &str, width: usize) -> Value {
    let test = "count";
    json!({"sbw": {
        "form": form, "seeding": seeding, "key": KEY, "gamma": 0.5, "delta": 2.0, "width": width, "dedup": "contexts", "test": test,
    }})
}

/// Its generator's rule finds the text; its own detector looks for hashed ids and finds nothing.
#[test]
fn left_hash_of_the_proposal_is_found_by_its_generators_rule_alone() {
    let mark = build(entry("native_proposal", "left_hash", 1), &Key::decoy(1, 1));
    let error = mark.authors(&[&[3, 4, 5]]).unwrap_err().to_string();
    assert!(error.contains("finds nothing") && error.contains("plugin"), "{error}");
    let (Some(header), Some(texts)) = (header("vllm-sbw-lefthash"), answers("vllm-sbw-lefthash")) else { return };
    let texts: Vec<&[TokenId]> = texts.iter().map(Vec::as_slice).collect();
    // theirs counts the first token too, after the id -1
    let windows = crate::keyed::vllm::detector::units(&texts, 1);
    let hits = |seed: &dyn Fn(TokenId) -> i64| {
        let hit = |window: &&[TokenId]| {
            let (seed, token) = (seed(window[0]), window[1]);
            let word = philox::philox([token / 4, 0, 0, 0], [seed as u32, (seed >> 32) as u32])[token as usize % 4];
            word & 0x7fff_ffff < green_below(0.5)
        };
        windows.chunks_exact(2).filter(hit).count() as u64
    };
    let pooled = &header["pooled"];
    assert_eq!(Some(windows.len() as u64 / 2), pooled["n"].as_u64());
    assert_eq!(Some(hits(&|id| KEY.wrapping_mul(i64::from(id as i32)))), pooled["hits"].as_u64());
    assert_eq!(Some(hits(&|id| KEY.wrapping_mul(i64::from(hash(id))))), pooled["their_detector"]["hits"].as_u64());
    // ours leaves out that first token
    let found = counted(&*mark, &texts, 0).evidence;
    assert_eq!(Some(found.n + 1), pooled["n"].as_u64());
    assert!(found.log10_p < -9.0, "{found:?}");
    // every pair of context and token is far more
    let mut pairs = entry("native_proposal", "left_hash", 1);
    pairs["sbw"]["dedup"] = json!("pairs");
    let found = counted(&*build(pairs, &Key::decoy(1, 1)), &texts, 0).evidence;
    assert!(found.n > 500 && found.log10_p < -20.0, "{found:?}");
}

/// What is raised after `answer` to `prompt`, 128 candidates.
fn raised(entry: Value, prompt: &[TokenId], answer: &[TokenId], temperature: f32) -> Vec<TokenId> {
    let mark = build(entry, &Key::decoy(1, 1));
    let [Planting::Law(law)] = &mark.planting()[..] else { panic!("one law") };
    assert_eq!(law.stage(), Stage::BeforeTemperature);
    let query = Query { sampling: Sampling { temperature, ..Sampling::PLAIN }, ..Query::greedy(0, prompt.to_vec(), 9) };
    let tokens = [prompt, answer].concat();
    let (step, mut logits) = (Step { query: &query, tokens: &tokens }, vec![0.5; 128]);
    law.process(&step, Row::alone(&mut logits));
    let told = law.raised(&step).unwrap();
    let raised: Vec<TokenId> = (0..128).filter(|id| logits[*id as usize] == 2.5).collect();
    assert_eq!(raised, (0..128).filter(|id| told.contains(*id)).collect::<Vec<_>>());
    assert!(logits.iter().all(|logit| [0.5, 2.5].contains(logit)));
    raised
}

#[test]
fn the_plug_in_reads_the_prompt_and_the_proposal_does_not() {
    let own = |context: &[TokenId]| green(seeds(KEY, Seeding::SelfHash), context, 0.5);
    // greedy answers are marked like others
    for temperature in [0.0, 1.0] {
        let [plugin, native] = ["plugin", "native_proposal"].map(|form| entry(form, "self_hash", 4));
        assert_eq!(raised(plugin.clone(), &[9, 2, 3], &[4], temperature), own(&[2, 3, 4]));
        assert_eq!(raised(plugin, &[3], &[4], temperature), own(&[0, 3, 4]));
        assert_eq!(raised(native.clone(), &[9, 2, 3], &[4], temperature), own(&[NO_TOKEN, NO_TOKEN, 4]));
        assert_eq!(raised(native, &[1], &[9, 9, 2, 3, 4], temperature), own(&[2, 3, 4]));
    }
    let left = |context: &[TokenId]| green(seeds(KEY, Seeding::LeftHash), context, 0.5);
    assert_eq!(raised(entry("native_proposal", "left_hash", 2), &[1], &[3, 4], 1.0), left(&[3, 4]));
    assert_eq!(raised(entry("native_proposal", "left_hash", 1), &[7], &[], 1.0), left(&[NO_TOKEN]));
    assert_eq!(raised(entry("plugin", "left_hash", 1), &[7], &[], 1.0), left(&[7]));
    // without context there is one list
    assert_eq!(raised(entry("plugin", "self_hash", 1), &[7], &[5, 6], 1.0), own(&[]));
}

/// Whatever the key, units of one draw are counted once: the windows of a key are distinct by seed and token.
#[test]
fn units_are_counted_once_for_each_draw() {
    let mark = build(entry("plugin", "self_hash", 4), &Key::decoy(1, 1));
    // 9 stands after two contexts whose least product is that of 9 with itself or with an id that both hold
    let own = seeds(KEY, Seeding::SelfHash);
    let same = (3..400).find(|id| own.seed(&[*id, 5, 6], 9) == own.seed(&[2, 5, 6], 9)).unwrap();
    let [one, other] = [[2, 5, 6, 9], [same, 5, 6, 9]];
    assert_eq!(counted(&*mark, &[&one], 0).evidence.n, 1);
    assert_eq!(counted(&*mark, &[&one, &other], 0).evidence.n, 1);
    let far = (3..400).find(|id| own.seed(&[*id, 5, 6], 9) != own.seed(&[2, 5, 6], 9)).unwrap();
    assert_eq!(counted(&*mark, &[&one, &[far, 5, 6, 9]], 0).evidence.n, 2);
}
