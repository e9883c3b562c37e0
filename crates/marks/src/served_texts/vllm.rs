//! The texts that vLLM's marks and SBW made.

use std::sync::Arc;

use oracle::{Codec, TokenId};
use serde_json::{Value, json};
use stats::tail::log10_binomial_sf;

use super::{answers, build, counted, detected, header};
use crate::server::Server;
use crate::{AuthorsScore, Key, Mark, MarkEntry, Owner};

const VLLM: u64 = 8_446_744_073_709_551_557;
const SBW: u64 = 1_099_511_627_791;

/// A set of texts: its name, the mark that made it, under its key or, without, under the owner's.
fn sets() -> Vec<(&'static str, &'static str, Value)> {
    let vllm = |kind: &str, more: Value| {
        let mut table = json!({"key": VLLM, "context_width": 4, "deduplicate_contexts": "single_turn", "test": "count"});
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ kind: table })
    };
    let sbw = |form: &str, gamma: f64| json!({"sbw": {"form": form, "seeding": "self_hash", "key": SBW, "gamma": gamma, "delta": 2.0, "width": 4, "test": "count"}});
    let synthid = json!({"variant": "stream", "depth": 32});
    let mut narrow = synthid.clone();
    narrow["context_width"] = json!(1);
    vec![
        ("vllm-gumbel", "gumbel", vllm("vllm_gumbel", json!({}))),
        ("vllm-gumbel-h2-all-t08-p95", "", vllm("vllm_gumbel", json!({"context_width": 2, "deduplicate_contexts": "all"}))),
        ("vllm-dual-key", "dual-key", vllm("vllm_dual_key", json!({"alpha": 0.1}))),
        ("vllm-red-green", "red-green", vllm("vllm_red_green_proposal", json!({"gamma": 0.25, "delta": 2.0}))),
        ("vllm-synthid", "synthid", vllm("vllm_synthid_proposal", synthid)),
        ("vllm-synthid-h1", "", vllm("vllm_synthid_proposal", narrow)),
        ("vllm-sbw-selfhash", "sbw-selfhash", sbw("native_proposal", 0.5)),
        ("vllm-sbw-plugin", "sbw-plugin", sbw("plugin", 0.25)),
    ]
}

/// The same mark under a key that derives from the owner's.
fn without_key(entry: &Value) -> Value {
    let mut entry = entry.clone();
    entry.as_object_mut().unwrap().values_mut().for_each(|table| drop(table.as_object_mut().unwrap().remove("key")));
    entry
}

fn close(name: &str, is: f64, said: &Value, tolerance: f64) {
    let Some(said) = said.as_f64() else { return };
    assert!((is - said).abs() <= tolerance * said.abs().max(1e-300), "{name}: {is} for {said}");
}

/// What the authors' detector says is what the file says it says, to the digits stated there.
fn agrees(name: &str, authors: &AuthorsScore, said: &Value) {
    assert_eq!(Some(authors.units), said["n"].as_u64(), "{name}");
    for statistic in ["score", "hits", "bits"] {
        close(name, authors.statistic, &said[statistic], 1e-14);
    }
    assert!(!said[authors.statistic_name].is_null(), "{name}: {}", authors.statistic_name);
    // theirs, by a series of their own, is good to 6.2e-14; z has 12 digits
    let log10_p = authors.log10_p.unwrap();
    close(name, libm::pow(10f64, log10_p), &said["p"], 4e-13);
    close(name, log10_p, &said["log10p_moment_matched"], 1e-11);
    if let Some(z) = authors.z {
        close(name, z, &said["z"], 1e-11);
    }
}

fn score(mark: &dyn Mark, texts: &[&[TokenId]]) -> AuthorsScore {
    let [one] = &mark.authors(texts).unwrap()[..] else { panic!("one detector") };
    one.clone()
}

fn views(texts: &[Vec<TokenId>]) -> Vec<&[TokenId]> {
    texts.iter().map(Vec::as_slice).collect()
}

