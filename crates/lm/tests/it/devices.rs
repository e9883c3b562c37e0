//! Every device that this build opens computes what the fused kernels compute, over the registry: laws, loss, gradients and
//! greedy answers. With the feature of a device and the device at hand that is it and the CPU, otherwise the CPU alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lm::{
    Batch, ComputePath, Device, DeviceName, Model, ModelConfig, Processing, Row, Runtime, for_each_law, generate, gradient_engine,
};
use oracle::Sampling;

use crate::support::{NextToken, queries, random_batch, relative_distance, runtime, stirred};

/// Largest difference of two logits of a position, relative to its largest. A GPU adds up in yet another order.
const LOGITS: f32 = 2e-5;
/// Norm of the difference of two whole gradients, relative to that of one. TF32 would miss it by a factor of ten.
const GRADIENT: f32 = 1e-4;

fn devices() -> Vec<Device> {
    let opened = [DeviceName::Cpu, DeviceName::Cuda(None), DeviceName::Metal].map(|name| match Device::open(name) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: {name}: {error}");
            None
        }
    });
    opened.into_iter().flatten().collect()
}

/// The CPU's fused kernels, and the generic path of every device, each with more workers than one.
fn runtimes() -> (Runtime, Vec<Runtime>) {
    let generic = devices().into_iter().map(|device| runtime(3, ComputePath::Generic).with_device(device));
    (runtime(2, ComputePath::Fused), generic.collect())
}

fn laws(model: &Model, batch: &Batch, rt: &Runtime) -> BTreeMap<(usize, usize), Vec<f32>> {
    let rows: Vec<Row<'_>> = batch.ids.chunks(batch.time).map(|ids| Row { ids, laws: 1..batch.time + 1 }).collect();
    let found = Mutex::new(BTreeMap::new());
    for_each_law(model, &rows, rt, &|row, i, logits| {
        found.lock().unwrap().insert((row, i), logits.to_vec());
    })
    .unwrap();
    found.into_inner().unwrap()
}

fn gradient(model: &Model, batch: &Batch, rt: &Runtime) -> (f64, Vec<f32>) {
    let mut gradient = vec![f32::NAN; model.n_params()];
    let loss = NextToken { batch, skip: 1, weight: 1.0 };
    let sum = gradient_engine(model.config(), rt).loss_and_gradient(model.weights(), batch, &loss, &mut gradient).unwrap();
    (sum, gradient)
}

#[test]
fn laws_and_gradients_are_the_same_on_every_device() {
    let (fused, devices) = runtimes();
    for (i, config) in ModelConfig::examples().into_iter().enumerate() {
        let (model, batch) = (stirred(&config, 60 + i as u64), random_batch(&config, 5, 9, i as u64));
        let (wanted, (loss, slopes)) = (laws(&model, &batch, &fused), gradient(&model, &batch, &fused));
        for rt in &devices {
            let name = format!("{} ({i}) on {}", config.model_type(), rt.device.name());
            let found = laws(&model, &batch, rt);
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (at, law) in &found {
                let far = relative_distance(law, &wanted[at]);
                assert!(far <= LOGITS, "{name}: logits at {at:?} differ by {far:.1e}");
            }
            let (ours, ourslopes) = gradient(&model, &batch, rt);
            assert!((ours - loss).abs() <= 1e-5 * loss.abs(), "{name}: loss {ours}, {loss}");
            let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
            let differences: Vec<f32> = ourslopes.iter().zip(&slopes).map(|(a, b)| a - b).collect();
            let far = norm(&differences) / norm(&slopes);
            assert!(far <= GRADIENT, "{name}: gradients differ by {far:.1e}");
        }
    }
}

#[test]
fn a_device_repeats_its_own_bits_and_answers_greedily_as_the_others_do() {
    let (fused, devices) = runtimes();
    for (i, config) in ModelConfig::examples().into_iter().enumerate() {
        let model = stirred(&config, 80 + i as u64);
        let (asked, batch) = (queries(&config, 20, 12, Sampling::GREEDY), random_batch(&config, 4, 8, 7));
        let wanted = generate(&model, &asked, Processing::none(), &fused, &|_| {}).unwrap();
        for rt in &devices {
            let name = format!("{} ({i}) on {}", config.model_type(), rt.device.name());
            assert!(generate(&model, &asked, Processing::none(), rt, &|_| {}).unwrap() == wanted, "{name}: greedy answers");
            let drawn = queries(&config, 20, 12, Sampling::PLAIN);
            let [once, again] = [(); 2].map(|()| generate(&model, &drawn, Processing::none(), rt, &|_| {}).unwrap());
            assert!(once == again && laws(&model, &batch, rt) == laws(&model, &batch, rt), "{name}: laws and draws");
            assert!(gradient(&model, &batch, rt) == gradient(&model, &batch, rt), "{name}: gradients");
        }
    }
}
