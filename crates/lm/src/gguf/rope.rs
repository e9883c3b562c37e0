//! Changed rotary frequencies, as GGUF states them.
//!
//! Linear scaling has keys of its own. Llama 3's is not stated at all: the converter writes, as `rope_freqs.weight`, by how much
//! each frequency is divided, and the parameters are found again from these numbers.

use oracle::ConfigError;
use serde_json::{Value as Json, json};

use super::keys::Keys;
use super::metadata::Value;
use crate::arch::decoder::{Rope, RopeScaling};

/// Name of the tensor that divides frequencies.
pub(super) const FACTORS: &str = "rope_freqs.weight";

/// Largest relative error of a factor that is rounding: the converter computes them in single precision.
const ROUNDING: f64 = 1e-5;

/// `rope_scaling` as in a `config.json`, or null; `factors` are the values of [`FACTORS`].
pub(super) fn scaling(keys: &Keys<'_>, factors: Option<&[f32]>, theta: f64, head_dim: u64) -> Result<Json, ConfigError> {
    let kind = keys.text("rope.scaling.type")?.unwrap_or("linear");
    let factor = match (keys.number("rope.scaling.factor")?, keys.number("rope.scale_linear")?) {
        (Some(factor), _) | (None, Some(factor)) => factor,
        (None, None) => 1.0,
    };
    let context = keys.count("rope.scaling.original_context_length")?;
    // said of how the model came to be, not of what it computes
    keys.get("rope.scaling.finetuned");
    keys.only("rope.scaling.attn_factor", &Value::Single(1.0))?;
    // 0 means none in old files
    let linear = match kind {
        "linear" if factor != 0.0 && factor != 1.0 => Some(factor),
        "none" | "linear" => None,
        _ => {
            let value = Value::Text(kind.into());
            let remedy = "not supported, only \"none\" and \"linear\" are, and Llama 3's by `rope_freqs.weight`";
            return Err(ConfigError::new(keys.full("rope.scaling.type"), value, remedy));
        }
    };
    let divides = |factors: &&[f32]| factors.len() as u64 != head_dim / 2 || factors.iter().any(|factor| *factor != 1.0);
    match (linear, factors.filter(divides)) {
        (None, None) => Ok(Json::Null),
        (Some(factor), None) => Ok(json!({ "rope_type": "linear", "factor": factor })),
        (Some(factor), Some(_)) => {
            let remedy = format!("not supported together with `{FACTORS}`");
            Err(ConfigError::new(keys.full("rope.scaling.factor"), factor, remedy))
        }
        (None, Some(factors)) => llama3(factors, theta, head_dim, context).map(|found| json!(found)).ok_or_else(|| {
            let remedy = "these are not the factors of Llama 3's rotary scaling, the only ones that are read";
            ConfigError::new(FACTORS, format!("a tensor of {}", factors.len()), remedy)
        }),
    }
}

/// Llama 3's scaling that divides frequencies by `factors`. Any that does so computes the same: only the two wavelengths between
/// which it interpolates count, so a low factor of 1 is taken for granted.
fn llama3(factors: &[f32], theta: f64, head_dim: u64, context: Option<u64>) -> Option<RopeScaling> {
    let head_dim = usize::try_from(head_dim).ok()?;
    if factors.len() != head_dim / 2 || !factors.iter().all(|factor| factor.is_finite() && *factor >= 1.0) {
        return None;
    }
    let plain = Rope { theta, width: head_dim, scaling: None }.frequencies();
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max));
    let candidate = |context: u64, high: f64| RopeScaling::Llama3 {
        factor,
        low_freq_factor: 1.0,
        high_freq_factor: high,
        original_max_position_embeddings: usize::try_from(context).unwrap_or(usize::MAX),
    };
    let fits = |scaling: &RopeScaling| {
        let changed = Rope { theta, width: head_dim, scaling: Some(*scaling) }.frequencies();
        let divided = plain.iter().zip(&changed).map(|(plain, changed)| f64::from(*plain) / f64::from(*changed));
        divided.zip(factors).all(|(ours, theirs)| (ours / f64::from(*theirs) - 1.0).abs() <= ROUNDING)
    };
    // every Llama 3 has the first of these; contexts are told by some files
    let usual = [context.unwrap_or(8192), 8192].map(|context| candidate(context, 4.0));
    let fitted = || {
        let (context, high) = interpolation(factors, &plain, factor)?;
        Some(candidate(context, high))
    };
    usual.into_iter().find(|scaling| fits(scaling)).or_else(|| fitted().filter(|scaling| fits(scaling)))
}

/// Context and high factor from the interpolated frequencies: with `share` of the plain frequency kept,
/// `share = (context / wavelength - 1) / (high - 1)`, a line in `1 / wavelength`.
fn interpolation(factors: &[f32], plain: &[f32], factor: f64) -> Option<(u64, f64)> {
    let share = |divisor: f32| (1.0 / f64::from(divisor) - 1.0 / factor) / (1.0 - 1.0 / factor);
    let points = factors.iter().zip(plain).map(|(divisor, w)| (f64::from(*w) / std::f64::consts::TAU, share(*divisor)));
    let between: Vec<(f64, f64)> = points.filter(|(_, share)| *share > 1e-4 && *share < 1.0 - 1e-4).collect();
    let (first, last) = (between.first()?, between.last()?);
    let slope = (first.1 - last.1) / (first.0 - last.0);
    let offset = first.1 - slope * first.0;
    // share = slope x + offset, where slope = context / (high - 1) and offset = -1 / (high - 1)
    let context = (slope / -offset).round();
    let fits = context.is_finite() && (1.0..=1e9).contains(&context) && offset < 0.0;
    fits.then(|| (context as u64, 1.0 - 1.0 / offset))
}
