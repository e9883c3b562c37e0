use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lm::{ComputePath, Processing, Row as LawRow, Runtime};
use oracle::{Exchange, Law, Oracle, OracleError, Query, Sampling, ScoreItem, Stop};

use super::*;
use crate::defence::DefenceConfig;
use crate::distill_source::{DistillSource, VisitOrder};
use crate::loss::{SequenceKd, Tail, TopkKl};
use crate::served::Served;
use crate::shown::ShownLaws;
use crate::testing::{EOS, Letters, Parity, VOCAB, exchange, model, plan, query, runtime, with_tools};
use crate::train::BatchSource;
use crate::transcript::ExchangesInMemory;

const LABELS: [&str; 3] = ["yes", "no", "maybe"];
const CODEC: Letters = Letters { eos: Some(EOS) };
const DELTA: f32 = 1.5;

fn surface_of(labels: &[&str], posterior: bool) -> Surface {
    Surface::Label { labels: labels.iter().map(ToString::to_string).collect(), posterior }
}

fn served(processors: Vec<Arc<dyn LogitsProcessor>>, posterior: bool) -> Served {
    let served = Served::new(Arc::new(model(4)), processors, surface_of(&LABELS, posterior), runtime(2));
    served.with_labels(&CODEC).unwrap()
}

fn parity() -> Vec<Arc<dyn LogitsProcessor>> {
    vec![Arc::new(Parity { delta: DELTA })]
}

fn queries() -> Vec<Query> {
    (0..40).map(|index| query(index, 3, Sampling { temperature: 0.7, ..Sampling::PLAIN })).collect()
}

/// The first tokens of the labels.
fn firsts() -> Vec<TokenId> {
    LABELS.iter().map(|label| CODEC.encode(label)[0]).collect()
}

/// The law of the label after `before`, worked out here, by first token: raw logits and a bias, softmax over the labels in f64.
fn posterior(before: &[TokenId], bias: f32) -> BTreeMap<TokenId, f64> {
    let found = Mutex::new(Vec::new());
    let row = LawRow { ids: before, laws: before.len()..before.len() + 1 };
    lm::for_each_law(&model(4), &[row], &runtime(1), &|_, _, logits| *found.lock().unwrap() = logits.to_vec()).unwrap();
    let (raw, last) = (found.into_inner().unwrap(), *before.last().unwrap());
    let biased = |id: TokenId| f64::from(raw[id as usize]) + if (id + last).is_multiple_of(2) { f64::from(bias) } else { 0.0 };
    let total: f64 = firsts().into_iter().map(|id| libm::exp(biased(id))).sum();
    firsts().into_iter().map(|id| (id, libm::exp(biased(id)) / total)).collect()
}

/// What `served` shows along `exchanges`: ids and log-probabilities by exchange and position.
fn shown(served: &Served, exchanges: &[Exchange]) -> BTreeMap<(usize, usize), (Vec<TokenId>, Vec<f32>)> {
    let found = Mutex::new(BTreeMap::new());
    served
        .laws(&exchanges.iter().collect::<Vec<_>>(), &|exchange, position, law| {
            let Law::Top { ids, log_probs } = law else { panic!("not the surface asked for") };
            found.lock().unwrap().insert((exchange, position), (ids.to_vec(), log_probs.to_vec()));
        })
        .unwrap();
    found.into_inner().unwrap()
}

#[test]
fn labels_that_a_tokenizer_does_not_tell_apart_are_named() {
    let refused = |labels: &[&str]| Choice::of(&surface_of(labels, false), &CODEC).unwrap_err().to_string();
    assert_eq!(
        refused(&["yes", "no", "yellow"]),
        "`label.labels[2]` is \"yellow\": it begins with the same token as \"yes\", \"y\"; write labels that begin with different ones"
    );
    assert_eq!(refused(&["yes", "7"]), "`label.labels[1]` is \"7\": the tokenizer makes no token of it; write other text");
    assert!(refused(&["yes", "n<o"]).contains("`label.labels[1]` is \"n<o\": it holds a special token"));
    assert!(refused(&["yes"]).contains("two labels or more"));
    assert!(Choice::of(&Surface::Text, &CODEC).unwrap().is_none());
}

