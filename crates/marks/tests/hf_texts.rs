//! Texts that transformers 5.24 marked, and unmarked ones, against the numbers that its own detectors gave them
//! (`shared/watermarked`, beside the checkout; served-watermarks 9 and 12).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, in its helpers as well; what is skipped is said"
)]

use std::path::PathBuf;
use std::sync::Arc;

use marks::{AuthorsScore, Case, Chance, Finding, Key, Mark, MarkEntry, Owner, Seen};
use oracle::{Codec, Exchange, Query, Stop, TokenId};
use serde_json::{Value, json};

/// Ids alone, none of them special.
struct Ids;

impl Codec for Ids {
    fn encode(&self, _text: &str) -> Vec<TokenId> {
        Vec::new()
    }

    fn decode(&self, _ids: &[TokenId]) -> String {
        String::new()
    }

    fn vocab_size(&self) -> usize {
        512
    }

    fn bos(&self) -> Option<TokenId> {
        Some(1)
    }

    fn eos(&self) -> Option<TokenId> {
        Some(2)
    }

    fn special_ids(&self) -> &[TokenId] {
        &[]
    }
}

/// A set: what is said of it, and the ids of its rows.
struct Set {
    name: String,
    about: Value,
    rows: Vec<Vec<TokenId>>,
}

/// All sets of transformers whose names begin so; none where the folder is not there.
fn sets(prefix: &str) -> Vec<Set> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/watermarked");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return Vec::new();
    };
    let read = |file: String| std::fs::read_to_string(folder.join(file)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let names = names.iter().filter_map(|name| name.strip_suffix(".jsonl")).filter(|name| name.starts_with(prefix));
    let set = |name: &str| {
        let row = |line: &str| serde_json::from_value(serde_json::from_str::<Value>(line).unwrap()["ids"].take()).unwrap();
        Set {
            name: name.into(),
            about: serde_json::from_str(&read(format!("{name}.json"))).unwrap(),
            rows: read(format!("{name}.jsonl")).lines().map(row).collect(),
        }
    };
    names.map(set).collect()
}

fn build(entry: Value) -> Arc<dyn Mark> {
    let (key, codec): (_, Arc<dyn Codec>) = (Key::decoy(1, 1), Arc::new(Ids));
    let entry: MarkEntry = serde_json::from_value(entry).unwrap();
    entry.build(&Owner::new(&key, &codec)).unwrap()
}

/// transformers' configuration as ours.
fn kgw(config: &Value) -> Arc<dyn Mark> {
    let mut table = config.clone();
    table["test"] = json!("count");
    build(json!({ "hf_kgw": table }))
}

fn synthid(config: &Value, score: &str) -> Arc<dyn Mark> {
    let mut table = config.clone();
    let debug = table.as_object_mut().unwrap().remove("debug_mode");
    assert_ne!(debug, Some(json!(true)));
    table["test"] = json!("count");
    table["score"] = json!(score);
    build(json!({ "hf_synthid": table }))
}

/// Our own count over all rows.
fn judged(mark: &dyn Mark, rows: &[Vec<TokenId>]) -> Finding {
    let exchange = |answer: &Vec<TokenId>| Exchange {
        query: Query::greedy(0, vec![1], answer.len()),
        answer: answer.clone(),
        stop: Stop::Length,
    };
    let suspect = [Seen::Exchanges(Arc::new(rows.iter().map(exchange).collect()))];
    let case = Case { suspect: &suspect, teacher: None, references: &[], second: &[], contexts: None, chance: Chance::default() };
    mark.judge(&case).unwrap().remove(0)
}

/// Whether a number is the one that is stated, to `digits` of its twelve.
fn near(got: f64, stated: &Value, relative: f64) -> bool {
    let stated = stated.as_f64().unwrap();
    (got - stated).abs() <= relative * stated.abs().max(1e-300)
}

fn meets_kgw(what: &str, scores: &[AuthorsScore], stated: &Value) {
    let [every, distinct, old] = scores else { panic!("{scores:?}") };
    for (score, stated) in [(every, stated), (distinct, &stated["distinct"])] {
        assert_eq!((json!(score.units), json!(score.statistic as u64)), (stated["n"].clone(), stated["hits"].clone()), "{what}");
        assert!(near(score.z.unwrap(), &stated["z"], 1e-11), "{what}: {score:?} for {stated}");
        // stated with 16 digits and made from 1 - p: at most 2e-16 of 1 is lost
        let p = libm::pow(10.0, score.log10_p.unwrap());
        assert!((p - stated["p"].as_f64().unwrap()).abs() <= 1e-11 * p + 3e-16, "{what}: {p} for {stated}");
    }
    let p = libm::pow(10.0, old.log10_p.unwrap());
    assert!((p - stated["p_4_57"].as_f64().unwrap()).abs() <= 1e-11 * p + 3e-16, "{what}: {p} for {stated}");
}

fn texts(rows: &[Vec<TokenId>]) -> Vec<&[TokenId]> {
    rows.iter().map(Vec::as_slice).collect()
}

fn meets_kgw_pooled(set: &Set, mark: &dyn Mark, stated: &Value) {
    let scores = mark.authors(&texts(&set.rows)).unwrap();
    let distinct = &scores[1];
    assert_eq!((json!(distinct.units), json!(distinct.statistic as u64)), (stated["n"].clone(), stated["hits"].clone()));
    assert!(near(distinct.z.unwrap(), &stated["z"], 1e-11), "{}", set.name);
}

