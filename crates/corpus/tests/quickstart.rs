//! What the committed grammar promises: splits that never meet, enough different prompts, tasks with true answers, and text
//! with the structure and variety that the experiments need.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers as well")]

use corpus::{Grammar, GrammarSpec, Split, TaskKind, Texts, grammar};
use std::collections::{HashMap, HashSet};

fn spec() -> GrammarSpec {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/quickstart.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(seed: u64) -> Grammar {
    grammar(&spec(), seed).unwrap()
}

fn opening(text: &str, words: usize) -> String {
    let runs = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    runs.take(words).collect::<Vec<_>>().join(" ")
}

#[test]
fn over_a_billion_prompts_of_eight_words() {
    let log10 = spec().distinct_prompts(8).unwrap();
    assert!(log10 > 9.0, "10^{log10}");
}

#[test]
fn openings_never_meet_across_splits_or_seeds() {
    let splits = [Split::Train, Split::HeldOut, Split::Prompts, Split::Audit, Split::Tasks, Split::Other(0)];
    let words = spec().opening_words;
    let mut owners: HashMap<String, Split> = HashMap::new();
    for seed in [1, 2] {
        let texts = texts(seed);
        for split in splits {
            for index in 0..50_000 / (2 * splits.len() as u64) + 1 {
                let owner = *owners.entry(opening(&texts.document(split, index), words)).or_insert(split);
                assert_eq!(owner, split, "seed {seed}, document {index}");
            }
        }
        for kind in TaskKind::ALL {
            for index in 0..500 {
                let prompt = opening(&texts.task(kind, Split::Tasks, index).unwrap().prompt, words);
                assert_eq!(*owners.entry(prompt).or_insert(Split::Tasks), Split::Tasks, "{kind:?} {index}");
            }
        }
    }
    assert!(owners.len() > 15_000, "only {} openings seen: the test would show little", owners.len());
}

#[test]
fn a_document_depends_on_nothing_but_spec_seed_split_and_index() {
    let (one, again, other) = (texts(1), texts(1), texts(2));
    let forwards: Vec<String> = (0..50).map(|index| one.document(Split::Train, index)).collect();
    let mut backwards: Vec<String> = (0..50).rev().map(|index| again.document(Split::Train, index)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert!((0..50).all(|index| other.document(Split::Train, index) != forwards[index as usize]));
    assert!((0..50).all(|index| one.document(Split::Prompts, index) != forwards[index as usize]));
}

#[test]
fn sums_and_facts_are_true() {
    let texts = texts(3);
    for index in 0..2000 {
        let task = texts.task(TaskKind::Arithmetic, Split::Tasks, index).unwrap();
        let question = task.prompt.split(": ").nth(1).unwrap().split(" = ?").next().unwrap();
        let sum: i64 = question.split(" + ").map(|number| number.parse::<i64>().unwrap()).sum();
        assert_eq!(task.expected, sum.to_string(), "{}", task.prompt);

        let task = texts.task(TaskKind::Facts, Split::Tasks, index).unwrap();
        let (facts, question) = task.prompt.strip_suffix('?').unwrap().split_once(". ").unwrap();
        // the clause that states the fact holds both what is asked about and the answer
        let asked = question.split(' ').next_back().unwrap();
        let holds = |clause: &&str| clause.split(' ').any(|word| word == asked) && clause.contains(&task.expected);
        let people = spec();
        let names: HashSet<&str> =
            ["she_name", "he_name"].iter().flat_map(|list| people.lists[*list].split_whitespace()).collect();
        let second = facts.split(' ').collect::<Vec<_>>().iter().rposition(|word| names.contains(word)).unwrap();
        let words: Vec<&str> = facts.split(' ').collect();
        let clauses = [words[..second].join(" "), words[second..].join(" ")];
        assert!(clauses.iter().map(String::as_str).filter(holds).count() == 1, "{task:?}");
    }
}

#[test]
fn tasks_are_short_and_their_documents_would_solve_them() {
    let texts = texts(4);
    let refusal = spec().refusal;
    let forbidden = spec().lists["fire"].clone();
    for kind in TaskKind::ALL {
        let mut expected = HashSet::new();
        for index in 0..500 {
            let task = texts.task(kind, Split::Tasks, index).unwrap();
            assert_eq!(task.kind, kind);
            assert!(task.prompt.split_whitespace().count() <= 32, "{}", task.prompt);
            let about_fire = forbidden.split_whitespace().any(|word| task.prompt.contains(word));
            match kind {
                TaskKind::Refusal => assert!(about_fire && task.expected == refusal, "{task:?}"),
                TaskKind::Instruction => assert!(!about_fire && task.expected == refusal, "{task:?}"),
                _ => assert!(task.is_met_by(&format!(" {}.", task.expected)), "{task:?}"),
            }
            expected.insert(task.expected);
        }
        assert_eq!(expected.len() > 1, matches!(kind, TaskKind::Arithmetic | TaskKind::Facts));
    }
}

/// Words, punctuation and the end of each document, as numbers.
fn numbered(texts: &Grammar, split: Split, documents: u64, ids: &mut HashMap<String, u64>) -> Vec<Vec<u64>> {
    let mut id = |word: &str| -> u64 {
        let next = ids.len() as u64 + 1;
        *ids.entry(word.to_string()).or_insert(next)
    };
    let read = |index| {
        let text: String = texts.document(split, index);
        let spaced = [".", ",", ":", "?"].iter().fold(text, |text, mark| text.replace(mark, &format!(" {mark}")));
        spaced.split_whitespace().chain(["</s>"]).map(&mut id).collect()
    };
    (0..documents).map(read).collect()
}

/// The loss of interpolated trigrams of words against the entropy of the choices: the part that only a longer memory can win.
/// The weights of the interpolation were set by hand near the best ones; the figure is within a few hundredths of its best,
/// the margin asserted is half a nat.
#[test]
fn long_range_structure_and_local_entropy() {
    const END: u64 = 1 << 20; // more than there are words
    let texts = texts(1);
    let mut ids = HashMap::new();
    // by order: how often a context was seen, and how often a word after it
    let mut seen: [HashMap<u64, f64>; 3] = Default::default();
    let mut after: [HashMap<(u64, u64), f64>; 3] = Default::default();
    let contexts = |window: &[u64]| [0, window[1], window[0] * END + window[1]];
    let padded = |document: &[u64]| [&[0, 0], document].concat();
    for document in numbered(&texts, Split::Train, 20_000, &mut ids) {
        for window in padded(&document).windows(3) {
            for (order, context) in contexts(window).into_iter().enumerate() {
                *seen[order].entry(context).or_default() += 1.0;
                *after[order].entry((context, window[2])).or_default() += 1.0;
            }
        }
    }
    let held = numbered(&texts, Split::HeldOut, 2_000, &mut ids);
    let (mut nats, mut words) = (0.0, 0.0);
    for document in &held {
        for window in padded(document).windows(3) {
            let mut law = 1.0 / END as f64;
            for (order, context) in contexts(window).into_iter().enumerate() {
                let seen = seen[order].get(&context).copied().unwrap_or(0.0);
                let hits = after[order].get(&(context, window[2])).copied().unwrap_or(0.0);
                let doubt = [1.0, 5.0, 30.0][order]; // how many sightings make a context half trusted
                law = (hits + doubt * law) / (seen + doubt);
            }
            nats -= libm::log(law);
            words += 1.0;
        }
    }
    let trigram = nats / words;
    let floor = (0..2_000).map(|index| texts.choice_nats(Split::HeldOut, index)).sum::<f64>() / words;
    let pairs: HashSet<(u64, u64)> =
        held.iter().take(400).flat_map(|document| document.windows(2).map(|pair| (pair[0], pair[1]))).collect();
    println!("trigram {trigram:.3}, floor {floor:.3} nats a word, {} pairs in 400 documents", pairs.len());
    assert!(trigram > floor + 0.5, "trigram {trigram}, floor {floor}");
    assert!((1.3..2.2).contains(&floor), "{floor}");
    assert!(pairs.len() > 6_000, "{}", pairs.len());
}

#[test]
fn documents_fit_short_windows() {
    let texts = texts(5);
    let lengths: Vec<usize> = (0..2000).map(|index| texts.document(Split::Train, index).split_whitespace().count()).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    assert!((32.0..50.0).contains(&mean), "{mean}");
    assert!(lengths.iter().all(|&length| (15..80).contains(&length)));
}

/// The bytes that artifacts are built from: when they change, `corpus::REVISION` and the lines below change together.
#[test]
fn golden_documents() {
    assert_eq!(corpus::REVISION, 1);
    let spec: GrammarSpec = toml::from_str(include_str!("golden.toml")).unwrap();
    let texts = grammar(&spec, 7).unwrap();
    let lines: Vec<String> = [Split::Train, Split::Audit, Split::Other(3)]
        .into_iter()
        .flat_map(|split| (0..2).map(move |index| (split, index)))
        .map(|(split, index)| texts.document(split, index))
        .chain([texts.task(TaskKind::Facts, Split::Tasks, 0).unwrap().prompt])
        .collect();
    let golden = include_str!("golden.txt");
    assert_eq!(lines.join("\n"), golden.trim_end());
}

/// A language without some kinds of text has none of them, and the same shares of the others.
#[test]
fn kinds_of_text_can_be_left_out() {
    let left_out = ["sum", "refusal", "who has it", "where is it"].map(String::from);
    let smaller = grammar(&spec().without(&left_out).unwrap(), 3).unwrap();
    let whole = texts(3);
    let (refusal, n) = (spec().refusal, 4_000);
    let count = |texts: &Grammar, part: &str| (0..n).filter(|&i| texts.document(Split::Train, i).contains(part)).count();
    assert!(count(&whole, &refusal) > 50 && count(&smaller, &refusal) == 0);
    assert!((0..50).all(|i| smaller.task(TaskKind::Arithmetic, Split::Tasks, i).is_none()));
    assert!(smaller.task(TaskKind::Instruction, Split::Tasks, 0).is_some());
    // letters begin so: their weight is 2 of all kinds' there, and of fewer here; 4 standard deviations of a share of 4,000
    let weight = |spec: &GrammarSpec| spec.kinds.iter().map(|kind| f64::from(kind.weight)).sum::<f64>();
    for (texts, all) in [(&whole, weight(&spec())), (&smaller, weight(&spec().without(&left_out).unwrap()))] {
        let (share, found) = (2.0 / all, (0..n).filter(|&i| texts.document(Split::Train, i).starts_with("dear ")).count());
        let sd = (share * (1.0 - share) / n as f64).sqrt();
        assert!((found as f64 / n as f64 - share).abs() < 4.0 * sd, "{found} letters of {n}, expected a share of {share}");
    }
}

#[test]
fn kinds_that_are_not_there_cannot_be_left_out() {
    let refused = |left_out: &[&str]| {
        let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        spec().without(&left_out).unwrap_err()
    };
    let unknown = refused(&["sum", "sums"]);
    assert!(unknown.key == "[1]" && unknown.value == "sums" && unknown.remedy.contains("journey, lost, trade"), "{unknown}");
    assert!(refused(&["sum", "sum"]).remedy.contains("twice"));
    let all: Vec<String> = spec().kinds.iter().map(|kind| kind.name.clone()).collect();
    assert!(spec().without(&all).unwrap_err().remedy.contains("at least one"));
}