#[test]
fn a_choice_leaves_what_continues_a_label_and_nothing_else() {
    let choice = Choice::of(&surface_of(&LABELS, false), &CODEC).unwrap().unwrap();
    assert_eq!((choice.longest(), choice.ends()), (6, true));
    let endless = Choice::of(&surface_of(&LABELS, false), &Letters { eos: None }).unwrap().unwrap();
    assert_eq!((endless.longest(), endless.ends()), (5, false));
    let question = Query::greedy(0, vec![1, 7], 6);
    let left = |answer: &[TokenId]| {
        let tokens = [&question.prompt[..], answer].concat();
        let mut logits: Vec<f32> = (0..VOCAB).map(|id| id as f32).collect();
        choice.process(&Step { query: &question, tokens: &tokens }, Row::alone(&mut logits));
        let kept = logits.iter().enumerate().filter(|(_, logit)| logit.is_finite());
        kept.map(|(id, logit)| (id as TokenId, *logit)).collect::<Vec<_>>()
    };
    let mut first: Vec<(TokenId, f32)> = firsts().into_iter().map(|id| (id, id as f32)).collect();
    first.sort_by_key(|(id, _)| *id);
    assert_eq!(left(&[]), first);
    let yes = CODEC.encode("yes");
    assert_eq!(left(&yes[..1]), [(yes[1], 0.0)]);
    assert_eq!(left(&yes), [(EOS, 0.0)]);
    assert_eq!(left(&[9]), []);
}

#[test]
fn every_answer_is_the_most_probable_label() {
    for (processors, bias) in [(Vec::new(), 0.0), (parity(), DELTA)] {
        let answers = served(processors.clone(), false).answer(&queries()).unwrap();
        assert_eq!(answers, served(processors.clone(), true).answer(&queries()).unwrap(), "whatever is shown beside them");
        let mut seen = std::collections::BTreeSet::new();
        for (answered, asked) in answers.iter().zip(queries()) {
            let law = posterior(&asked.prompt, bias);
            let best = law.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            assert_eq!(answered.answer[0], *best.0);
            assert_eq!((answered.stop, answered.answer.last()), (Stop::EndToken, Some(&EOS)));
            assert!(LABELS.contains(&CODEC.decode(&answered.answer).as_str()), "{answered:?}");
            assert_eq!(answered.query, Query { sampling: Sampling::GREEDY, max_new_tokens: 6, ..asked });
            seen.insert(answered.answer.clone());
        }
        assert!(seen.len() > 1, "the model has an opinion");
        // the same, token by token
        let choice: Arc<dyn LogitsProcessor> = Arc::new(Choice::of(&surface_of(&LABELS, false), &CODEC).unwrap().unwrap());
        let all: Vec<_> = std::iter::once(choice).chain(processors).collect();
        let greedy: Vec<Query> = answers.iter().map(|exchange| exchange.query.clone()).collect();
        let drawn = lm::generate(&model(4), &greedy, Processing::of(&all), &runtime(2), &|_| ()).unwrap();
        assert_eq!(answers, drawn);
    }
}

#[test]
fn an_answer_depends_on_no_other_nor_on_threads_nor_much_on_the_path() {
    let together = served(parity(), true).answer(&queries()).unwrap();
    let generic = Runtime::new(2, ComputePath::Generic, Arc::default()).unwrap();
    for runtime in [runtime(1), runtime(3), Arc::new(generic)] {
        let served = Served::new(Arc::new(model(4)), parity(), surface_of(&LABELS, true), runtime).with_labels(&CODEC).unwrap();
        let alone: Vec<Exchange> = queries().chunks(1).flat_map(|query| served.answer(query).unwrap()).collect();
        assert_eq!(alone, together);
    }
    let (once, served) = (shown(&served(parity(), true), &together), served(parity(), true));
    for (at, exchange) in together.iter().enumerate() {
        for ((_, position), law) in shown(&served, std::slice::from_ref(exchange)) {
            assert_eq!(law, once[&(at, position)], "bit for bit");
        }
    }
}

