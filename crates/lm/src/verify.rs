//! Whether a model is read right: our numbers beside those of a reference implementation.

use std::path::Path;
use std::sync::Mutex;

use kernels::RowLoss;
use oracle::Query;

use crate::arch::{Arch, ModelConfig, Parameter};
use crate::generate::generate;
use crate::gradient::{Batch, gradient_engine};
use crate::laws::{Row, for_each_law};
use crate::model::Model;
use crate::processing::Processing;
use crate::read::LoadError;
use crate::reference::{Reference, Tensor};
use crate::runtime::{RunError, Runtime};
use crate::score::log_probability;

/// Largest deviations that are rounding: other implementations add up the same products in another order, in `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// Of a logit, over the largest magnitude of any in the reference.
    pub logits: f64,
    /// Of the mean loss, absolute, in nats.
    pub loss: f64,
    /// Of a parameter's gradient: norm of the difference over the norm.
    pub gradient: f64,
}

/// Half a unit in the last place of an `f32` of 1: what one operation loses.
const LOST: f64 = 1.0 / (1 << 24) as f64;
/// How many times what is lost once in every layer, were the losses independent, two implementations may lie apart.
const APART: f64 = 48.0;

impl Tolerances {
    /// Of the mean loss.
    pub const LOSS: f64 = 1e-5;
    /// Of gradients.
    pub const GRADIENT: f64 = 1e-3;

    /// The usual ones for a model: its logits may differ by what `f32` loses in as many layers as it has, which adds up like the steps
    /// of a random walk. (SmolLM2-135M, 30 layers, logits up to 40: PyTorch's `f32` lies 9e-5 from `f64`, of 6e-4 that are allowed.)
    pub fn of(config: &ModelConfig) -> Self {
        let layers = config.arch().decoder().blocks.len();
        Self { logits: APART * LOST * ((layers + 1) as f64).sqrt(), loss: Self::LOSS, gradient: Self::GRADIENT }
    }
}

/// The gradient of a parameter without slope is rounding alone, and is not asked to agree better than this part of the norm of
/// the whole gradient.
const ROUNDING: f64 = 1e-7;

/// How far one tensor of a reference lies from ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// Name of the tensor in the reference.
    pub tensor: String,
    /// The largest deviation found, in the unit of its tolerance; for `greedy` the number of tokens that differ.
    pub worst: f64,
    /// The largest that is rounding.
    pub tolerance: f64,
    /// Where the worst is, in words; empty for a single number.
    pub place: String,
}

impl Deviation {
    /// Whether this is rounding.
    pub fn is_rounding(&self) -> bool {
        self.worst <= self.tolerance
    }
}

/// Holds `model` against the reference values in the safetensors file at `expected`: `input_ids` (rows, time), and any of
/// `logits` (rows, time, vocab), `loss` (mean cross-entropy of each row's tokens after its first), `grad.NAME` of that loss for
/// parameter NAME, and `greedy` (1, n): a beginning of the first row and its arg-max continuation, in which an end token may
/// stand anywhere.
///
/// # Errors
/// When the file is not such a reference, its shapes do not fit the model, or a computation fails.
pub fn verify(model: &Model, expected: &Path, tolerances: &Tolerances, rt: &Runtime) -> anyhow::Result<Vec<Deviation>> {
    let reference = Reference::open(expected)?;
    let ids = reference.ids("input_ids")?;
    let [rows, time] = ids.shape[..] else { return Err(reference.bad("input_ids", "is not (rows, time)").into()) };
    let batch = Batch { ids: ids.values, rows, time };
    let mut deviations = Vec::new();
    if reference.has("logits") {
        let theirs = reference.floats("logits")?;
        deviations.push(logits(model, &batch, &theirs, tolerances, &reference, rt)?);
    }
    let gradients: Vec<&str> = reference.names().filter_map(|name| name.strip_prefix("grad.")).collect();
    if reference.has("loss") || !gradients.is_empty() {
        let (loss, gradient) = loss_and_gradient(model, &batch, rt)?;
        if reference.has("loss") {
            let theirs = reference.floats("loss")?;
            let [theirs] = theirs.values[..] else { return Err(reference.bad("loss", "is not a single number").into()) };
            let worst = (loss - f64::from(theirs)).abs();
            let place = format!("ours {loss:.6}, theirs {theirs:.6}");
            deviations.push(Deviation { tensor: "loss".into(), worst, tolerance: tolerances.loss, place });
        }
        let whole = norm(gradient.iter().copied());
        for name in gradients {
            let parameter = parameter_of(model, name)
                .ok_or_else(|| reference.bad(&format!("grad.{name}"), "is of no parameter that the model has"))?;
            let theirs = reference.floats(&format!("grad.{name}"))?;
            let ours = &gradient[parameter.range.clone()];
            deviations.push(gradient_deviation(name, parameter, ours, &theirs, whole, tolerances, &reference)?);
        }
    }
    if reference.has("greedy") {
        deviations.push(greedy(model, &batch, &reference, rt)?);
    }
    if deviations.is_empty() {
        return Err(reference
            .bad("logits", "is missing, and so are `loss`, `greedy` and every `grad.NAME`: nothing to compare")
            .into());
    }
    Ok(deviations)
}

/// The parameter that the reference calls `name`.
fn parameter_of<'a>(model: &'a Model, name: &str) -> Option<&'a Parameter> {
    let arch: &dyn Arch = model.config().arch();
    model.layout().get(arch.renamed(name).unwrap_or(name))
}

