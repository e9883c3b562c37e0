use std::collections::HashMap;
use std::path::Path;

use lm::Model;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Part, Trainable};
use crate::error::DistillError;

/// Format number of saved states; raised when a field appears or changes its meaning.
const FORMAT: u32 = 1;
/// Metadata key under which the header lies; a single key, because safetensors writes several in no fixed order.
const HEADER_KEY: &str = "birthmark_train_state";
const CURVE_COLUMNS: usize = 5;

/// How far a training has come, at one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: u64,
    /// Tokens fed so far, padding left out.
    pub tokens: u64,
    /// Mean loss of this step's batch before the update, nats per scored position.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Norm of the mean gradient before clipping.
    pub gradient_norm: f64,
}

/// Loss by step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// One point per step, in order.
    pub points: Vec<CurvePoint>,
}

impl Curve {
    /// The latest point.
    pub fn last(&self) -> Option<&CurvePoint> {
        self.points.last()
    }

    /// At most `n` (at least 1) points, each at the end of an equally long stretch of steps: loss and gradient norm are means over
    /// the stretch, the rest is that of its last step.
    #[must_use]
    pub fn thinned(&self, n: usize) -> Self {
        let stretch = self.points.len().div_ceil(n.max(1)).max(1);
        let mean = |points: &[CurvePoint], of: fn(&CurvePoint) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let point = |points: &[CurvePoint]| {
            let last = *points.last()?;
            Some(CurvePoint { loss: mean(points, |p| p.loss), gradient_norm: mean(points, |p| p.gradient_norm), ..last })
        };
        Self { points: self.points.chunks(stretch).filter_map(point).collect() }
    }
}

/// Parameters, optimiser moments and history of a training; clone it to branch two trainings off one trunk.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// What is trained, flat: all weights in the model's layout order, or an adapter's pairs in the order of its shape.
    pub params: Vec<f32>,
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Steps done.
    pub step: u64,
    /// Loss by step.
    pub curve: Curve,
    pub(crate) parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    step: u64,
    identity: String,
    sha256: String,
}

impl TrainState {
    /// The start of a training of `trained`: its parameters, moments zero.
    pub fn new(trained: &dyn Trainable) -> Self {
        let params = trained.start();
        let n = params.len();
        Self { params, m: vec![0.0; n], v: vec![0.0; n], step: 0, curve: Curve::default(), parts: trained.parts() }
    }

    /// The model that the present parameters of `trained` make.
    pub fn model(&self, trained: &dyn Trainable) -> Model {
        trained.model(&self.params)
    }

    /// Writes the state as safetensors, atomically. `identity` names the training (for example the hash of its run and inputs);
    /// only a reader that gives the same one gets the state back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path, identity: &str) -> Result<(), DistillError> {
        let curve: Vec<f64> = self
            .curve
            .points
            .iter()
            .flat_map(|p| [p.step as f64, p.tokens as f64, p.loss, p.learning_rate, p.gradient_norm])
            .collect();
        let tensors = [
            ("params", Dtype::F32, self.params.len(), le_bytes(&self.params, f32::to_le_bytes)),
            ("m", Dtype::F32, self.m.len(), le_bytes(&self.m, f32::to_le_bytes)),
            ("v", Dtype::F32, self.v.len(), le_bytes(&self.v, f32::to_le_bytes)),
            ("curve", Dtype::F64, curve.len(), le_bytes(&curve, f64::to_le_bytes)),
        ];
        let header = Header {
            format: FORMAT,
            step: self.step,
            identity: identity.to_string(),
            sha256: digest(tensors.iter().map(|t| &t.3[..])),
        };
        let header = serde_json::to_string(&header).map_err(|e| DistillError::file(path, e.to_string()))?;
        let views = tensors
            .iter()
            .map(|(name, dtype, len, bytes)| Ok((*name, TensorView::new(*dtype, vec![*len], bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let bytes = views
            .and_then(|views| safetensors::serialize(views, Some(HashMap::from([(HEADER_KEY.to_string(), header)]))))
            .map_err(|e| DistillError::file(path, format!("cannot be written as safetensors: {e}")))?;
        Ok(store::write_atomic(path, &bytes)?)
    }

    /// Reads a state that [`save`](Self::save) wrote for a training of `trained` under the same `identity`.
    ///
    /// # Errors
    /// When the file is not there, damaged, of another training, or of another number of parameters.
    pub fn load(path: &Path, trained: &dyn Trainable, identity: &str) -> Result<Self, DistillError> {
        let bytes = std::fs::read(path).map_err(|e| DistillError::io(path, "read the training state", e))?;
        let bad = |what: String| DistillError::file(path, what);
        let damaged = |e: safetensors::SafeTensorError| bad(format!("not a readable training state ({e})"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(HEADER_KEY));
        let header = header.ok_or_else(|| bad(format!("no `{HEADER_KEY}` in its metadata")))?;
        let header: Header = serde_json::from_str(header).map_err(|e| bad(format!("its header does not parse ({e})")))?;
        if header.format != FORMAT {
            return Err(bad(format!("format {} instead of {FORMAT}", header.format)));
        }
        if header.identity != identity {
            return Err(bad(format!("belongs to another training ({} instead of {identity})", header.identity)));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let data = |name: &str, dtype: Dtype| {
            let view = tensors.tensor(name).map_err(damaged)?;
            if view.dtype() == dtype { Ok(view.data()) } else { Err(bad(format!("`{name}` is {:?}", view.dtype()))) }
        };
        let [params, m, v] = [data("params", Dtype::F32)?, data("m", Dtype::F32)?, data("v", Dtype::F32)?];
        let curve = data("curve", Dtype::F64)?;
        if digest([params, m, v, curve].into_iter()) != header.sha256 {
            return Err(bad("its checksum does not fit its content".to_string()));
        }
        let n = trained.n_params();
        if [params, m, v].iter().any(|t| t.len() != 4 * n) {
            return Err(bad(format!("holds {} parameters, there are {n} to train", params.len() / 4)));
        }
        let curve = curve
            .chunks_exact(8 * CURVE_COLUMNS)
            .map(|row| {
                let [step, tokens, loss, learning_rate, gradient_norm] =
                    std::array::from_fn(|i| f64::from_le_bytes(std::array::from_fn(|b| row[8 * i + b])));
                CurvePoint { step: step as u64, tokens: tokens as u64, loss, learning_rate, gradient_norm }
            })
            .collect();
        Ok(Self {
            params: floats(params),
            m: floats(m),
            v: floats(v),
            step: header.step,
            curve: Curve { points: curve },
            parts: trained.parts(),
        })
    }
}

fn le_bytes<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| bytes(v)).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let hashes: Vec<u8> = parts.flat_map(|p| store::hash_bytes(p).hex().into_bytes()).collect();
    store::hash_bytes(&hashes).hex()
}
