//! Written over the registry: a new entry is covered by being registered.

use std::collections::BTreeSet;

use oracle::{Oracle, Stage};
use serde_json::{Value, json};

use crate::testing::Lab;
use crate::*;

/// Every example as JSON with its kind.
fn tables() -> Vec<(&'static str, Value)> {
    MarkEntry::examples().iter().map(|entry| (entry.given()[0].info().name, serde_json::to_value(entry).unwrap())).collect()
}

fn labs() -> Vec<Lab> {
    MarkEntry::examples().iter().map(Lab::new).collect()
}

fn parse(table: &Value) -> Result<MarkEntry, serde_json::Error> {
    serde_json::from_value(table.clone())
}

fn chance(decoys: usize) -> Chance {
    // 199 draws leave permutation tests a p of 0.005
    Chance { decoys, decoy_seed: 5, draws: 199, draw_seed: 9 }
}

#[test]
fn metadata_is_complete_and_names_are_unique() {
    let list = MarkEntry::list();
    assert_eq!(
        list.iter().map(|info| info.name).collect::<Vec<_>>(),
        MarkEntry::KINDS,
        "an example is missing, or a name differs"
    );
    let labels: BTreeSet<_> = list.iter().map(|info| info.key_label).collect();
    assert_eq!(labels.len(), list.len(), "two kinds derive their keys under one label");
    for info in list {
        assert!(info.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        assert!(info.source.contains(" 20"), "{}: {}", info.name, info.source);
        assert!(info.summary.len() > 20 && info.summary.len() < 100 && !info.summary.ends_with('.'), "{}", info.name);
    }
}

#[test]
fn examples_are_valid_and_come_back_as_they_were_written() {
    for (name, table) in tables() {
        assert_eq!(table.as_object().unwrap().keys().collect::<Vec<_>>(), [name]);
        let entry = parse(&table).unwrap();
        assert_eq!(entry.validate(), Ok(()), "{name}");
        assert_eq!(entry.small().validate(), Ok(()), "{name}");
        assert_eq!(serde_json::to_value(&entry).unwrap(), table, "{name} changes when written and read");
    }
}

#[test]
fn unknown_missing_and_mistyped_keys_are_refused() {
    for (name, table) in tables() {
        let fields: Vec<String> = table[name].as_object().unwrap().keys().cloned().collect();
        let mut unknown = table.clone();
        unknown[name]["surprise"] = json!(1);
        assert!(parse(&unknown).unwrap_err().to_string().contains("surprise"), "{name}");
        for field in &fields {
            let mut mistyped = table.clone();
            mistyped[name][field] = json!({"no": ["such"]});
            assert!(parse(&mistyped).is_err(), "{name}.{field} takes anything");
        }
        let mut empty = table.clone();
        empty[name] = json!({});
        assert!(parse(&empty).unwrap_err().to_string().contains("missing field"), "{name}");
    }
    assert!(parse(&json!({"kgv": {}})).unwrap_err().to_string().contains("kgv"));
    assert!(MarkEntry::default().validate().unwrap_err().remedy.contains("kgw"));
    let (first, second) = (&tables()[0].1, &tables().last().unwrap().1.clone());
    let mut both = first.clone();
    both.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
    assert!(parse(&both).unwrap().validate().unwrap_err().value.contains("second kind"));
}

#[test]
fn impossible_values_are_refused_by_key_and_value() {
    let refused = MarkEntry::refused();
    for (mark, key, value) in &refused {
        let (_, mut table) = tables().into_iter().find(|(name, _)| name == mark).unwrap();
        table[mark][key] = serde_json::from_str(value).unwrap();
        let error = parse(&table).unwrap().validate().expect_err(&format!("{mark}.{key} takes {value}"));
        assert!(error.key.starts_with(&format!("{mark}.{key}")), "{error}");
        assert!(error.remedy.len() > 4, "{error}");
    }
    for kind in MarkEntry::KINDS {
        assert!(refused.iter().any(|(mark, ..)| mark == kind), "no impossible value of {kind} is tried");
    }
}

#[test]
fn what_is_planted_is_what_the_mark_says_of_itself() {
    for lab in labs() {
        let config = lab.entry.config().unwrap();
        let (info, needs) = (config.info(), config.needs());
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let planting = mark.planting();
        // one that reads another mark has that one planted
        let plants = info.planted && needs.reads.is_none();
        assert_eq!(planting.is_empty(), !plants, "{}", info.name);
        assert_eq!(needs.phase == Phase::Nothing, !plants, "{}", info.name);
        let (mut changes, mut distilled) = (false, false);
        for planted in &planting {
            let phase = match planted {
                Planting::Texts(_) => Phase::Data,
                Planting::Items(_) => Phase::Weights,
                Planting::Distilled { .. } => {
                    distilled = true;
                    Phase::Weights
                }
                Planting::Law(law) => {
                    changes |= law.stage() != Stage::Shown;
                    Phase::Service
                }
                Planting::Asked(_) => Phase::Service,
            };
            assert_eq!(phase, needs.phase, "{}", info.name);
        }
        assert_eq!((changes, distilled), (needs.changes_drawn_law, needs.distilled_law), "{}", info.name);
        assert!(!mark.questions(1).is_empty(), "{} asks nothing", info.name);
    }
}

#[test]
fn processors_name_themselves_by_parameters_and_key() {
    let laws = |entry: &MarkEntry, key: &Key| -> Vec<String> {
        let planting = Lab::new(entry).build(key).unwrap().planting();
        planting.iter().filter_map(|p| if let Planting::Law(law) = p { Some(law.name()) } else { None }).collect()
    };
    let mut names = BTreeSet::new();
    for entry in MarkEntry::examples() {
        let name = laws(&entry, &Key::decoy(1, 1));
        assert_eq!(name, laws(&entry, &Key::decoy(1, 1)));
        for law in name.iter().chain(&laws(&entry, &Key::decoy(1, 2))) {
            assert!(names.insert(law.clone()), "two laws are called {law}");
        }
    }
    assert!(names.len() >= 4);
}

/// Models and answers are named by `planted`: what that leaves out changes nothing of them.
#[test]
fn how_a_mark_is_judged_plants_nothing() {
    let planted = |entry: &MarkEntry| -> Vec<String> {
        let words = |planting| match planting {
            Planting::Law(law) => law.name(),
            Planting::Texts(texts) => texts.iter().map(|planted| format!("{} {} ", planted.repeats, planted.text)).collect(),
            Planting::Items(items) => items.iter().map(|item| format!("{:?} {:?} ", item.prompt, item.answer)).collect(),
            Planting::Asked(asked) => asked.iter().map(|asked| format!("{:?} {} ", asked.prompt, asked.every)).collect(),
            Planting::Distilled { law, on, apart } => format!("{} {on:?} {apart:?}", law.name()),
        };
        Lab::new(entry).build(&Key::decoy(1, 1)).unwrap().planting().into_iter().map(words).collect()
    };
    let mut judged_otherwise = 0;
    for entry in MarkEntry::examples() {
        let bare = entry.planted();
        assert_eq!((bare.validate(), bare.planted()), (Ok(()), bare.clone()));
        assert_eq!(planted(&entry), planted(&bare), "{entry:?}");
        judged_otherwise += usize::from(bare != entry);
    }
    assert!(judged_otherwise >= 3);
}

/// What a measurement is named by holds whom a mark asks.
#[test]
fn a_second_round_asks_whom_the_mark_says_and_what_no_key_enters_is_judged_under_any() {
    let mut asked = 0;
    for lab in labs() {
        let needs = lab.entry.config().unwrap().needs();
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let suspect = lab.model(4);
        let answers = std::sync::Arc::new(suspect.answer(&lab.audit()[..3]).unwrap());
        let texts = |which| lab.texts(&*mark, which);
        let asked_of = Asked { answers: &suspect, laws: &suspect, audit: &|| Ok(answers.clone()), marked: &texts };
        let first = asked_of.ask_all(&mark.questions(1)).unwrap();
        for follow_up in mark.follow_up(&first) {
            assert!(follow_up.whom == Whom::Suspect || needs.second_round.contains(&follow_up.whom), "{}", lab.name());
            asked += 1;
        }
        assert_eq!(mark.contexts(&first).is_some(), needs.contexts, "{}", lab.name());
        if mark.any_key().is_none() {
            continue;
        }
        let keys: Vec<Key> = (1..4).map(|index| Key::decoy(1, index)).collect();
        let together = lab.judge_under(&keys, &suspect, answers.to_vec(), chance(9)).unwrap();
        let judged = |key| lab.judge(&*lab.build(key).unwrap(), &suspect, answers.to_vec(), chance(9)).unwrap();
        let alone: Vec<Finding> = keys.iter().flat_map(judged).collect();
        assert_eq!(alone.len(), together.len(), "{}", lab.name());
        for (at, (alone, found)) in alone.iter().zip(&together).enumerate() {
            // of one key alone there is one number more: what answers would move its effect by
            let metrics: Vec<&Metric> = alone.metrics.iter().filter(|metric| metric.name != "effect_over_answers").collect();
            assert_eq!((&alone.evidence, &alone.detail), (&found.evidence, &found.detail));
            assert_eq!(metrics, found.metrics.iter().collect::<Vec<_>>(), "{}", lab.name());
            assert_eq!(alone.account, found.account);
            assert_eq!(found.decoy_log10_p.is_empty(), at > 0, "decoys are tried once");
        }
    }
    assert!(asked >= 8, "{asked} questions");
}

/// A marked toy model shows its mark, to the key's owner alone.
#[test]
fn what_is_planted_is_found_and_decoys_are_not() {
    for lab in labs() {
        let (name, decoys) = (lab.name(), lab.entry.config().unwrap().needs().decoys);
        let mark = lab.build(&Key::decoy(1, 1)).unwrap();
        let marked = lab.marked(&*mark);
        for found in lab.measure(&*mark, &marked, chance(999)).unwrap() {
            // a key that belongs to another account than the audit's is not there to be found
            if found.account.is_some_and(|account| account != 0) {
                assert!(found.evidence.log10_p > -4.0, "{name}: {found:?}");
                continue;
            }
            let evidence = -found.evidence.log10_p;
            assert!(evidence >= lab.bed.evidence, "{name}: {found:?}");
            assert!(!found.detail.is_empty() && !found.effect_unit.is_empty(), "{name}");
            let (tried, rank) = (found.decoy_log10_p.len(), found.evidence.log10_p_decoy);
            match decoys {
                Decoys::None => assert_eq!((tried, rank), (0, None), "{name}"),
                Decoys::SelfTest => assert!((tried, rank) == (999, None) && found.evidence.null.kind.exact(), "{name}"),
                Decoys::Rank => assert_eq!((tried, rank), (999, Some(-3.0)), "{name}"),
            }
            if tried > 0 {
                // error rate 1e-3 at the Kolmogorov bound for 999 keys from above, plus the step of discrete tails
                for alpha in [0.5, 0.1, 0.02] {
                    let share = found.decoy_log10_p.iter().filter(|p| **p <= libm::log10(alpha)).count() as f64 / 999.0;
                    assert!(share < alpha + 0.062, "{name}: {share} of decoys at {alpha}");
                }
            }
            assert!(found.metrics.iter().all(|metric| metric.value.is_finite()), "{name}");
            let names: BTreeSet<_> = found.metrics.iter().map(|metric| &metric.name).collect();
            assert_eq!(names.len(), found.metrics.len(), "{name} reports a number twice");
        }
        if lab.entry.config().unwrap().info().planted {
            let other = lab.build(&Key::decoy(1, 2)).unwrap();
            for found in lab.measure(&*other, &marked, chance(0)).unwrap() {
                // one draw: error rate 1e-4
                assert!(found.evidence.log10_p > -4.0, "{name} under another key: {found:?}");
            }
        }
    }
}

#[test]
fn equal_keys_give_equal_marks_and_threads_change_nothing() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for lab in labs() {
        let [a, b] = [0, 0].map(|_| lab.build(&Key::decoy(3, 0)).unwrap());
        let (one, other) = (lab.marked(&*a), lab.marked(&*b));
        let found = pool(1).install(|| lab.measure(&*a, &one, chance(99)).unwrap());
        assert_eq!(found, pool(3).install(|| lab.measure(&*b, &other, chance(99)).unwrap()), "{}", lab.name());
    }
}

