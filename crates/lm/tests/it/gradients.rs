//! Gradients: every parameter gets one, and it is the slope of the loss.

use lm::{Batch, ModelConfig, gradient_engine};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{NextToken, PATHS, random_batch, runtime, stirred, unit};

#[test]
fn every_parameter_receives_a_gradient_that_finite_differences_confirm() {
    for (i, config) in ModelConfig::examples().iter().enumerate() {
        for path in PATHS {
            let model = stirred(config, i as u64);
            let batch = random_batch(config, 3, 7, 5);
            let loss = NextToken { batch: &batch, skip: 5, weight: 1.0 };
            let engine = gradient_engine(config, &runtime(1, path));
            let mut grad = vec![f32::NAN; model.n_params()];
            engine.loss_and_gradient(model.weights(), &batch, &loss, &mut grad).unwrap();
            let mut scratch = vec![0.0; model.n_params()];
            for parameter in model.layout().parameters() {
                let part = &grad[parameter.range.clone()];
                let norm = part.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                // Keys' biases shift all scores of a query alike, which softmax undoes: their slope is 0 but for rounding.
                let flat = parameter.name.ends_with("k_proj.bias");
                assert!(norm > 1e-4 || flat, "{}: gradient norm {norm}", parameter.name);

                // Along the gradient mixed with a random direction: a wrong slope shows both in size and in direction.
                let mut rng = ChaCha8Rng::seed_from_u64(9);
                let raw: Vec<f32> =
                    part.iter().map(|g| *g / norm.max(1e-3) as f32 + unit(&mut rng) / (part.len() as f32).sqrt()).collect();
                let mut at = |step: f32| {
                    let mut params = model.weights().to_vec();
                    for (p, d) in params[parameter.range.clone()].iter_mut().zip(&raw) {
                        *p += step * d;
                    }
                    engine.loss_and_gradient(&params, &batch, &loss, &mut scratch).unwrap()
                };
                let step = 5e-3;
                // Fourth-order central difference: the curvature's error is of order step^4, that of f32 logits about 1e-5 / step.
                let slope = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * f64::from(step));
                let expected: f64 = part.iter().zip(&raw).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let tolerance = 0.01 * norm + 0.005;
                assert!((slope - expected).abs() < tolerance, "{} {path:?}: {slope} against {expected}", parameter.name);
            }
        }
    }
}

#[test]
fn the_kernels_lay_parameters_out_as_the_architecture_does() {
    let mut checked = 0;
    for config in ModelConfig::examples() {
        let Some(shape) = config.arch().fused() else { continue };
        let ours: Vec<_> =
            config.layout().parameters().iter().map(|p| (p.name.clone(), p.range.clone(), p.shape.clone())).collect();
        assert_eq!(shape.layout(), ours);
        checked += 1;
    }
    assert!(checked >= 2, "tied and untied Llamas");
}

#[test]
fn a_batch_without_scored_positions_has_no_gradient() {
    for config in ModelConfig::examples() {
        for path in PATHS {
            let model = stirred(&config, 1);
            let batch = random_batch(&config, 2, 1, 1);
            let loss = NextToken { batch: &batch, skip: 3, weight: 1.0 };
            let mut grad = vec![f32::NAN; model.n_params()];
            let engine = gradient_engine(&config, &runtime(1, path));
            assert_eq!(engine.loss_and_gradient(model.weights(), &batch, &loss, &mut grad).unwrap(), 0.0);
            assert!(grad.iter().all(|g| *g == 0.0));
        }
    }
}

#[test]
fn batches_that_do_not_fit_are_errors() {
    let config = &ModelConfig::examples()[0];
    let model = stirred(config, 1);
    let good = random_batch(config, 2, 4, 1);
    let loss = NextToken { batch: &good, skip: 3, weight: 1.0 };
    let bad = [
        (Batch { rows: 3, ..good.clone() }, "3 rows of 4 tokens with 8 ids"),
        (Batch { ids: vec![0; 49], rows: 1, time: 49 }, "for a context of 48"),
        (Batch { ids: vec![37; 8], ..good.clone() }, "token id 37"),
    ];
    for path in PATHS {
        let engine = gradient_engine(config, &runtime(1, path));
        let mut grad = vec![0.0; model.n_params()];
        for (batch, expected) in &bad {
            let error = engine.loss_and_gradient(model.weights(), batch, &loss, &mut grad).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(engine.loss_and_gradient(&model.weights()[1..], &good, &loss, &mut grad).is_err());
    }
}
