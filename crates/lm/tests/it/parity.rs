//! Agreement with transformers on tiny random checkpoints of every architecture (`tests/fixtures/parity`, made by its
//! `make.py`): logits, loss, every gradient and greedy answers, from either dialect of `config.json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candle_core::Tensor;
use lm::arch::{KvCache, Weights};
use lm::{Batch, Device, Model, ModelConfig, Processing, Row, for_each_law, generate, gradient_engine};
use oracle::Query;
use safetensors::SafeTensors;

use crate::support::{NextToken, PATHS, runtime};

/// Largest difference of a logit.
const LOGIT: f32 = 1e-4;
/// Largest difference of the mean loss.
const LOSS: f64 = 1e-5;
/// Norm of the difference of two gradients of a parameter, relative to the norm of the gradient.
const GRADIENT: f64 = 1e-3;
const TIME: usize = 24;
const PROMPT: usize = 8;

struct Fixture {
    name: String,
    model: Model,
    ids: Vec<u32>,
    logits: Vec<f32>,
    loss: f64,
    greedy: Vec<u32>,
    expected: Vec<u8>,
}

impl Fixture {
    fn load(dir: &Path, dialect: &'static str) -> Self {
        // the same checkpoint beside the configuration in this dialect
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(dir.join(dialect), copy.path().join("config.json")).unwrap();
        std::fs::copy(dir.join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
        let expected = std::fs::read(dir.join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&expected).unwrap();
        let ids = |name: &str| -> Vec<u32> {
            let data = file.tensor(name).unwrap().data();
            data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect()
        };
        let (input_ids, greedy) = (ids("input_ids"), ids("greedy"));
        Self {
            name: format!("{} ({dialect})", dir.file_name().unwrap().to_str().unwrap()),
            model: Model::load(copy.path()).unwrap(),
            ids: input_ids,
            logits: floats(&file, "logits"),
            loss: f64::from(floats(&file, "loss")[0]),
            greedy,
            expected,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.ids.chunks(TIME)
    }

    /// Logits after token `t` of `row`.
    fn law(&self, row: usize, t: usize) -> &[f32] {
        let vocab = self.model.vocab_size();
        &self.logits[(row * TIME + t) * vocab..][..vocab]
    }

    #[track_caller]
    fn same(&self, what: &str, law: &[f32], row: usize, t: usize) {
        for (a, b) in law.iter().zip(self.law(row, t)) {
            assert!((a - b).abs() < LOGIT, "{}, {what}: row {row}, token {t}: logit {a} against {b}", self.name);
        }
    }
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn directories() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    directories.sort();
    directories
}

/// Every fixture in every dialect.
fn fixtures() -> impl Iterator<Item = Fixture> {
    directories().into_iter().flat_map(|dir| ["config.json", "config.v4.json"].map(|dialect| Fixture::load(&dir, dialect)))
}

#[test]
fn every_architecture_has_a_fixture_and_both_dialects_say_the_same() {
    let mut types = BTreeSet::new();
    for dir in directories() {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let config = ModelConfig::parse(&read("config.json"), &dir).unwrap();
        assert_eq!(ModelConfig::parse(&read("config.v4.json"), &dir).unwrap(), config, "{dir:?}");
        let written = config.arch().config_json();
        assert_eq!(ModelConfig::parse(&written.to_string(), &dir).unwrap(), config, "what we write says the same: {written}");
        types.insert(config.model_type());
    }
    let known: BTreeSet<&str> = ModelConfig::KNOWN.iter().copied().collect();
    assert_eq!(types, known);
}

#[test]
fn logits_are_those_of_transformers_for_one_row_and_in_a_ragged_batch() {
    for fixture in fixtures() {
        for path in PATHS {
            let rt = runtime(2, path);
            let whole: Vec<Row<'_>> = fixture.rows().map(|ids| Row { ids, laws: 1..TIME + 1 }).collect();
            for (at, row) in whole.iter().enumerate() {
                let alone = [row.clone()];
                for_each_law(&fixture.model, &alone, &rt, &|_, i, law| fixture.same("alone", law, at, i - 1)).unwrap();
            }
            // beginnings of both rows, of all lengths
            let ragged: Vec<Row<'_>> = [(0, 24), (1, 7), (0, 1), (1, 13), (1, 24), (0, 9), (0, 13)]
                .map(|(row, length)| Row { ids: &whole[row].ids[..length], laws: 1..length + 1 })
                .to_vec();
            let of = [0, 1, 0, 1, 1, 0, 0];
            let count = Mutex::new(0);
            for_each_law(&fixture.model, &ragged, &rt, &|at, i, law| {
                fixture.same("ragged", law, of[at], i - 1);
                *count.lock().unwrap() += 1;
            })
            .unwrap();
            assert_eq!(count.into_inner().unwrap(), 24 + 7 + 1 + 13 + 24 + 9 + 13);
        }
    }
}

#[test]
fn logits_are_those_of_transformers_with_a_cache_whatever_the_pieces() {
    for fixture in fixtures() {
        let arch = fixture.model.config().arch();
        let weights = Weights::constant(fixture.model.layout(), fixture.model.weights(), &Device::cpu()).unwrap();
        for pieces in [&[24][..], &[1; 24], &[5, 1, 1, 9, 1, 7]] {
            let (mut cache, mut seen) = (KvCache::new(), 0);
            for &time in pieces {
                let ids: Vec<u32> = fixture.rows().flat_map(|row| &row[seen..seen + time]).copied().collect();
                let ids = Tensor::from_vec(ids, (2, time), weights.device()).unwrap();
                let hidden = arch.hidden(&weights, &ids, Some(&mut cache)).unwrap().flatten_to(1).unwrap();
                let logits: Vec<Vec<f32>> = arch.logits(&weights, &hidden).unwrap().to_vec2().unwrap();
                for (at, law) in logits.iter().enumerate() {
                    fixture.same("cached", law, at / time, seen + at % time);
                }
                seen += time;
            }
            assert_eq!((seen, cache.seen()), (TIME, TIME));
        }
    }
}

#[test]
fn loss_and_every_gradient_are_those_of_transformers() {
    for fixture in fixtures() {
        let (model, name) = (&fixture.model, &fixture.name);
        let file = SafeTensors::deserialize(&fixture.expected).unwrap();
        let arch = model.config().arch();
        let reference = |ours: &str| {
            let theirs = file.names().into_iter().filter_map(|name| name.strip_prefix("grad."));
            let theirs = theirs.into_iter().find(|theirs| *theirs == ours || arch.renamed(theirs) == Some(ours));
            floats(&file, &format!("grad.{}", theirs.unwrap_or_else(|| panic!("{name}: no gradient of {ours}"))))
        };
        let batch = Batch { ids: fixture.ids.clone(), rows: 2, time: TIME };
        let loss = NextToken { batch: &batch, skip: 1, weight: 1.0 / (2.0 * (TIME - 1) as f64) };
        for path in PATHS {
            let mut grad = vec![f32::NAN; model.n_params()];
            let engine = gradient_engine(model.config(), &runtime(1, path));
            let mean = engine.loss_and_gradient(model.weights(), &batch, &loss, &mut grad).unwrap();
            assert!((mean - fixture.loss).abs() < LOSS, "{name}: loss {mean} against {}", fixture.loss);
            for parameter in model.layout().parameters() {
                let theirs = reference(&parameter.name);
                assert_eq!(theirs.len(), parameter.range.len());
                let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
                let ours = &grad[parameter.range.clone()];
                let size = norm(&mut theirs.iter().map(|x| f64::from(*x)));
                let distance = norm(&mut ours.iter().zip(&theirs).map(|(a, b)| f64::from(a - b)));
                // A bias on keys has no slope but rounding, hence the absolute part.
                assert!(distance <= GRADIENT * size + 1e-7, "{name}: gradient of {} off by {distance} of {size}", parameter.name);
            }
        }
        let known = file.names().iter().filter(|name| name.starts_with("grad.")).count();
        assert_eq!(known, model.layout().parameters().len(), "{name}: every gradient is compared");
    }
}

#[test]
fn greedy_answers_are_those_of_transformers_alone_and_among_others() {
    for fixture in fixtures() {
        let greedy = &fixture.greedy;
        assert_eq!(greedy.len(), TIME);
        // transformers went on after an end token, which the fixtures' answers hold by chance or not
        let eos = fixture.model.config().arch().eos();
        let end = greedy[PROMPT..].iter().position(|id| eos.contains(id)).map_or(TIME, |at| PROMPT + at + 1);
        let query = |index: u64, prompt: &[u32], max_new_tokens| {
            let prompt = prompt.to_vec();
            Query { seed: index, ..Query::greedy(index, prompt, max_new_tokens) }
        };
        let asked = query(0, &greedy[..PROMPT], TIME - PROMPT);
        // beginnings of the same answer are questions too, with the same continuation
        let others = [1_usize, 3, 12, 4].map(|more| query(more as u64, &greedy[..PROMPT + more], TIME - PROMPT - more));
        for path in PATHS {
            let rt = runtime(2, path);
            let answers = generate(&fixture.model, std::slice::from_ref(&asked), Processing::none(), &rt, &|_| {}).unwrap();
            assert_eq!(answers[0].answer, greedy[PROMPT..end], "{}", fixture.name);
            let company: Vec<Query> = others.iter().chain([&asked]).chain(&others).cloned().collect();
            for exchange in generate(&fixture.model, &company, Processing::none(), &rt, &|_| {}).unwrap() {
                let from = exchange.query.prompt.len();
                if from < end {
                    assert_eq!(exchange.answer, greedy[from..end], "{}: from token {from}", fixture.name);
                }
            }
        }
    }
}