#[test]
fn an_empty_audit_is_no_evidence() {
    for lab in labs() {
        let mark = lab.build(&Key::decoy(3, 0)).unwrap();
        if !mark.questions(1).iter().all(|question| matches!(question, Question::Audit)) {
            continue;
        }
        for found in lab.judge(&*mark, &lab.model(4), Vec::new(), chance(9)).unwrap() {
            assert_eq!((found.evidence.n, found.evidence.log10_p, found.evidence.effect), (0, 0.0, 0.0), "{}", lab.name());
        }
    }
}

#[test]
fn missing_answers_are_refused() {
    for lab in labs() {
        let mark = lab.build(&Key::decoy(3, 0)).unwrap();
        let case = Case { suspect: &[], teacher: None, references: &[], second: &[], contexts: None, chance: chance(0) };
        assert!(matches!(mark.judge(&case), Err(MarkError::Unmeasurable { .. })), "{}", lab.name());
    }
}

#[test]
fn schemas_name_every_registered_mark() {
    let schema = serde_json::to_string(&schemars::schema_for!(MarkEntry)).unwrap();
    for kind in MarkEntry::KINDS {
        assert!(schema.contains(&format!("\"{kind}\"")), "{kind}");
    }
}

/// Whoever shows a configuration leaves fields of these names out.
#[test]
fn fields_that_hold_served_keys_have_the_known_names() {
    /// Names of properties below `schema` whose own schema refers to served keys.
    fn holders(schema: &Value, found: &mut BTreeSet<String>) {
        let Some(fields) = schema.as_object() else {
            return schema.as_array().into_iter().flatten().for_each(|each| holders(each, found));
        };
        for (name, property) in fields.get("properties").and_then(|list| list.as_object()).into_iter().flatten() {
            if property.to_string().contains("/ServedKey\"") {
                found.insert(name.clone());
            }
        }
        fields.values().for_each(|each| holders(each, found));
    }
    let mut found = BTreeSet::new();
    holders(schemars::schema_for!(MarkEntry).as_value(), &mut found);
    assert_eq!(found, ServedKey::FIELDS.map(String::from).into());
}

