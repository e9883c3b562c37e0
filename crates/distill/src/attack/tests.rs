use oracle::{Oracle, ServedLaw, Surface};

use super::*;
use crate::Served;
use crate::testing::{exchanges, model, with_tools};

fn with_thief<T>(act: impl FnOnce(&Thief<'_>) -> T) -> T {
    with_tools(|tools| {
        let surface = Surface::Logits { law: ServedLaw::PostWatermark };
        let base = Served::new(Arc::new(model(3)), Vec::new(), surface, tools.runtime.clone());
        act(&Thief { base: &base, tools })
    })
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
        let (bought, student) = with_thief(|thief| {
            (attack.bought(shard.clone(), thief).unwrap(), attack.student(Arc::new(model(4)), &thief.tools).unwrap())
        });
        assert_eq!(bought != shard, attack.changes_bought(), "{}", attack.name());
        assert_eq!(student.weights() != model(4).weights(), attack.changes_student(), "{}", attack.name());
        let query = shard[0].query.clone();
        assert_eq!(attack.asks(query.clone()) != query, attack.changes_questions());
    }
    assert!(DropByPerplexity { share: 1.0, model: None }.validate().is_err());
    let tuning = CleanFineTuning { tokens: 256, row_tokens: 8, batch_rows: 4, peak_lr: 1e-3 };
    assert!(CleanFineTuning { row_tokens: 1, ..tuning.clone() }.validate().is_err());
    assert!(CleanFineTuning { peak_lr: 0.0, ..tuning.clone() }.validate().is_err());
    let error = with_tools(|tools| CleanFineTuning { row_tokens: 4096, ..tuning }.student(Arc::new(model(4)), &tools).err());
    assert!(error.unwrap().to_string().contains("row_tokens"));
}

/// The first 29 of 39 spoken answers by surprise of `judge`, and the empty one.
fn least_surprising(shard: &[Exchange], judge: &dyn Oracle) -> Vec<Exchange> {
    let surprise = |exchange: &Exchange| {
        let item = oracle::ScoreItem { prompt: exchange.query.prompt.clone(), continuation: exchange.answer.clone() };
        -judge.score(&[item]).unwrap()[0] / exchange.answer.len() as f64
    };
    let mut spoken: Vec<usize> = (0..shard.len()).filter(|&at| !shard[at].answer.is_empty()).collect();
    spoken.sort_by(|&a, &b| surprise(&shard[a]).total_cmp(&surprise(&shard[b])).then(a.cmp(&b)));
    let kept = |at: &usize| shard[*at].answer.is_empty() || spoken[..29].contains(at);
    (0..shard.len()).filter(kept).map(|at| shard[at].clone()).collect()
}

#[test]
fn the_answers_that_surprise_the_thiefs_own_model_or_a_named_one_are_dropped_and_the_order_stays() {
    let mut shard = exchanges(40);
    shard[3].answer.clear();
    with_thief(|thief| {
        let drop = |model: Option<&str>| {
            let attack = DropByPerplexity { share: 0.25, model: model.map(String::from) };
            attack.bought(shard.clone(), thief)
        };
        let own = drop(None).unwrap();
        assert_eq!(own, least_surprising(&shard, thief.base));
        let other = drop(Some("judge")).unwrap();
        assert_eq!(other, least_surprising(&shard, &thief.tools.asked("judge").unwrap()));
        assert_ne!(own, other, "two models are surprised alike");
        assert_eq!(drop(Some("nobody")).unwrap_err().to_string(), "there is no model called nobody");
    });
}