/// Our count of `texts`, by the mark of `entry`, is the exact one of the file, in `pooled_by_seed` where windows are no units.
fn exact(name: &str, entry: &Value, mark: &dyn Mark, texts: &[&[TokenId]], [pooled, by_seed]: [&Value; 2]) -> f64 {
    let said = if by_seed.is_null() { pooled } else { by_seed };
    let evidence = counted(mark, texts, 0).evidence;
    assert_eq!(Some(evidence.n), said["n"].as_u64(), "{name}");
    for statistic in ["score", "hits", "bits"] {
        close(name, evidence.statistic, &said[statistic], 1e-14);
    }
    let Some(gamma) = entry["sbw"]["gamma"].as_f64() else {
        close(name, evidence.log10_p, &said["log10p_exact"], 1e-11);
        return evidence.log10_p;
    };
    // the file's null has gamma, where the share of draws that are green is the multiple of 2^-31 below gamma (1 - 2^-31)
    let tail = |rate: f64| log10_binomial_sf(evidence.statistic as u64, evidence.n, rate);
    close(name, tail(gamma), &said["log10p_exact"], 1e-11);
    let green = (gamma * (libm::exp2(31.0) - 1.0)).floor();
    close(name, evidence.log10_p, &json!(tail(green / libm::exp2(31.0))), 1e-14);
    evidence.log10_p
}

#[test]
fn marked_texts_are_found_with_the_authors_own_score() {
    let owner = Key::decoy(1, 1);
    for (name, _, entry) in sets() {
        let (Some(header), Some(texts)) = (header(name), answers(name)) else { return };
        let mark = build(entry.clone(), &owner);
        let (texts, pooled) = (views(&texts), [&header["pooled"], &header["pooled_by_seed"]]);
        for (row, (text, said)) in texts.iter().zip(header["expected"].as_array().unwrap()).enumerate() {
            let row_name = format!("{name}, row {row}");
            agrees(&row_name, &score(&*mark, &[text]), said);
            if pooled[1].is_null() {
                exact(&row_name, &entry, &*mark, &[text], [said, &Value::Null]);
            }
        }
        agrees(name, &score(&*mark, &texts), pooled[0]);
        let log10_p = exact(name, &entry, &*mark, &texts, pooled);
        assert!(log10_p < -14.0, "{name}: {log10_p}");
        // decoys keep the level, as another owner does: 99 keys, of which 1 % have p below 0.01; 8 have with probability below 1e-4
        let other = counted(&*build(without_key(&entry), &owner), &texts, 99);
        assert!(other.evidence.log10_p > -4.0, "{name} under another key: {other:?}");
        let low = other.decoy_log10_p.iter().filter(|p| **p <= -2.0).count();
        assert!(other.decoy_log10_p.len() == 99 && low < 8, "{name}: {low} of 99 decoys");
    }
}

