use oracle::{Query, Row, Stage, Step};

use super::*;
use crate::testing::with_tools;

fn shown(config: &DefenceConfig, tokens: &[u32], law: &[f32]) -> Vec<f32> {
    let query = Query::greedy(0, tokens[..1].to_vec(), 8);
    let mut values = law.to_vec();
    for processor in with_tools(|tools| config.build().wrap(Vec::new(), &tools)) {
        assert_eq!(processor.stage(), Stage::Shown);
        processor.process(&Step { query: &query, tokens }, Row::alone(&mut values));
    }
    values
}

const LAW: [f32; 4] = [-0.7, -1.4, -1.4, f32::NEG_INFINITY];

#[test]
fn every_defence_is_named_valid_and_comes_back_as_written() {
    for config in DefenceConfig::examples() {
        let defence = config.build();
        assert_eq!(defence.validate(), Ok(()));
        let table = serde_json::to_value(&config).unwrap();
        assert_eq!(table.as_object().unwrap().keys().collect::<Vec<_>>(), [defence.name()]);
        assert_eq!(serde_json::from_value::<DefenceConfig>(table).unwrap(), config);
        assert!(defence.label().starts_with(defence.name()) && !defence.source().is_empty());
    }
    assert!(Rounding { step: 0.0 }.validate().is_err() && Rounding { step: f32::NAN }.validate().is_err());
    assert!(GaussianNoise { sd: -1.0 }.validate().is_err());
}

#[test]
fn rounded_laws_stand_on_the_grid_and_never_above_one() {
    let values = shown(&DefenceConfig::Rounding(Rounding { step: 0.5 }), &[1, 5], &LAW);
    assert_eq!(values, [-0.5, -1.5, -1.5, f32::NEG_INFINITY]);
    assert_eq!(shown(&DefenceConfig::Rounding(Rounding { step: 3.0 }), &[1], &[-0.1]), [0.0]);
}

#[test]
fn noise_is_a_law_again_of_the_stated_size_and_the_same_when_asked_again() {
    let config = DefenceConfig::GaussianNoise(GaussianNoise { sd: 0.5 });
    let wide: Vec<f32> = vec![-libm::logf(4096.0_f32); 4096];
    let once = shown(&config, &[1, 5], &wide);
    assert_eq!(once, shown(&config, &[1, 5], &wide));
    assert_ne!(once, shown(&config, &[1, 6], &wide));
    let mass: f64 = once.iter().map(|&x| libm::exp(f64::from(x))).sum();
    assert!((mass - 1.0).abs() < 1e-4, "{mass}");
    let mean = once.iter().map(|&x| f64::from(x)).sum::<f64>() / 4096.0;
    let variance = once.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 4096.0;
    // chi-square with 4,095 degrees of freedom: 4 standard deviations are 8.8 %
    assert!((variance / 0.25 - 1.0).abs() < 0.09, "{variance}");
    assert_eq!(shown(&config, &[1, 5], &LAW)[3], f32::NEG_INFINITY);
}

#[test]
fn other_processors_keep_their_place() {
    with_tools(|tools| {
        for config in DefenceConfig::examples() {
            let before: Vec<Arc<dyn LogitsProcessor>> = Rounding { step: 1.0 }.wrap(Vec::new(), &tools);
            let name = before[0].name();
            assert!(config.build().wrap(before, &tools).iter().any(|processor| processor.name() == name));
        }
    });
}
