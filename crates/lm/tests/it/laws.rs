//! Scoring: both paths agree, and bits do not depend on company.

use lm::{ComputePath, ModelConfig, Row, for_each_law};

use crate::support::{PATHS, laws, random_ids, relative_distance, runtime, stirred};

#[test]
fn paths_agree_and_every_wanted_law_comes_once() {
    for (i, config) in ModelConfig::examples().iter().enumerate() {
        let model = stirred(config, i as u64);
        let ids: Vec<Vec<u32>> = [1, 2, 7, 7, 7, 48, 30].iter().map(|n| random_ids(*n, config.vocab_size(), *n as u64)).collect();
        let wanted = [1..2, 1..3, 3..5, 7..8, 2..2, 1..49, 29..30];
        let rows: Vec<Row<'_>> = ids.iter().zip(wanted).map(|(ids, laws)| Row { ids, laws }).collect();
        let [fused, generic] = PATHS.map(|path| laws(&model, &rows, 2, path));
        let expected: Vec<(usize, usize)> =
            rows.iter().enumerate().flat_map(|(at, row)| row.laws.clone().map(move |i| (at, i))).collect();
        assert_eq!(fused.keys().copied().collect::<Vec<_>>(), expected);
        for (key, law) in &fused {
            let distance = relative_distance(law, &generic[key]);
            assert!(distance < 1e-5, "{key:?}: {distance}");
        }
    }
}

#[test]
fn bits_depend_on_the_row_alone() {
    for config in ModelConfig::examples() {
        let model = stirred(&config, 4);
        let ids: Vec<Vec<u32>> = (0..40).map(|i| random_ids(1 + i % 13, config.vocab_size(), i as u64)).collect();
        let rows: Vec<Row<'_>> = ids.iter().map(|ids| Row { ids, laws: 1..ids.len() + 1 }).collect();
        for path in PATHS {
            let together = laws(&model, &rows, 2, path);
            for at in [0, 5, 12, 39] {
                let alone = laws(&model, &rows[at..=at], 1, path);
                for i in rows[at].laws.clone() {
                    assert_eq!(together[&(at, i)], alone[&(0, i)], "row {at}, law {i}, {path:?}");
                }
            }
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_errors() {
    let config = &ModelConfig::examples()[0];
    let model = stirred(config, 1);
    let long = vec![0; 60];
    let bad = [
        (Row { ids: &[1, 2], laws: 0..2 }, "not within 1..=2"),
        (Row { ids: &[1, 2], laws: 1..4 }, "not within 1..=2"),
        (Row { ids: &[1, 99], laws: 1..2 }, "token id 99"),
        (Row { ids: &long, laws: 49..50 }, "context of 48"),
    ];
    for (row, expected) in bad {
        let error = for_each_law(&model, &[row], &runtime(1, ComputePath::Fused), &|_, _, _| {}).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let row = Row { ids: &long, laws: 1..49 };
    assert_eq!(laws(&model, &[row], 1, ComputePath::Fused).len(), 48, "the context itself may be filled");
}
