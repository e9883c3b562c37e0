use std::collections::BTreeMap;

use oracle::{Oracle, Sampling, ServedLaw, Surface};

use super::*;
use crate::loss::{FullKl, SequenceKd, Tail, TopkKl};
use crate::testing::{Parity, VOCAB, exchange, exchanges, model, model_of, plan, query, runtime};
use crate::train::fit;
use crate::transcript::ExchangesInMemory;

const POST: ServedLaw = ServedLaw::PostWatermark;

fn answers_only() -> Arc<dyn Loss> {
    Arc::new(SequenceKd { learn_prompts: false })
}

fn served(surface: Surface) -> Arc<Served> {
    Arc::new(Served::new(Arc::new(model(9)), vec![Arc::new(Parity { delta: 3.0 })], surface, runtime(2)))
}

const ORDER: VisitOrder = VisitOrder::Shuffled { seed: 1 };

fn in_shards(exchanges: &[Exchange], shard_len: usize) -> ExchangesInMemory {
    ExchangesInMemory::new(exchanges.to_vec(), shard_len)
}

#[test]
fn answer_positions_alone_are_scored_against_the_answers() {
    let (student, exchanges, plan) = (model(1), exchanges(11), plan(6, 5));
    let stream = in_shards(&exchanges, 4);
    let source = DistillSource::new(&student, answers_only(), &stream, ShownLaws::Tokens, &plan, ORDER).unwrap();
    let mut visits = BTreeMap::new();
    for step in 0..6 {
        let mut scored_in_step = 0;
        for shard in 0..3 {
            let ShardBatch { batch, loss, weight, tokens } = source.shard(step, shard).unwrap();
            let picked = source.pick(plan.shard_rows(step, shard)).unwrap();
            let picked: Vec<usize> = picked.iter().map(|exchange| exchange.query.index as usize).collect();
            assert_eq!(batch.rows, picked.len());
            let mut real = 0;
            for (row, &i) in picked.iter().enumerate() {
                *visits.entry(i).or_insert(0) += 1;
                let Exchange { query, answer, .. } = &exchanges[i];
                let whole = [&query.prompt[..], answer].concat();
                let ids = &batch.ids[row * batch.time..][..batch.time];
                assert_eq!(ids[..whole.len() - 1], whole[..whole.len() - 1]);
                assert!(ids[whole.len() - 1..].iter().all(|&t| t == 0));
                real += whole.len() as u64 - 1;
                for t in 0..batch.time {
                    let answered = (query.prompt.len()..whole.len()).contains(&(t + 1));
                    assert_eq!(loss.scored(row * batch.time + t), answered, "exchange {i}, position {t}");
                }
            }
            assert_eq!((tokens, batch.time), (real, picked.iter().map(|&i| exchanges[i].answer.len() + 1).max().unwrap()));
            assert_eq!(weight, picked.iter().map(|&i| exchanges[i].answer.len() as f64).sum::<f64>());
            scored_in_step += weight as usize;
        }
        assert_eq!(source.answer_positions(step).unwrap(), scored_in_step);
    }
    assert!(visits.values().all(|&v| (2..=3).contains(&v)) && visits.len() == 11, "{visits:?}");
}

#[test]
fn prompts_are_learned_on_request() {
    let (student, exchanges, plan) = (model(1), exchanges(11), plan(1, 11));
    let loss: Arc<dyn Loss> = Arc::new(SequenceKd { learn_prompts: true });
    let stream = in_shards(&exchanges, 11);
    let source = DistillSource::new(&student, loss, &stream, ShownLaws::Tokens, &plan, ORDER).unwrap();
    let weight: f64 = (0..3).map(|s| source.shard(0, s).unwrap().weight).sum();
    let all_but_first: usize = exchanges.iter().map(|e| e.query.prompt.len() + e.answer.len() - 1).sum();
    assert_eq!(weight, all_but_first as f64);
}