#[test]
fn kgw_texts_have_the_scores_that_transformers_gave_them() {
    let mut rows = 0;
    for set in sets("hf-kgw") {
        let mark = kgw(&set.about["config"]);
        for (row, stated) in set.rows.iter().zip(set.about["expected"].as_array().unwrap()) {
            meets_kgw(&set.name, &mark.authors(&[row]).unwrap(), stated);
            rows += 1;
        }
        meets_kgw_pooled(&set, &*mark, &set.about["pooled"]);
        let found = judged(&*mark, &set.rows);
        assert!(found.evidence.log10_p < -6.0, "{}: {found:?}", set.name);
        // with lefthash and one id of context both rules keep the same units
        let one = set.about["config"]["seeding_scheme"] == "lefthash" && set.about["config"]["context_width"] == 1;
        let stated = &set.about[if one { "pooled" } else { "pooled_by_seed" }];
        if !stated.is_null() {
            let (n, hits) = (found.evidence.n, found.evidence.statistic as u64);
            assert_eq!((json!(n), json!(hits)), (stated["n"].clone(), stated["hits"].clone()), "{}", set.name);
            assert!(near(found.evidence.log10_p, &stated["log10p_exact"], 1e-10), "{}: {found:?}", set.name);
        }
    }
    println!("{rows} rows");
}

#[test]
fn synthid_texts_have_the_scores_of_the_published_detectors() {
    let mut rows = 0;
    for set in sets("hf-synthid") {
        let mark = synthid(&set.about["config"], "mean");
        for (row, stated) in set.rows.iter().zip(set.about["expected"].as_array().unwrap()) {
            let scores = mark.authors(&[row]).unwrap();
            meets_synthid(&set.name, &scores, stated);
            assert!(near(scores[1].statistic, &stated["weighted_mean"], 1e-11), "{}: {scores:?} for {stated}", set.name);
            rows += 1;
        }
        let (pooled, stated) = (mark.authors(&texts(&set.rows)).unwrap(), &set.about["pooled"]);
        meets_synthid(&set.name, &pooled, stated);
        // chance is the table's share of ones
        let bits = stated["n"].as_u64().unwrap() * set.about["config"]["keys"].as_array().unwrap().len() as u64;
        let at_table = stats::tail::log10_binomial_sf(stated["bits"].as_u64().unwrap(), bits, 32_743.0 / 65_536.0);
        assert!(near(at_table, &stated["log10p_exact_at_table_mean"], 1e-10), "{}: {at_table}", set.name);
        for score in ["mean", "weighted_mean"] {
            let found = judged(&*synthid(&set.about["config"], score), &set.rows);
            assert!(found.evidence.log10_p < -6.0, "{}: {found:?}", set.name);
        }
    }
    println!("{rows} rows");
}

fn meets_synthid(what: &str, scores: &[AuthorsScore], stated: &Value) {
    let mean = &scores[0];
    assert_eq!(json!(mean.units), stated["n"], "{what}");
    assert!(near(mean.statistic, &stated["mean"], 1e-13), "{what}: {mean:?} for {stated}");
    assert!(near(mean.log10_p.unwrap(), &stated["log10p_exact"], 1e-10), "{what}: {mean:?} for {stated}");
}

#[test]
fn unmarked_texts_have_their_scores_too_and_are_not_found() {
    for set in sets("hf-unmarked") {
        for (detector, keys) in set.about["detectors"].as_object().unwrap() {
            let expected = set.about["expected"][detector].as_array().unwrap();
            let mark = match detector.as_str() {
                "kgw-lefthash" | "kgw-selfhash" => kgw(&json!({
                    "greenlist_ratio": 0.25,
                    "bias": 2.0,
                    "seeding_scheme": &detector[4..],
                    "context_width": if detector == "kgw-selfhash" { 4 } else { 1 },
                    "hashing_key": keys["key"],
                })),
                name => synthid(&json!({ "ngram_len": if name == "synthid-n5" { 5 } else { 2 }, "keys": keys["keys"] }), "mean"),
            };
            for (row, stated) in set.rows.iter().zip(expected) {
                let scores = mark.authors(&[row]).unwrap();
                if detector.starts_with("kgw") {
                    meets_kgw(&set.name, &scores, stated);
                } else {
                    meets_synthid(&set.name, &scores, stated);
                }
            }
            let (scores, stated) = (mark.authors(&texts(&set.rows)).unwrap(), &set.about["pooled"][detector]);
            if detector.starts_with("kgw") {
                meets_kgw_pooled(&set, &*mark, stated);
            } else {
                meets_synthid(&set.name, &scores, stated);
            }
            let found = judged(&*mark, &set.rows);
            assert!(found.evidence.log10_p > -3.0, "{} by {detector}: {found:?}", set.name);
            let by_seed = &set.about["pooled_by_seed"][detector];
            if !by_seed.is_null() {
                assert_eq!(json!(found.evidence.n), by_seed["n"]);
                assert!(near(found.evidence.log10_p, &by_seed["log10p_exact"], 1e-10));
            }
        }
    }
}
