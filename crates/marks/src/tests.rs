//! Written over all registries: a new entry is covered by being registered.

use std::collections::BTreeSet;

use oracle::ConfigError;
use serde_json::{Value, json};

use crate::testing::ToyCodec;
use crate::*;

/// Every example as JSON beside what its registry says of it.
fn examples() -> Vec<(Value, MarkInfo, Result<(), ConfigError>)> {
    fn of<T: serde::Serialize>(
        configs: &[T],
        info: fn(&T) -> MarkInfo,
        validate: fn(&T) -> Result<(), ConfigError>,
    ) -> Vec<(Value, MarkInfo, Result<(), ConfigError>)> {
        configs.iter().map(|config| (serde_json::to_value(config).unwrap(), info(config), validate(config))).collect()
    }
    [
        of(&WatermarkConfig::examples(), WatermarkConfig::info, WatermarkConfig::validate),
        of(&CanaryConfig::examples(), CanaryConfig::info, CanaryConfig::validate),
        of(&ProbeConfig::examples(), ProbeConfig::info, ProbeConfig::validate),
    ]
    .concat()
}

/// Parses and validates a mark's table in the family where its name is registered.
fn check(table: &Value) -> Result<Result<(), ConfigError>, serde_json::Error> {
    let name = table.as_object().unwrap().keys().next().unwrap();
    let family = list().into_iter().find(|info| info.name == name).unwrap().family;
    Ok(match family {
        Family::Watermark => serde_json::from_value::<WatermarkConfig>(table.clone())?.validate(),
        Family::Canary => serde_json::from_value::<CanaryConfig>(table.clone())?.validate(),
        Family::Probe => serde_json::from_value::<ProbeConfig>(table.clone())?.validate(),
    })
}