#[test]
fn a_posterior_is_the_law_over_first_tokens_and_certain_after_them() {
    for (processors, bias) in [(Vec::new(), 0.0), (parity(), DELTA)] {
        let served = served(processors, true);
        let answers = served.answer(&queries()).unwrap();
        let laws = shown(&served, &answers);
        assert_eq!(laws.len(), answers.iter().map(|exchange| exchange.answer.len()).sum::<usize>());
        for ((at, position), (ids, log_probs)) in laws {
            assert_eq!((ids.len(), ids[0]), (LABELS.len(), answers[at].answer[position]), "the label that was sent leads");
            if position > 0 {
                assert_eq!(log_probs, [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
                continue;
            }
            let expected = posterior(&answers[at].query.prompt, bias);
            assert!((log_probs.iter().map(|l| libm::exp(f64::from(*l))).sum::<f64>() - 1.0).abs() < 1e-6);
            for (id, log_prob) in ids.iter().zip(log_probs) {
                assert!((libm::exp(f64::from(log_prob)) - expected[id]).abs() < 1e-6);
            }
        }
    }
}

/// Turns the row round: what was least probable is most probable.
struct Turned;

impl LogitsProcessor for Turned {
    fn name(&self) -> String {
        "turned".into()
    }

    fn stage(&self) -> Stage {
        Stage::AfterTruncation
    }

    fn process(&self, _step: &Step<'_>, row: Row<'_>) {
        row.logits.iter_mut().filter(|logit| logit.is_finite()).for_each(|logit| *logit = -*logit);
    }
}

#[test]
fn what_bends_the_posterior_after_truncation_decides_the_label() {
    let turned = served(vec![Arc::new(Turned)], true);
    let answers = turned.answer(&queries()).unwrap();
    for (at, exchange) in answers.iter().enumerate() {
        let law = posterior(&exchange.query.prompt, 0.0);
        let least = law.iter().min_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(exchange.answer[0], *least.0);
        assert_eq!(shown(&turned, &answers[at..=at])[&(0, 0)].0[0], *least.0);
    }
}

#[test]
fn scores_are_of_labels() {
    let served = served(parity(), true);
    let item = |text: &str, end: &[TokenId]| ScoreItem { prompt: vec![1, 7], continuation: [&CODEC.encode(text), end].concat() };
    let items =
        [item("yes", &[]), item("yes", &[EOS]), item("y", &[]), item("yet", &[]), item("yes", &[EOS, EOS]), item("", &[])];
    let scores = served.score(&items).unwrap();
    let expected = libm::log(posterior(&[1, 7], DELTA)[&firsts()[0]]);
    for score in &scores[..3] {
        assert!((score - expected).abs() < 1e-5, "{scores:?} and {expected}");
    }
    assert_eq!(scores[3..], [f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0]);
}

#[test]
fn what_is_not_shown_and_what_cannot_be_answered_is_said() {
    let plain = served(parity(), false);
    let items = [ScoreItem { prompt: vec![1], continuation: CODEC.encode("no") }];
    let answer = plain.answer(&queries()[..1]).unwrap().remove(0);
    for error in [plain.score(&items).unwrap_err(), plain.laws(&[&answer], &|_, _, _| panic!("nothing is shown")).unwrap_err()] {
        assert!(matches!(&error, OracleError::NotShown { surface, .. } if surface == "label"), "{error}");
        assert!(error.to_string().contains("posterior = true"), "{error}");
    }
    let untold = Served::new(Arc::new(model(4)), Vec::new(), surface_of(&LABELS, true), runtime(1));
    let nothing = |_: usize, _: usize, _: Law<'_>| panic!("nothing is shown");
    let errors = [
        untold.answer(&queries()).unwrap_err(),
        untold.score(&items).unwrap_err(),
        untold.laws(&[&answer], &nothing).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("does not know the tokens of its labels"), "{error}");
    }
    let told = served(Vec::new(), true);
    let error = told.laws(&[&exchange(&[1], &[9])], &nothing).unwrap_err().to_string();
    assert!(error.contains("exchange 0: its answer is none of the labels"), "{error}");
    // 64 tokens of context read 59 of prompt and 5 of "maybe" with its end
    let long = |tokens: usize| told.answer(&[Query::greedy(7, vec![5; tokens], 1)]);
    assert!(long(59).is_ok());
    let error = long(60).unwrap_err().to_string();
    assert!(error.contains("query 7: a prompt of 60 tokens and a label of up to 6"), "{error}");
    assert!(long(0).is_err());
    let small = Served::new(Arc::new(crate::testing::model_of(20, 1)), Vec::new(), surface_of(&LABELS, true), runtime(1));
    assert!(small.with_labels(&CODEC).err().unwrap().remedy.contains("the model has 20 token ids"));
}

#[test]
fn defences_change_the_posterior_and_no_answer() {
    let plain = served(parity(), true);
    let answers = plain.answer(&queries()).unwrap();
    let before = shown(&plain, &answers);
    for config in DefenceConfig::examples() {
        let defended = served(with_tools(|tools| config.build().wrap(parity(), &tools)), true);
        assert_eq!(defended.answer(&queries()).unwrap(), answers);
        let after = shown(&defended, &answers);
        let (mut changed, mut first) = (0, 0);
        for ((place, (ids, law)), old) in after.iter().zip(before.values()) {
            if place.1 > 0 {
                assert_eq!((ids[0], law), (old.0[0], &old.1), "{config:?}: what is certain stays certain");
                continue;
            }
            let sorted = |ids: &[TokenId]| ids.iter().copied().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(sorted(ids), sorted(&old.0), "{config:?}: labels alone");
            changed += usize::from(*law != old.1);
            first += 1;
        }
        assert!(changed > first / 2, "{config:?}: {changed} of {first}");
    }
}

#[test]
fn a_trainer_is_shown_as_many_tokens_as_there_are_labels() {
    let (plain, posterior) = (Arc::new(served(parity(), false)), Arc::new(served(parity(), true)));
    assert!(matches!(ShownLaws::prepare(&SequenceKd::default(), &posterior), Ok(ShownLaws::Tokens)));
    let topk = TopkKl { tail: Tail::Bucket };
    let Ok(ShownLaws::Top(laws)) = ShownLaws::prepare(&topk, &posterior) else { panic!("a posterior is shown") };
    assert_eq!(laws.k(), LABELS.len());
    let error = ShownLaws::prepare(&topk, &plain).err().unwrap().to_string();
    assert_eq!(
        error,
        "`topk_kl` needs log-probabilities; a `label` oracle has none (serve `posterior = true` or `top_logprobs`, or train with \
         `sequence_kd`)"
    );
}

/// Label-only extraction: what is learned is the label that was served, token by token, and nothing of its probability.
#[test]
fn sequence_kd_is_cross_entropy_with_the_label_alone() {
    let (labels, plan) = (Arc::new(served(parity(), false)), plan(1, 12));
    let answers = labels.answer(&queries()).unwrap();
    let laws = ShownLaws::prepare(&SequenceKd::default(), &labels).unwrap();
    assert!(matches!(laws, ShownLaws::Tokens));
    let stream = ExchangesInMemory::new(answers.clone(), 40);
    let (student, loss) = (model(1), Arc::new(SequenceKd::default()));
    let source = DistillSource::new(&student, loss, &stream, laws, &plan, VisitOrder::Stream).unwrap();
    let logits: Vec<f32> = (0..VOCAB).map(|id| (id * 7 % 5) as f32 * 0.5).collect();
    let log_sum = libm::log(logits.iter().map(|&logit| libm::exp(f64::from(logit))).sum::<f64>());
    for shard in 0..plan.logical_shards {
        let batch = source.shard(0, shard).unwrap();
        let (mut learned, mut wanted) = (0.0, 0.0);
        for position in (0..batch.batch.rows * batch.batch.time).filter(|&position| batch.loss.scored(position)) {
            learned += batch.loss.loss_and_gradient(position, &mut logits.clone());
        }
        for row in plan.shard_rows(0, shard) {
            let label = &answers[row as usize].answer;
            assert!(LABELS.iter().any(|text| label[..] == [&CODEC.encode(text)[..], &[EOS]].concat()));
            wanted += label.iter().map(|&token| log_sum - f64::from(logits[token as usize])).sum::<f64>();
        }
        assert!((learned - wanted).abs() < 1e-4, "{learned} instead of {wanted}");
    }
}