#[test]
fn unmarked_texts_are_not_found() {
    let (Some(header), Some(texts)) = (header("vllm-unmarked"), answers("vllm-unmarked")) else { return };
    let texts = views(&texts);
    let mut seen = 0;
    for (_, name, entry) in sets().into_iter().filter(|set| !set.1.is_empty()) {
        let mark = build(entry.clone(), &Key::decoy(1, 1));
        for (text, said) in texts.iter().zip(header["expected"][name].as_array().unwrap()) {
            agrees(name, &score(&*mark, &[text]), said);
        }
        agrees(name, &score(&*mark, &texts), &header["pooled"][name]);
        let log10_p = exact(name, &entry, &*mark, &texts, [&header["pooled"][name], &header["pooled_by_seed"][name]]);
        assert!(log10_p > -2.5, "{name}: {log10_p}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// The first unmarked answer, and what every detector says of it: numbers of `vllm-unmarked.json`.
#[test]
fn one_text_has_the_scores_of_all_detectors() {
    let text = [
        277, 264, 261, 348, 411, 306, 327, 268, 425, 428, 353, 311, 272, 412, 331, 426, 338, 267, 425, 429, 260, 418, 265, 268,
        425, 428, 272, 420, 287, 262, 411, 411, 263, 415, 414, 286, 399, 393, 426, 338, 352, 303, 269, 273, 264, 285, 266, 432,
        398, 311, 357, 282, 323, 311, 267, 422, 322, 311, 300, 264, 426, 338, 286, 399,
    ];
    let said = json!({
        "gumbel": {"n": 64, "score": 70.15197806758559, "p": 0.21563756484757657, "log10p_exact": -0.666275581218},
        "dual-key": {"n": 64, "score": 69.85459686409044, "p": 0.20547536483535372, "log10p_exact": -0.688053329795},
        "red-green": {"n": 64, "hits": 14, "p": 0.7610104539852902, "log10p_exact": -0.118609377294},
        "synthid": {"n": 64, "bits": 1039, "p": 0.2608262727717993, "log10p_exact": -0.583648664684},
        "sbw-selfhash": {"n": 64, "hits": 34, "z": 0.5, "p": 0.3085375387259869},
        "sbw-plugin": {"n": 61, "hits": 16, "z": 0.221766381286, "p": 0.41224787582738553},
    });
    for (_, name, entry) in sets().into_iter().filter(|set| !set.1.is_empty()) {
        let mark = build(entry.clone(), &Key::decoy(1, 1));
        agrees(name, &score(&*mark, &[&text]), &said[name]);
        if !said[name]["log10p_exact"].is_null() {
            exact(name, &entry, &*mark, &[&text], [&said[name], &Value::Null]);
        }
    }
}

/// The configuration with which a file says that it was made is one that we read, and its mark is that of the tests above.
#[test]
fn the_servers_own_configuration_finds_its_texts() {
    let owner = Key::decoy(1, 1);
    let left =
        json!({"sbw": {"form": "native_proposal", "seeding": "left_hash", "key": SBW, "gamma": 0.5, "delta": 2.0, "width": 1}});
    for (name, _, entry) in sets().into_iter().chain([("vllm-sbw-lefthash", "", left)]) {
        let (Some(header), Some(texts)) = (header(name), answers(name)) else { return };
        let served = MarkEntry::served_by(Server::Vllm, &header["config"]).unwrap();
        let codec: Arc<dyn Codec> = Arc::new(super::Plain);
        let served = served.build(&Owner::new(&owner, &codec)).unwrap();
        let (texts, own) = (views(&texts), build(entry, &owner));
        let [served, own] = [&served, &own].map(|mark| detected(&**mark, &texts).evidence);
        assert_eq!((served.n, served.statistic, served.log10_p), (own.n, own.statistic, own.log10_p), "{name}");
        assert!(own.log10_p < -9.0, "{name}: {own:?}");
    }
}

/// A key that a file gives is in no name, and in no message.
#[test]
fn names_commit_to_served_keys_and_do_not_show_them() {
    let owner = Key::decoy(1, 1);
    for (_, _, entry) in sets() {
        let name = |entry: &Value, owner: &Key| {
            let mark: Arc<dyn Mark> = build(entry.clone(), owner);
            let [crate::Planting::Law(law)] = &mark.planting()[..] else { panic!("one law") };
            law.name()
        };
        let (with, without) = (name(&entry, &owner), name(&without_key(&entry), &owner));
        assert!(with != without && !with.contains(&VLLM.to_string()) && !with.contains(&SBW.to_string()), "{with}");
        assert_ne!(with, name(&entry, &Key::decoy(1, 2)), "without the owner's bytes nobody can try keys out");
        let inside = json!({"per_account": {"accounts": 2, "of": entry}});
        let refused = serde_json::from_value::<MarkEntry>(inside).unwrap().validate().unwrap_err();
        assert!(refused.key == "per_account.of" && refused.remedy.contains("server's key"), "{refused}");
    }
}