fn logits(
    model: &Model,
    batch: &Batch,
    theirs: &Tensor<f32>,
    tolerances: &Tolerances,
    reference: &Reference,
    rt: &Runtime,
) -> anyhow::Result<Deviation> {
    let vocab = model.vocab_size();
    if theirs.shape != [batch.rows, batch.time, vocab] {
        let why =
            format!("has shape {:?}, but input_ids and the model ask for {:?}", theirs.shape, [batch.rows, batch.time, vocab]);
        return Err(reference.bad("logits", &why).into());
    }
    let largest = theirs.values.iter().map(|x| f64::from(x.abs())).filter(|x| x.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let rows: Vec<Row<'_>> = batch.ids.chunks(batch.time).map(|ids| Row { ids, laws: 1..batch.time + 1 }).collect();
    let worst = Mutex::new((0.0, (0, 0, 0)));
    for_each_law(model, &rows, rt, &|row, i, law| {
        let start = (row * batch.time + i - 1) * vocab;
        let differences = law.iter().zip(&theirs.values[start..]).map(|(a, b)| difference(*a, *b)).enumerate();
        if let Some((token, far)) = differences.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
            let mut worst = worst.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if far > worst.0 {
                *worst = (far, (row, i - 1, token));
            }
        }
    })?;
    let (worst, (row, position, token)) = worst.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = format!("row {row}, position {position}, token id {token}");
    Ok(Deviation { tensor: "logits".into(), worst: worst / largest, tolerance: tolerances.logits, place })
}

/// Absolute difference; infinite where one of the two is no number.
fn difference(a: f32, b: f32) -> f64 {
    let far = (f64::from(a) - f64::from(b)).abs();
    if far.is_nan() { f64::INFINITY } else { far }
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

fn loss_and_gradient(model: &Model, batch: &Batch, rt: &Runtime) -> Result<(f64, Vec<f32>), RunError> {
    let mut gradient = vec![0.0; model.n_params()];
    let engine = gradient_engine(model.config(), rt);
    let scored = batch.rows * batch.time.saturating_sub(1);
    let loss = MeanCrossEntropy { batch, scored: scored as f64 };
    let mean = rt.pool.install(|| engine.loss_and_gradient(model.weights(), batch, &loss, &mut gradient))?;
    Ok((mean, gradient))
}

/// Cross-entropy with the next token of the row, over the number of them.
struct MeanCrossEntropy<'a> {
    batch: &'a Batch,
    scored: f64,
}

impl RowLoss for MeanCrossEntropy<'_> {
    fn scored(&self, position: usize) -> bool {
        position % self.batch.time + 1 < self.batch.time
    }

    fn loss_and_gradient(&self, position: usize, logits: &mut [f32]) -> f64 {
        let target = self.batch.ids[position + 1];
        let nats = -log_probability(logits, target);
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| libm::exp(f64::from(x - max))).sum();
        for (id, logit) in logits.iter_mut().enumerate() {
            let hit = if id == target as usize { 1.0 } else { 0.0 };
            *logit = ((libm::exp(f64::from(*logit - max)) / sum - hit) / self.scored) as f32;
        }
        nats / self.scored
    }
}

fn gradient_deviation(
    name: &str,
    parameter: &Parameter,
    ours: &[f32],
    theirs: &Tensor<f32>,
    whole: f64,
    tolerances: &Tolerances,
    reference: &Reference,
) -> Result<Deviation, LoadError> {
    let tensor = format!("grad.{name}");
    if theirs.shape != parameter.shape {
        let why = format!("has shape {:?}, but the parameter has {:?}", theirs.shape, parameter.shape);
        return Err(reference.bad(&tensor, &why));
    }
    let far = norm(ours.iter().zip(&theirs.values).map(|(a, b)| a - b));
    let size = norm(theirs.values.iter().copied()).max(ROUNDING * whole / tolerances.gradient).max(f64::MIN_POSITIVE);
    let worst = if far.is_nan() { f64::INFINITY } else { far / size };
    Ok(Deviation { tensor, worst, tolerance: tolerances.gradient, place: format!("norm {size:.3e}") })
}

/// The longest beginning of `greedy` that the first row has too is the prompt.
fn greedy(model: &Model, batch: &Batch, reference: &Reference, rt: &Runtime) -> anyhow::Result<Deviation> {
    let Tensor { shape, values: theirs } = reference.ids("greedy")?;
    if shape.len() > 1 && shape[0] != 1 {
        return Err(reference.bad("greedy", "has more than one row").into());
    }
    let prompt = theirs.iter().zip(&batch.ids[..batch.time]).take_while(|(a, b)| a == b).count();
    if prompt == 0 {
        return Err(reference.bad("greedy", "does not begin as the first row of input_ids does").into());
    }
    // the reference goes on after an end token, so it is asked for one token at a time after each beginning
    let query = |length: usize| Query::greedy(length as u64, theirs[..length].to_vec(), 1);
    let queries: Vec<Query> = (prompt..theirs.len()).map(query).collect();
    let mut wrong = Vec::new();
    for exchange in generate(model, &queries, Processing::none(), rt, &|_| {})? {
        let at = exchange.query.prompt.len();
        if exchange.answer.first() != Some(&theirs[at]) {
            wrong.push(at);
        }
    }
    let place = wrong.first().map(|at| format!("first at token {at}")).unwrap_or_default();
    Ok(Deviation { tensor: "greedy".into(), worst: wrong.len() as f64, tolerance: 0.0, place })
}