/// Batches are a pure function of (step, shard): asked twice, backwards, they and their gradients are the same.
#[test]
fn batches_are_a_pure_function_of_step_and_shard() {
    let (student, plan) = (model(1), plan(4, 6));
    for (surface, loss) in [
        (Surface::TopLogprobs { k: 5, law: POST }, Arc::new(TopkKl { tail: Tail::Bucket }) as Arc<dyn Loss>),
        (Surface::Logits { law: POST }, Arc::new(FullKl { temperature: 2.0 })),
    ] {
        let served = served(surface);
        let queries: Vec<_> = (0..9).map(|i| query(i, 6, Sampling::PLAIN)).collect();
        let exchanges = served.answer(&queries).unwrap();
        let laws = ShownLaws::prepare(&*loss, &served).unwrap();
        let stream = in_shards(&exchanges, 4);
        let source = DistillSource::new(&student, loss, &stream, laws, &plan, ORDER).unwrap();
        let gradient = |step, shard| {
            let ShardBatch { batch, loss, .. } = source.shard(step, shard).unwrap();
            let mut rows = Vec::new();
            for position in (0..batch.rows * batch.time).filter(|&p| loss.scored(p)) {
                let mut logits = vec![0.5; VOCAB];
                logits[position % VOCAB] = 1.0;
                rows.push((loss.loss_and_gradient(position, &mut logits).to_bits(), logits));
            }
            (batch, rows)
        };
        let places: Vec<(u64, usize)> = (0..4).flat_map(|step| (0..3).map(move |shard| (step, shard))).collect();
        let forward: Vec<_> = places.iter().map(|&(a, b)| gradient(a, b)).collect();
        let mut backward: Vec<_> = places.iter().rev().map(|&(a, b)| gradient(a, b)).collect();
        backward.reverse();
        assert!(forward == backward);
        assert!(forward.iter().all(|(_, rows)| !rows.is_empty()));
    }
}

/// Shards decide the order, where exchanges lie does not: in stream order any cut gives the same batches.
#[test]
fn a_stream_is_read_the_same_however_it_is_cut() {
    let (student, exchanges, plan) = (model(1), exchanges(23), plan(4, 5));
    let batches = |shard_len: usize| {
        let stream = in_shards(&exchanges, shard_len);
        let source = DistillSource::new(&student, answers_only(), &stream, ShownLaws::Tokens, &plan, VisitOrder::Stream).unwrap();
        (0..4).flat_map(|step| (0..3).map(move |shard| (step, shard))).map(|(a, b)| source.shard(a, b).unwrap().batch).collect()
    };
    let whole: Vec<lm::Batch> = batches(23);
    assert!(whole == batches(1) && whole == batches(4) && whole == batches(100));
    let stream = in_shards(&exchanges[..19], 4);
    let error = DistillSource::new(&student, answers_only(), &stream, ShownLaws::Tokens, &plan, VisitOrder::Stream);
    assert!(error.err().unwrap().to_string().contains("19 exchanges has no 20 rows"));
}

#[test]
fn laws_that_were_kept_are_those_that_would_be_asked_again() {
    let served = served(Surface::TopLogprobs { k: 4, law: POST });
    let exchanges = served.answer(&(0..60).map(|i| query(i, 5, Sampling::PLAIN)).collect::<Vec<_>>()).unwrap();
    let top = || match ShownLaws::prepare(&TopkKl { tail: Tail::Bucket }, &served).unwrap() {
        ShownLaws::Top(laws) => laws,
        _ => panic!("top log-probabilities are kept"),
    };
    let laws = top();
    let all: Vec<&Exchange> = exchanges.iter().collect();
    let whole = laws.of(&all).unwrap();
    assert_eq!(laws.n_kept(), 60);
    for (i, exchange) in all.iter().enumerate() {
        assert_eq!(whole[i].log_probs.len(), 4 * exchange.answer.len());
        assert_eq!(*top().of(&[exchange]).unwrap()[0], *whole[i], "alone");
        assert_eq!(*laws.of(&[exchange]).unwrap()[0], *whole[i], "kept");
    }
    let mut shorter = exchanges[0].clone();
    shorter.answer.push(3);
    assert!(laws.of(&[&shorter]).unwrap_err().to_string().contains("another transcript"));
}

#[test]
fn a_loss_beyond_the_surface_is_refused_before_anything_is_computed() {
    let error = ShownLaws::prepare(&TopkKl { tail: Tail::Bucket }, &served(Surface::Text)).err().unwrap();
    assert!(error.to_string().contains("`text` oracle has none"), "{error}");
    let tokens = ShownLaws::prepare(&SequenceKd::default(), &served(Surface::Text)).unwrap();
    assert!(matches!(tokens, ShownLaws::Tokens));
}