#[test]
fn secrets_do_not_show_in_debug_forms() {
    for lab in labs() {
        for planted in lab.build(&Key::decoy(1, 1)).unwrap().planting() {
            match planted {
                Planting::Texts(texts) => assert!(texts.iter().all(|t| !format!("{t:?}").contains(&t.text))),
                Planting::Items(items) => assert!(items.iter().all(|item| !format!("{item:?}").contains('['))),
                Planting::Asked(asked) => assert!(asked.iter().all(|asked| !format!("{asked:?}").contains('['))),
                Planting::Law(_) | Planting::Distilled { .. } => {}
            }
        }
    }
}

/// A second round may ask any model for its laws on the suspect's own answers.
#[test]
fn a_second_round_sees_laws_on_the_suspects_answers() {
    use std::sync::Arc;

    use oracle::{ServedLaw, Surface};

    use crate::testing::ToyModel;

    let surface = Surface::Logits { law: ServedLaw::PostWatermark };
    let teacher = ToyModel { surface: surface.clone(), ..ToyModel::new(64, 3) };
    let queries: Vec<_> = (0..5).map(|i| oracle::Query::greedy(i, vec![1, 5 + i as u32], 7)).collect();
    let answers = Arc::new(ToyModel::new(64, 4).answer(&queries).unwrap());
    let question = Question::Laws { given: answers.clone(), reduce: Arc::new(Entropy) };
    let asked = Asked { answers: &teacher, laws: &teacher, audit: &|| Ok(answers.clone()), marked: &no_texts };
    let seen = asked.ask(&question).unwrap();
    let laws = seen.laws().unwrap();
    assert_eq!((laws.len(), laws[0].len(), laws[0].is_empty()), (5, 7, false));
    for (exchange, reduced) in answers.iter().zip(laws) {
        for position in 0..exchange.answer.len() {
            let before = [&exchange.query.prompt[..], &exchange.answer[..position]].concat();
            let logits: Vec<f64> = teacher.logits(&before).iter().map(|&x| f64::from(x)).collect();
            let total: f64 = logits.iter().map(|x| libm::exp(*x)).sum();
            let entropy: f64 = logits.iter().map(|x| libm::exp(*x) / total).filter(|p| *p > 0.0).map(|p| -p * libm::log(p)).sum();
            assert!((reduced.at(position)[0] - entropy).abs() < 1e-4, "{} {entropy}", reduced.at(position)[0]);
        }
    }
    assert_eq!(laws[0].at(7), &[] as &[f64]);
    let top = ToyModel { surface: Surface::TopLogprobs { k: 4, law: ServedLaw::PostWatermark }, ..teacher.clone() };
    let bounded = Asked { answers: &top, laws: &top, audit: &|| Ok(answers.clone()), marked: &no_texts }.ask(&question).unwrap();
    assert!(bounded.laws().unwrap()[0].at(0)[0] < laws[0].at(0)[0]);
    let closed = ToyModel { surface: Surface::Text, ..teacher };
    assert!(Asked { answers: &closed, laws: &closed, audit: &|| Ok(answers.clone()), marked: &no_texts }.ask(&question).is_err());
}
