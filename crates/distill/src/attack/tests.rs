use oracle::{ServedLaw, Surface};

use super::*;
use crate::Served;
use crate::testing::{BOS, documents, exchanges, model, plan, runtime};

fn with_tools<T>(act: impl FnOnce(&AttackTools<'_>) -> T) -> T {
    let runtime = runtime(2);
    let base = Served::new(Arc::new(model(3)), Vec::new(), Surface::Logits { law: ServedLaw::PostWatermark }, runtime.clone());
    let texts = |tokens: u64| {
        let mut total = 0;
        let enough = |document: &Vec<u32>| {
            let wanted = total < tokens;
            total += document.len() as u64;
            wanted
        };
        Ok(documents(400, 5).into_iter().take_while(enough).collect())
    };
    let planned = |steps, batch_rows, peak_lr: f64| TrainPlan { peak_lr: peak_lr as f32, ..plan(steps, batch_rows) };
    act(&AttackTools { base: &base, texts: &texts, bos: Some(BOS), plan: &planned, runtime: &runtime, seed: 9 })
}

#[test]
fn every_attack_is_named_valid_and_does_what_it_says() {
    for config in AttackConfig::examples() {
        let attack = config.build();
        assert_eq!(attack.validate(), Ok(()));
        let table = serde_json::to_value(&config).unwrap();
        assert_eq!(table.as_object().unwrap().keys().collect::<Vec<_>>(), [attack.name()]);
        assert_eq!(serde_json::from_value::<AttackConfig>(table).unwrap(), config);
        assert!(attack.label().starts_with(attack.name()) && !attack.source().is_empty());
        let shard = exchanges(40);
        let (bought, student) = with_tools(|tools| {
            (attack.bought(shard.clone(), tools).unwrap(), attack.student(Arc::new(model(4)), tools).unwrap())
        });
        assert_eq!(bought != shard, attack.changes_bought(), "{}", attack.name());
        assert_eq!(student.weights() != model(4).weights(), attack.changes_student(), "{}", attack.name());
        let query = shard[0].query.clone();
        assert_eq!(attack.asks(query.clone()) != query, attack.changes_questions());
    }
    assert!(DropByPerplexity { share: 1.0 }.validate().is_err());
    let tuning = CleanFineTuning { tokens: 256, row_tokens: 8, batch_rows: 4, peak_lr: 1e-3 };
    assert!(CleanFineTuning { row_tokens: 1, ..tuning.clone() }.validate().is_err());
    assert!(CleanFineTuning { peak_lr: 0.0, ..tuning.clone() }.validate().is_err());
    let error = with_tools(|tools| CleanFineTuning { row_tokens: 4096, ..tuning }.student(Arc::new(model(4)), tools).err());
    assert!(error.unwrap().to_string().contains("row_tokens"));
}

#[test]
fn the_most_surprising_answers_are_dropped_and_the_order_stays() {
    let mut shard = exchanges(40);
    shard[3].answer.clear();
    with_tools(|tools| {
        let kept = DropByPerplexity { share: 0.25 }.bought(shard.clone(), tools).unwrap();
        // 39 answers say something: 29 stay, and the empty one
        assert_eq!(kept.len(), 30);
        assert!(kept.iter().any(|exchange| exchange.answer.is_empty()));
        let surprise = |exchange: &Exchange| {
            let item = oracle::ScoreItem { prompt: exchange.query.prompt.clone(), continuation: exchange.answer.clone() };
            -tools.base.score(&[item]).unwrap()[0] / exchange.answer.len() as f64
        };
        let spoken = |list: &[Exchange]| list.iter().filter(|e| !e.answer.is_empty()).map(surprise).collect::<Vec<_>>();
        let worst_kept = spoken(&kept).into_iter().fold(f64::MIN, f64::max);
        let gone: Vec<Exchange> = shard.iter().filter(|e| !kept.contains(e)).cloned().collect();
        assert!(spoken(&gone).into_iter().all(|surprise| surprise >= worst_kept));
        let places: Vec<usize> = kept.iter().map(|e| shard.iter().position(|other| other == e).unwrap()).collect();
        assert!(places.is_sorted());
    });
}