#[test]
fn metadata_is_complete_and_names_are_unique() {
    let mut names = BTreeSet::new();
    for info in list() {
        assert!(names.insert(info.name), "{} is registered twice", info.name);
        assert!(!info.name.is_empty() && info.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        assert!(info.source.contains("arXiv") && info.source.contains(" 20"), "{}: {}", info.name, info.source);
        assert!(info.summary.len() > 20 && info.summary.len() < 100 && !info.summary.ends_with('.'), "{}", info.name);
    }
    assert!(names.len() >= 4);
}

#[test]
fn examples_are_valid_and_tagged_with_their_names() {
    for (table, info, valid) in examples() {
        assert_eq!(table.as_object().unwrap().keys().collect::<Vec<_>>(), [info.name]);
        assert_eq!(valid, Ok(()), "{}", info.name);
        assert_eq!(check(&table).unwrap(), Ok(()), "{} changes when written and read", info.name);
    }
}

#[test]
fn built_marks_say_what_their_configuration_says() {
    let (key, codec) = (Key::decoy(1, 1), ToyCodec::new(512));
    let prompts: Vec<_> = (0..100).map(|id| vec![1, 5 + id]).collect();
    let same = |mark: &dyn Mark, info: MarkInfo| {
        assert_eq!(mark.info(), info);
        let told = (mark.name(), mark.needs(), mark.claim(), mark.source(), mark.planted());
        assert_eq!(told, (info.name, info.needs, info.claim, info.source, info.planted));
    };
    for config in WatermarkConfig::examples() {
        same(&*config.build(&key, &codec).unwrap(), config.info());
    }
    for config in CanaryConfig::examples() {
        let canary = config.build(&key).unwrap();
        same(&*canary, config.info());
        assert!(!canary.planted_texts().is_empty() && canary.cost().scored_texts > 0);
    }
    for config in ProbeConfig::examples() {
        let probe = config.build(&key, &codec, &prompts).unwrap();
        same(&*probe, config.info());
        assert_eq!(probe.training_items().is_empty(), !probe.planted());
        assert_eq!(probe.cost().queries, probe.questions().len() as u64);
        let tokens: usize = probe.questions().iter().map(|query| query.max_new_tokens).sum();
        assert_eq!(probe.cost().generated_tokens, tokens as u64);
    }
}

#[test]
fn unknown_missing_and_mistyped_keys_are_refused() {
    for (table, info, _) in examples() {
        let fields: Vec<String> = table[info.name].as_object().unwrap().keys().cloned().collect();
        let mut unknown = table.clone();
        unknown[info.name]["surprise"] = json!(1);
        assert!(check(&unknown).unwrap_err().to_string().contains("surprise"), "{}", info.name);
        for field in &fields {
            let mut mistyped = table.clone();
            mistyped[info.name][field] = json!({"no": ["such"]});
            assert!(check(&mistyped).is_err(), "{}.{field} takes anything", info.name);
        }
        let mut empty = table.clone();
        empty[info.name] = json!({});
        assert!(check(&empty).unwrap_err().to_string().contains("missing field"), "{}", info.name);
    }
}

#[test]
fn impossible_values_are_refused_by_key_value_and_mend() {
    let cases = [
        ("kgw", "gamma", json!(0.0), "0"),
        ("kgw", "gamma", json!(1.0), "1"),
        ("kgw", "gamma", json!(1.5), "1.5"),
        ("kgw", "gamma", json!(-0.25), "-0.25"),
        ("kgw", "gamma", json!(1e-12), "0.000000000001"),
        ("kgw", "delta", json!(0.0), "0"),
        ("kgw", "delta", json!(-2.0), "-2"),
        ("kgw", "delta", json!(1e300), "1000"),
        ("kgw", "context_width", json!(5), "5"),
        ("secret_sharer", "repeats", json!([]), "[]"),
        ("secret_sharer", "repeats", json!([0, 4]), "[0, 4]"),
        ("secret_sharer", "repeats", json!([4, 4]), "[4, 4]"),
        ("secret_sharer", "repeats", json!([16, 4]), "[16, 4]"),
        ("secret_sharer", "canaries_per_level", json!(0), "0"),
        ("secret_sharer", "templates", json!(0), "0"),
        ("secret_sharer", "templates", json!(9), "9"),
        ("secret_sharer", "references", json!(0), "0"),
        ("secret_sharer", "secret", json!({"digits": 3}), "{ digits = 3 }"),
        ("secret_sharer", "secret", json!({"words": 1}), "{ words = 1 }"),
        ("secret_sharer", "secret", json!({"digits": 33}), "{ digits = 33 }"),
        ("secret_keys", "keys", json!(0), "0"),
        ("secret_keys", "prompt_tokens", json!(0), "0"),
        ("secret_keys", "answer_tokens", json!(0), "0"),
        ("secret_keys", "answer_tokens", json!(200), "200"),
        ("secret_keys", "answer_set", json!(1), "1"),
        ("output_agreement", "prompts", json!(0), "0"),
    ];
    for info in list() {
        assert!(cases.iter().any(|case| case.0 == info.name), "no impossible value of {} is tried here", info.name);
    }
    for (mark, key, value, shown) in cases {
        let mut table = examples().into_iter().find(|(_, info, _)| info.name == mark).unwrap().0;
        table[mark][key] = value;
        let error = check(&table).unwrap().expect_err(&format!("{mark}.{key} takes {shown}"));
        assert_eq!(error.key, format!("{mark}.{key}"));
        assert!(error.value.starts_with(shown), "{error}");
        assert!(error.remedy.starts_with("use "), "{error}");
    }
}

#[test]
fn what_does_not_fit_the_vocabulary_is_refused_at_building() {
    let key = Key::decoy(1, 1);
    let keys = |patch: fn(&mut probe::SecretKeysConfig)| {
        let mut config = probe::SecretKeysConfig { keys: 16, prompt_tokens: 8, answer_tokens: 1, answer_set: 256 };
        patch(&mut config);
        ProbeConfig::SecretKeys(config).build(&key, &ToyCodec::new(200), &[]).err().unwrap().to_string()
    };
    let error = keys(|_| ());
    assert!(error.starts_with("`secret_keys.answer_set` is 256: ") && error.contains("197"), "{error}");
    let error = keys(|config| (config.answer_set, config.prompt_tokens) = (16, 1));
    assert!(error.starts_with("`secret_keys.prompt_tokens` is 1: "), "{error}");
    let agreement = ProbeConfig::OutputAgreement(probe::OutputAgreementConfig { prompts: 5 });
    let error = agreement.build(&key, &ToyCodec::new(200), &[vec![1, 9], vec![1, 8]]).err().unwrap().to_string();
    assert!(error.starts_with("`output_agreement.prompts` is 5: ") && error.contains("at most 2"), "{error}");
}

#[test]
fn schemas_name_every_registered_mark() {
    let schemas = [
        serde_json::to_string(&schemars::schema_for!(WatermarkConfig)).unwrap(),
        serde_json::to_string(&schemars::schema_for!(CanaryConfig)).unwrap(),
        serde_json::to_string(&schemars::schema_for!(ProbeConfig)).unwrap(),
    ]
    .concat();
    for info in list() {
        assert!(schemas.contains(&format!("\"{}\"", info.name)), "{}", info.name);
    }
}

#[test]
fn secrets_do_not_show_in_debug_forms() {
    let (key, codec) = (Key::decoy(1, 1), ToyCodec::new(512));
    let prompts: Vec<_> = (0..100).map(|id| vec![1, 5 + id]).collect();
    for config in CanaryConfig::examples() {
        for planted in config.build(&key).unwrap().planted_texts() {
            assert!(format!("{planted:?}").contains("redacted") && !format!("{planted:?}").contains(&planted.text));
        }
    }
    for config in ProbeConfig::examples() {
        for item in config.build(&key, &codec, &prompts).unwrap().training_items() {
            assert!(!format!("{item:?}").contains('['), "{item:?}");
        }
    }
}
