use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lm::Tokenizer;
use oracle::{Codec, Exchange, OpenModel, Oracle, Query, Sampling, ScoreItem, ServedLaw, Stop, Surface, TokenId};

use super::*;
use crate::served::Served;
use crate::testing::{model_of, runtime};
use crate::transcript::{ExchangeStream, ExchangesInMemory};

fn texts() -> impl Iterator<Item = String> + Send {
    (0..200).map(|i| format!("The {} cat saw {i} birds in the café. Unbelievable weather!", ["red", "old", "big"][i % 3]))
}

/// A coarse and a fine tokenizer of the same texts.
fn tokenizers() -> (Arc<Tokenizer>, Arc<Tokenizer>) {
    let train = |size| Arc::new(Tokenizer::train_bpe(texts(), size).unwrap());
    (train(400), train(290))
}

fn exchange(prompt: Vec<TokenId>, answer: Vec<TokenId>, stop: Stop) -> Exchange {
    let query = Query { index: 7, account: 3, prompt, max_new_tokens: 9, sampling: Sampling::PLAIN, seed: 5 };
    Exchange { query, answer, stop }
}

/// `text` in the tokens of `tokenizer`, cut after `cut` of them.
fn cut(tokenizer: &Tokenizer, text: &str, cut: usize, stop: Stop) -> Exchange {
    let ids = tokenizer.encode_document(text);
    let mut answer = ids[cut..].to_vec();
    if stop == Stop::EndToken {
        answer.extend(tokenizer.eos());
    }
    exchange(ids[..cut].to_vec(), answer, stop)
}

#[test]
fn prompt_and_answer_meet_at_the_same_byte_or_behind_the_token_that_straddles_it() {
    let (coarse, fine) = tokenizers();
    let text = "The old cat saw 17 birds in the café. Unbelievable weather!";
    for (from, to) in [(&coarse, &fine), (&fine, &coarse)] {
        let retokeniser = Retokeniser::new(from.clone(), to.clone());
        let whole = to.encode_document(text);
        let mut straddled = 0;
        for at in 1..from.encode_document(text).len() {
            let said = cut(from, text, at, Stop::EndToken);
            let put = retokeniser.exchange(&said);
            assert_eq!(put.answer.last(), to.eos().as_ref());
            let together = [&put.query.prompt[..], &put.answer[..put.answer.len() - 1]].concat();
            assert_eq!(together, whole, "the tokens of the whole text");
            let (before, reached) = (from.decode(&said.query.prompt), to.decode(&put.query.prompt));
            assert!(reached.len() >= before.len() || before.ends_with('\u{fffd}'), "nothing of the prompt is learned");
            straddled += usize::from(reached.len() > before.len());
            let shorter = to.decode(&put.query.prompt[..put.query.prompt.len() - 1]);
            assert!(shorter.len() < before.len() || put.query.prompt.len() == 1, "and no more than one token is given up");
            let same = Query { prompt: said.query.prompt.clone(), ..put.query.clone() };
            assert_eq!((same, put.stop), (said.query, said.stop));
        }
        assert_eq!(straddled > 0, to.max_id() > from.max_id(), "only larger tokens straddle");
    }
}

#[test]
fn a_character_cut_off_is_left_out_and_one_cut_through_counts_as_prompt() {
    let (_, fine) = tokenizers();
    let bytes = Arc::new(Tokenizer::train_bpe(std::iter::once(String::new()), 258).unwrap());
    let retokeniser = Retokeniser::new(bytes.clone(), fine.clone());
    let text = "aé你b你";
    let ids = bytes.encode_document(text);
    assert_eq!(ids.len(), 1 + 1 + 2 + 3 + 1 + 3);
    let put = |prompt: usize, end: usize| {
        let put = retokeniser.exchange(&exchange(ids[..prompt].to_vec(), ids[prompt..end].to_vec(), Stop::Length));
        (fine.decode(&put.query.prompt), fine.decode(&put.answer))
    };
    let pair = |prompt: &str, answer: &str| (prompt.to_string(), answer.to_string());
    assert_eq!(put(2, 11), pair("a", "é你b你"));
    assert_eq!(put(2, 10), pair("a", "é你b"), "no half of a character is learned");
    assert_eq!(put(3, 11), pair("aé", "你b你"), "half of é was asked");
    assert_eq!(put(6, 11), pair("aé你", "b你"));
    assert_eq!(put(1, 2), pair("", "a"), "a beginning token alone");
}

