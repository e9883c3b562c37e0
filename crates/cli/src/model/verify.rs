//! `birthmark model verify`.

use std::path::PathBuf;

use clap::Args;
use lm::{ComputePath, Tolerances};
use serde_json::json;

use super::asked::{ModelArgs, runtime};
use crate::args::{DeviceArgs, ThreadArgs};
use crate::exit::{Deviates, Signals};
use crate::output::Output;

/// Which model against which reference values.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Reference values: a safetensors file with `input_ids` and any of `logits`, `loss`, `grad.NAME`, `greedy`.
    #[arg(long, value_name = "FILE")]
    expected: PathBuf,
    /// Largest difference of a logit.
    #[arg(long, value_name = "X", default_value_t = Tolerances::default().logits, value_parser = tolerance, allow_hyphen_values = true)]
    logits_tolerance: f64,
    /// Largest difference of the mean loss, nats.
    #[arg(long, value_name = "X", default_value_t = Tolerances::default().loss, value_parser = tolerance, allow_hyphen_values = true)]
    loss_tolerance: f64,
    /// Largest norm of the difference of two gradients of a parameter, over the norm of the reference's.
    #[arg(long, value_name = "X", default_value_t = Tolerances::default().gradient, value_parser = tolerance, allow_hyphen_values = true)]
    gradient_tolerance: f64,
    /// Compute by plain tensor operations even where there are fused kernels.
    #[arg(long)]
    generic: bool,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object per tensor.
    #[arg(long)]
    json: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0).ok_or_else(|| "a number above 0".to_string())
}

/// Prints the worst deviation of every tensor of the reference.
pub fn verify(args: &VerifyArgs, signals: &Signals, out: &mut Output) -> anyhow::Result<()> {
    let path = if args.generic { ComputePath::Generic } else { ComputePath::Fused };
    let rt = runtime(path, &args.threads, &args.device, signals)?;
    let model = args.model.find(signals)?.load()?;
    let tolerances = Tolerances { logits: args.logits_tolerance, loss: args.loss_tolerance, gradient: args.gradient_tolerance };
    let deviations = lm::verify(&model, &args.expected, &tolerances, &rt)?;
    for deviation in &deviations {
        let verdict = if deviation.is_rounding() { "ok" } else { "DEVIATES" };
        if args.json {
            out.json(&json!({
                "tensor": deviation.tensor,
                "worst": deviation.worst.is_finite().then_some(deviation.worst),
                "tolerance": deviation.tolerance,
                "ok": deviation.is_rounding(),
                "place": deviation.place,
            }))?;
        } else {
            let (tensor, worst, most) = (&deviation.tensor, deviation.worst, deviation.tolerance);
            let place = if deviation.place.is_empty() { String::new() } else { format!("   {}", deviation.place) };
            out.line(&format!("{verdict:<9} {tensor:<56} {worst:>9.2e} of {most:.0e}{place}"))?;
        }
    }
    let over: Vec<_> = deviations.iter().filter(|deviation| !deviation.is_rounding()).collect();
    let Some(first) = over.first() else { return Ok(()) };
    let (count, all) = (over.len(), deviations.len());
    Err(Deviates(format!(
        "{}: {count} of {all} tensors deviate from {} by more than rounding, first `{}`: this model is not computed as the reference \
         computes it",
        args.model.typed(),
        args.expected.display(),
        first.tensor
    ))
    .into())
}
