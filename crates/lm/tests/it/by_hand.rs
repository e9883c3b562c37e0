//! What stays by hand computes what candle-nn does: the optimiser, and the loss against one token.

use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use kernels::adamw;
use lm::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{random_ids, unit};

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| unit(&mut rng)).collect()
}

#[test]
fn the_optimiser_takes_the_steps_of_candle_nn() {
    const N: usize = 101;
    let (device, start) = (Device::cpu(), numbers(N, 1));
    let params = ParamsAdamW { lr: 0.03, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let config = adamw::AdamW { lr: 0.03, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let var = Var::from_slice(&start, N, device.candle()).unwrap();
    let mut theirs = AdamW::new(vec![var.clone()], params).unwrap();
    let (mut ours, mut m, mut v) = (start, vec![0.0; N], vec![0.0; N]);
    for step in 1..=20 {
        let gradient = numbers(N, 1 + step);
        adamw::step(&mut ours, &gradient, &mut m, &mut v, &config, step, 1.0);
        // a loss with this gradient
        let slope = Tensor::from_slice(&gradient, N, device.candle()).unwrap();
        theirs.backward_step(&(var.as_tensor() * slope).unwrap().sum_all().unwrap()).unwrap();
        for (a, b) in ours.iter().zip(var.to_vec1::<f32>().unwrap()) {
            assert!((a - b).abs() < 2e-6 * step as f32, "step {step}: {a} against {b}");
        }
    }
}

#[test]
fn the_loss_against_one_token_is_that_of_candle_nn_with_its_gradient() {
    const ROWS: usize = 7;
    const VOCAB: usize = 53;
    let device = Device::cpu();
    let logits: Vec<f32> = numbers(ROWS * VOCAB, 5).iter().map(|x| 6.0 * x).collect();
    let targets = random_ids(ROWS, VOCAB, 6);
    let var = Var::from_slice(&logits, (ROWS, VOCAB), device.candle()).unwrap();
    let theirs = candle_nn::loss::cross_entropy(&var, &Tensor::from_slice(&targets, ROWS, device.candle()).unwrap()).unwrap();
    let slopes = theirs.backward().unwrap().get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut ours = logits;
    let rows = ours.chunks_exact_mut(VOCAB).zip(&targets);
    // theirs is the mean over the rows
    let sum: f64 = rows.map(|(row, target)| kernels::rowloss::cross_entropy(row, *target, 1.0 / ROWS as f32)).sum();
    assert!((sum - f64::from(theirs.to_scalar::<f32>().unwrap())).abs() < 1e-5, "{sum} against {theirs}");
    for (a, b) in ours.iter().zip(&slopes) {
        assert!((a - b).abs() < 1e-6, "{a} against {b}");
    }
}