#[test]
fn a_stream_reads_the_same_exchanges_shard_by_shard_and_cuts_what_no_student_can_read() {
    let (coarse, fine) = tokenizers();
    let retokeniser = Retokeniser::new(coarse.clone(), fine.clone());
    let exchanges: Vec<Exchange> = texts().take(23).map(|text| cut(&coarse, &text, 4, Stop::EndToken)).collect();
    let long = RetokenisedStream::new(ExchangesInMemory::new(exchanges.clone(), 5), retokeniser.clone(), 500);
    assert_eq!((long.len(), long.shard_len()), (23, 5));
    // in any order, kept or put again
    for index in [0, 1, 2, 4, 0, 3, 3] {
        let shard = long.shard(index).unwrap();
        let expected = exchanges.chunks(5).nth(index as usize).unwrap().iter().map(|e| retokeniser.exchange(e));
        assert_eq!(*shard, expected.collect::<Vec<_>>());
    }
    assert!(long.shard(5).is_err());
    let short = RetokenisedStream::new(ExchangesInMemory::new(exchanges.clone(), 5), retokeniser.clone(), 12);
    for (cut, whole) in short.shard(0).unwrap().iter().zip(long.shard(0).unwrap().iter()) {
        assert_eq!(cut.query, whole.query);
        assert_eq!(cut.query.prompt.len() + cut.answer.len(), 13);
        assert_eq!((cut.stop, &cut.answer[..]), (Stop::Length, &whole.answer[..cut.answer.len()]));
    }
}

#[test]
fn a_model_of_another_tokenizer_answers_in_the_tokens_of_the_question() {
    let (coarse, fine) = tokenizers();
    let served = || {
        let surface = Surface::Logits { law: ServedLaw::PostWatermark };
        Served::new(Arc::new(model_of(fine.vocab_size(), 3)), Vec::new(), surface, runtime(2))
    };
    let asked = RetokenisedOracle::new(served(), Retokeniser::new(coarse.clone(), fine.clone()), 64);
    assert_eq!(asked.vocab_size(), 400);
    let queries: Vec<Query> = (0..12)
        .map(|index| Query { index, seed: index, ..cut(&coarse, "The old cat saw birds", 4, Stop::Length).query })
        .collect();
    let answers = asked.answer(&queries).unwrap();
    assert_eq!(answers, asked.answer(&queries).unwrap(), "it has no memory");
    for (query, heard) in queries.iter().zip(&answers) {
        assert_eq!((heard.query.index, heard.query.max_new_tokens), (query.index, 9));
        assert!(heard.answer.len() <= 9 && heard.answer.iter().all(|id| (*id as usize) < 400));
        let own = Query { prompt: fine.encode_document("The old cat"), max_new_tokens: 26, ..query.clone() };
        let said = served().answer(std::slice::from_ref(&own)).unwrap().remove(0);
        let text = fine.decode(&[own.prompt, said.answer].concat());
        let as_heard = coarse.decode(&[&heard.query.prompt[..], &heard.answer].concat());
        // cut where a token ends, which may be within a character
        assert!(text.starts_with(as_heard.trim_end_matches('\u{fffd}')), "{text:?} was heard as {as_heard:?}");
    }
    let alignment = Alignment::of(&answers, &coarse, &fine);
    assert_eq!(alignment.share(), Some(1.0), "merges of the coarse one build on those of the fine one");
    let text = "The old cat saw 17 birds in the café.";
    let heard = [cut(&fine, text, 1, Stop::EndToken)];
    let (tokens, chosen) = (fine.encode(text).len() as u64, coarse.encode(text).len() as u64);
    assert!(chosen < tokens);
    assert_eq!(Alignment::of(&heard, &fine, &coarse), Alignment { tokens, aligned: chosen });
    let nobody = Alignment::of(&[], &fine, &coarse);
    assert_eq!(nobody.share(), None);
    let same = Alignment::of(&answers, &coarse, &coarse);
    assert_eq!(same.share(), Some(1.0));
}

#[test]
fn a_continuation_has_the_probability_of_its_text() {
    let (coarse, fine) = tokenizers();
    let served = Served::new(
        Arc::new(model_of(fine.vocab_size(), 3)),
        Vec::new(),
        Surface::Logits { law: ServedLaw::PostWatermark },
        runtime(2),
    );
    let again = Served::new(Arc::new(model_of(fine.vocab_size(), 3)), Vec::new(), served.surface().clone(), runtime(2));
    let asked = RetokenisedOracle::new(again, Retokeniser::new(coarse.clone(), fine.clone()), 64);
    let whole = |text: &str| -> f64 {
        let ids = fine.encode_document(text);
        let item = ScoreItem { prompt: ids[..1].to_vec(), continuation: ids[1..].to_vec() };
        served.score(&[item]).unwrap()[0]
    };
    let text = "The old cat saw 17 birds";
    let ids = coarse.encode_document(text);
    for at in 1..ids.len() {
        let item = ScoreItem { prompt: ids[..at].to_vec(), continuation: ids[at..].to_vec() };
        let score = asked.score(&[item]).unwrap()[0];
        let expected = whole(text) - whole(&coarse.decode(&ids[..at]));
        assert!((score - expected).abs() < 1e-3, "{score} is not {expected}");
    }
    let nothing = ScoreItem { prompt: ids.clone(), continuation: Vec::new() };
    assert_eq!(asked.score(&[nothing]).unwrap(), [0.0]);
    let refused = asked.laws(&[&cut(&coarse, text, 4, Stop::Length)], &|_, _, _| panic!("laws of other tokens")).unwrap_err();
    assert!(refused.to_string().contains("another tokenizer"), "{refused}");
    assert!(asked.open().is_none());
    let again = Served::new(Arc::new(model_of(fine.vocab_size(), 3)), Vec::new(), served.surface().clone(), runtime(2)).opened();
    let open = RetokenisedOracle::new(again, Retokeniser::new(coarse.clone(), fine.clone()), 64);
    assert_eq!(open.open().map(OpenModel::layers), Some(2));
}