#[test]
fn transcripts_a_student_cannot_read_are_refused() {
    let (student, plan) = (model(1), plan(2, 3));
    let error = |exchanges: &[Exchange], laws: ShownLaws| {
        let stream = in_shards(exchanges, 4);
        let source = DistillSource::new(&student, answers_only(), &stream, laws, &plan, ORDER);
        source.and_then(|source| (0..3).try_for_each(|shard| source.shard(0, shard).map(drop))).unwrap_err().to_string()
    };
    assert!(error(&[], ShownLaws::Tokens).contains("not 0"));
    assert!(error(&[exchange(&[1], &[50])], ShownLaws::Tokens).contains("vocabulary of 50"));
    assert!(error(&[exchange(&[1], &[3; 65])], ShownLaws::Tokens).contains("context of 64"));
    assert!(error(&[exchange(&[], &[3])], ShownLaws::Tokens).contains("prompt is empty"));
    let other = Arc::new(Served::new(Arc::new(model_of(51, 1)), vec![], Surface::Logits { law: POST }, runtime(1)));
    assert!(error(&[exchange(&[1], &[3])], ShownLaws::Live(other)).contains("share a tokenizer"));
}

/// The end of the story in small: a student of the marked law comes nearer to it than to the unmarked one.
#[test]
fn students_learn_the_law_they_are_shown() {
    let queries: Vec<_> = (0..150).map(|i| query(i, 8, Sampling::PLAIN)).collect();
    let plan = TrainPlan { peak_lr: 0.03, weight_decay: 0.0, ..plan(250, 16) };
    let top = |law| Surface::TopLogprobs { k: 20, law };
    let kl_losses = |surface: Surface, loss: Arc<dyn Loss>| {
        let served = served(surface);
        let stream = in_shards(&served.answer(&queries).unwrap(), 64);
        let laws = ShownLaws::prepare(&*loss, &served).unwrap();
        let student = model(1);
        let order = VisitOrder::Shuffled { seed: 3 };
        let source = DistillSource::new(&student, loss, &stream, laws, &plan, order).unwrap();
        let trained = fit(&student, &plan, &source, &runtime(2), &mut |_| ()).unwrap();
        green_mass(&trained.model)
    };
    let bucket = || Arc::new(TopkKl { tail: Tail::Bucket }) as Arc<dyn Loss>;
    // a bias of 3 on half of the tokens holds e^3 / (1 + e^3) = 0.95 of an even law; unmarked, about half is green
    let marked =
        [kl_losses(top(POST), bucket()), kl_losses(Surface::Logits { law: POST }, Arc::new(FullKl { temperature: 1.0 }))];
    let sampled = kl_losses(Surface::Text, answers_only());
    let unmarked = kl_losses(top(ServedLaw::PreWatermark), bucket());
    let base = green_mass(&model(1));
    assert!((base - 0.5).abs() < 0.1, "{base}");
    assert!((unmarked - 0.5).abs() < 0.15, "{unmarked}");
    assert!(marked.iter().all(|m| *m > 0.8), "{marked:?}");
    assert!(sampled > 0.75, "{sampled}");
}

/// Mean mass that a model's own law puts on even sums of neighbouring tokens, after tokens the queries lead to.
fn green_mass(model: &Model) -> f64 {
    let rows: Vec<Vec<TokenId>> = (3..VOCAB as TokenId).map(|t| vec![1, t]).collect();
    let rows: Vec<lm::Row<'_>> = rows.iter().map(|ids| lm::Row { ids, laws: 2..3 }).collect();
    let total = Mutex::new(0.0);
    lm::for_each_law(model, &rows, &runtime(1), &|row, _, logits| {
        kernels::vecmath::softmax_in_place(logits);
        let previous = rows[row].ids[1] as usize;
        let mass: f64 =
            logits.iter().enumerate().filter(|(i, _)| (i + previous).is_multiple_of(2)).map(|(_, &p)| f64::from(p)).sum();
        *total.lock().unwrap() += mass;
    })
    .unwrap();
    total.into_inner().unwrap() / rows.len() as f64
}
