//! `birthmark calibrate`: whether a detector's p-values and thresholds are what they say.

mod columns;
mod labels;
mod parts;
mod power;
mod registry;

use std::path::PathBuf;

use clap::Args;
use results::{PValueSeries, calibration_figure, calibration_table};
use serde_json::json;
use stats::calibration::{Calibration, Claimed};

use self::columns::{Columns, read};
use self::labels::Labels;
use self::registry::Wanted;
use crate::args::ThreadArgs;
use crate::exit::{DEVIATES, Found, UsageError};
use crate::output::{Output, complain};

/// Whose output, and what is claimed of it.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// A detector's output, comma-separated: a line of names, then a line for each text.
    #[arg(long, value_name = "FILE", required_unless_present = "marks")]
    csv: Option<PathBuf>,
    /// The column of the score.
    #[arg(long, value_name = "COLUMN", required_unless_present = "marks")]
    score: Option<String>,
    /// The column of the p-value; without it only a threshold can be judged.
    #[arg(long, value_name = "COLUMN")]
    p: Option<String>,
    /// The column that says which texts are known to be unmarked (0, false, no, unmarked, human, clean, plain, negative) and which are
    /// marked (1, true, yes, marked, generated, watermarked, machine, positive).
    #[arg(long, value_name = "COLUMN", required_unless_present = "marks")]
    label: Option<String>,
    /// The value of that column that says unmarked; every other then says marked.
    #[arg(long, value_name = "VALUE")]
    unmarked: Option<String>,
    /// Smaller scores are more marked.
    #[arg(long)]
    lower_is_marked: bool,
    /// A threshold in use: a text is called marked whose score reaches it.
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    /// The false-positive rate that is claimed for the threshold, for example 0.01.
    #[arg(long, value_name = "RATE", requires = "threshold", value_parser = share)]
    nominal: Option<f64>,
    /// The chance of refuting anything where all claims are true, at most.
    #[arg(long, value_name = "CHANCE", default_value_t = 0.01, value_parser = share)]
    error: f64,
    /// Instead of a file: every mark that this build knows, under keys that nobody planted, on toy texts that nobody marked.
    #[arg(long, conflicts_with_all = ["csv", "score", "p", "label", "unmarked", "lower_is_marked", "threshold", "nominal"])]
    marks: bool,
    /// Only marks of this kind, as `birthmark list marks` names it; may be given several times.
    #[arg(long, value_name = "NAME", requires = "marks")]
    kind: Vec<String>,
    /// Tests of each mark on each kind of text; of ranks among decoys a tenth. With --out, a run that was stopped goes on where it was.
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "marks", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    draws: u64,
    /// Toy models that carry each mark, and as many that carry half of it: in how many it is found. 0 tries none.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "marks", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    marked: u64,
    /// Write calibration.json there (of marks, marks.csv and power.csv) and, of p-values, the plot of observed against nominal rates (SVG, PNG, PDF).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Print one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// A number between 0 and 1, neither of them.
fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(|| "write a number between 0 and 1".to_string())
}

/// Judges a detector and says what was found; exit code 100 when a claim is refuted.
pub fn calibrate(args: &CalibrateArgs, out: &mut Output) -> anyhow::Result<()> {
    if args.marks {
        let &CalibrateArgs { draws, marked, error, json, .. } = args;
        let (kinds, threads, directory) = (&args.kind[..], args.threads.count(), args.out.as_deref());
        return registry::calibrate(&Wanted { draws, kinds, threads, marked, error, directory, json }, out);
    }
    let (Some(csv), Some(score), Some(label)) = (&args.csv, &args.score, &args.label) else {
        return Err(UsageError("give --csv, --score and --label, or --marks".into()).into());
    };
    let columns = Columns {
        score,
        lower_is_marked: args.lower_is_marked,
        p: args.p.as_deref(),
        label,
        labels: args.unmarked.as_deref().map_or(Labels::Words, Labels::Unmarked),
    };
    if args.threshold.is_some_and(f64::is_nan) {
        return Err(UsageError("--threshold NaN: write a number".into()).into());
    }
    let texts = read(csv, &columns)?;
    let sign = if args.lower_is_marked { -1.0 } else { 1.0 };
    let claimed = Claimed { threshold: args.threshold.map(|threshold| sign * threshold), nominal: args.nominal };
    let found = Calibration::of(&texts.unmarked, &texts.marked, claimed, args.error);
    let found = found.ok_or_else(|| UsageError(format!("--csv {}: no unmarked text", csv.display())))?;
    if found.separation.as_ref().is_some_and(|separation| separation.auroc < 0.5) {
        let turn = if args.lower_is_marked { "without --lower-is-marked" } else { "--lower-is-marked" };
        complain(&format!("note: marked texts score below unmarked ones; if `{score}` runs the other way, say so: {turn}"));
    }
    let line = json!({
        "csv": csv.display().to_string(),
        "score": score,
        "p": args.p,
        "label": label,
        "lower_is_marked": args.lower_is_marked,
        "calibration": as_written(&found, sign),
    });
    let mut files = Vec::new();
    if let Some(directory) = &args.out {
        let json = directory.join("calibration.json");
        store::write_atomic(&json, format!("{line:#}\n").as_bytes())?;
        files.push(json);
        if args.p.is_some() {
            let series = PValueSeries { name: score.clone(), p: texts.unmarked.p.clone() };
            let title = format!("{}: p-values of texts known to be unmarked", args.p.as_deref().unwrap_or_default());
            let texts = format!("{} unmarked texts", found.unmarked);
            files.extend(calibration_figure(&[series], &title, &texts)?.write(directory, "calibration")?);
        }
    }
    if args.json {
        out.json(&line)?;
    } else {
        out.line(&format!("{}: {} unmarked and {} marked texts\n", csv.display(), found.unmarked, found.marked))?;
        out.line(&calibration_table(&as_written(&found, sign), args.lower_is_marked, Some(120)))?;
        for (at, file) in files.iter().enumerate() {
            out.line(&format!("{}written: {}", if at == 0 { "\n" } else { "" }, file.display()))?;
        }
    }
    out.flush()?;
    if found.refuted { Err(Found { code: DEVIATES, text: String::new() }.into()) } else { Ok(()) }
}

/// With thresholds as the file has its scores.
fn as_written(found: &Calibration, sign: f64) -> Calibration {
    let mut found = found.clone();
    if let Some(threshold) = &mut found.threshold {
        threshold.threshold *= sign;
    }
    for safe in &mut found.safe {
        safe.beyond = safe.beyond.map(|beyond| sign * beyond);
    }
    found
}