/// Laws along `given` by position, of the tokens that both tokenizers have.
fn shared_laws(asked: &dyn Oracle, given: &Exchange) -> BTreeMap<usize, Vec<(TokenId, f32)>> {
    let laws: Mutex<BTreeMap<usize, Vec<(TokenId, f32)>>> = Mutex::default();
    asked
        .laws_of_shared_tokens(&[given], &|exchange, position, law| {
            let oracle::Law::Top { ids, log_probs } = law else { panic!("shared tokens are some of all") };
            assert_eq!(exchange, 0);
            let law: Vec<_> = ids.iter().copied().zip(log_probs.iter().copied()).collect();
            assert!(laws.lock().unwrap().insert(position, law).is_none(), "each place once");
        })
        .unwrap();
    laws.into_inner().unwrap()
}

/// Methods f5: what is asked at a place depends on the text before it alone, and is the model's own law there over what both can say.
#[test]
fn laws_are_those_over_shared_tokens_after_the_text_before_each_place() {
    let (coarse, fine) = tokenizers();
    let surface = Surface::Logits { law: ServedLaw::PostWatermark };
    let served = || Served::new(Arc::new(model_of(fine.vocab_size(), 3)), Vec::new(), surface.clone(), runtime(2));
    let oracle = |context| RetokenisedOracle::new(served(), Retokeniser::new(coarse.clone(), fine.clone()), context);
    let asked = oracle(64);
    let given = cut(&coarse, "The old cat saw 17 birds in the café", 4, Stop::Length);
    let laws = shared_laws(&asked, &given);
    assert!(laws.keys().copied().eq(0..given.answer.len()), "every place is between characters here: {:?}", laws.keys());
    for (position, law) in &laws {
        let before = coarse.decode(&[&given.query.prompt[..], &given.answer[..*position]].concat());
        let own = exchange(fine.encode_document(&before), vec![1], Stop::Length);
        let whole: Mutex<Vec<f32>> = Mutex::default();
        let keep = |_: usize, _: usize, law: oracle::Law<'_>| {
            let oracle::Law::Whole(log_probs) = law else { panic!("the whole law") };
            *whole.lock().unwrap() = log_probs.to_vec();
        };
        served().laws(&[&own], &keep).unwrap();
        let whole = whole.into_inner().unwrap();
        assert!((law.iter().map(|(_, log_prob)| libm::exp(f64::from(*log_prob))).sum::<f64>() - 1.0).abs() < 1e-5);
        // ratios of probabilities are the model's, and tokens are those of the same text
        let own_log_prob = |id: TokenId| {
            let text = coarse.decode(&[id]);
            let [own] = fine.encode(&text)[..] else { panic!("{text:?} is one token of both") };
            whole[own as usize]
        };
        let (first, first_log_prob) = law[0];
        for (id, log_prob) in law {
            let (is, said) = (log_prob - first_log_prob, own_log_prob(*id) - own_log_prob(first));
            assert!((is - said).abs() < 1e-4, "{is} is not {said}");
        }
        // single bytes that are characters, and the merges of the fine one
        assert!(law.len() > 100 && law.len() <= 290, "{}", law.len());
    }
    // another text after the place changes nothing before it
    let mut other = given.clone();
    other.answer[5..].fill(coarse.encode("x")[0]);
    let others = shared_laws(&asked, &other);
    for position in 0..=5 {
        assert_eq!(laws[&position].iter().map(|(id, _)| *id).max(), others[&position].iter().map(|(id, _)| *id).max());
        let of = |law: &[(TokenId, f32)]| law.iter().map(|(id, p)| f64::from(*id) * libm::exp(f64::from(*p))).sum::<f64>();
        assert!((of(&laws[&position]) - of(&others[&position])).abs() < 1e-2);
    }
    // what the model cannot hold is left out, and so are places within a character
    let held = shared_laws(&oracle(12), &given);
    assert!(held.len() < laws.len() && held.iter().all(|(position, law)| laws[position].len() == law.len()), "{:?}", held.keys());
    let bytes = Arc::new(Tokenizer::train_bpe(std::iter::once(String::new()), 258).unwrap());
    let by_bytes = RetokenisedOracle::new(served(), Retokeniser::new(bytes.clone(), fine.clone()), 64);
    let within = shared_laws(&by_bytes, &cut(&bytes, "aé你b", 1, Stop::Length));
    assert_eq!(within.into_keys().collect::<Vec<_>>(), [0, 1, 3, 6], "after nothing, a, é and 你");
}
