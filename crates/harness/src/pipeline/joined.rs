//! Several results directories as one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use results::{Caption, LossSeries, Part, RESULT_AXIS, Record, Together};
use serde_json::Value;

use super::inputs::{self, PointInputs, ReportInputs};
use super::seal::Seal;
use crate::exit::UsageError;
use crate::stages::load_json;

/// Keys of a resolved experiment that only say how much of it was run, or what was hoped for.
const HOW_MUCH: [&str; 8] = ["name", "question", "hypothesis", "seeds", "budgets", "channels", "marks_apart", "expect"];

/// What the report of several results directories is made from.
///
/// # Errors
/// As [`UsageError`] when one is not a results directory, or they do not go together.
pub(super) fn read(directories: &[PathBuf]) -> anyhow::Result<(Vec<Record>, ReportInputs, Seal)> {
    let (mut parts, mut all, mut seal) = (Vec::new(), Vec::new(), Seal::Whole);
    for directory in directories {
        let (records, inputs, own) = inputs::read(directory)?;
        // one that was changed says more than one that tells nothing
        if own == Seal::Broken || seal == Seal::Whole {
            seal = own;
        }
        if records.iter().any(|record| record.source.is_some()) {
            let remedy = "name the results directories that it was joined from";
            return Err(UsageError(format!("{}: it is a joined report itself; {remedy}", directory.display())).into());
        }
        let name = name(directory, &records, &parts);
        parts.push(Part { name, worlds: worlds(directory, &records, &inputs), records });
        all.push(inputs);
    }
    for (part, inputs) in parts.iter().zip(&all).skip(1) {
        if inputs.alpha != all[0].alpha {
            let (first, second) = (&parts[0].name, &part.name);
            let what = format!("alpha is {} there, {} here; report them apart", all[0].alpha, inputs.alpha);
            return Err(UsageError(format!("{first} and {second} do not go together: {what}")).into());
        }
    }
    let together = results::join(&parts).map_err(|error| UsageError(error.to_string()))?;
    let inputs = inputs_of(directories, &parts, &all, &together);
    Ok((together.records, inputs, seal))
}

/// Refuses to write over what a run wrote, or over what is read.
///
/// # Errors
/// As [`UsageError`] naming the directory.
pub(super) fn refuse_results(out: &Path, directories: &[PathBuf]) -> Result<(), UsageError> {
    let is_read = directories.iter().any(|directory| match (directory.canonicalize(), out.canonicalize()) {
        (Ok(directory), Ok(out)) => directory == out,
        _ => false,
    });
    if is_read || out.join("manifest.json").exists() {
        let what = "results of a run are there, which a report may not take the place of; name another directory";
        return Err(UsageError(format!("--out {}: {what}", out.display())));
    }
    Ok(())
}

/// `experiment/directory`, with a number where an earlier part has that name.
fn name(directory: &Path, records: &[Record], earlier: &[Part]) -> String {
    let place = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    let place = place.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    let name = match records.first() {
        Some(record) => format!("{}/{place}", record.experiment),
        None => place,
    };
    let taken = |name: &str| earlier.iter().any(|part| part.name == name);
    let numbered = (2..).map(|n| format!("{name} ({n})"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
}

/// What each experiment of a directory is, whatever of it was run there; nothing where its file is not there.
fn worlds(directory: &Path, records: &[Record], inputs: &ReportInputs) -> BTreeMap<String, String> {
    let Ok(said) = load_json::<Value>(&directory.join("experiment.json")) else { return BTreeMap::new() };
    let world = |experiment: &Value| {
        let mut parts = experiment.as_object()?.clone();
        HOW_MUCH.iter().for_each(|key| drop(parts.remove(*key)));
        Some(store::hash_json(&parts).ok()?.hex())
    };
    let Some(points) = said.get("points").and_then(Value::as_array) else {
        return records.first().and_then(|record| Some((record.experiment_hash.clone(), world(&said)?))).into_iter().collect();
    };
    let of_point = |point: &Value| {
        let axes: BTreeMap<String, String> = serde_json::from_value(point.get("axes")?.clone()).ok()?;
        let known = inputs.points.iter().find(|known| known.axes == axes)?;
        Some((known.hash.clone(), world(point.get("experiment")?)?))
    };
    points.iter().filter_map(of_point).collect()
}

fn inputs_of(directories: &[PathBuf], parts: &[Part], all: &[ReportInputs], together: &Together) -> ReportInputs {
    let mut points: Vec<PointInputs> = Vec::new();
    for (number, (part, inputs)) in parts.iter().zip(all).enumerate() {
        let hash = part.records.first().map(|record| record.experiment_hash.clone()).unwrap_or_default();
        let whole = PointInputs { hash, axes: BTreeMap::new(), curves: inputs.curves.clone(), samples: inputs.samples.clone() };
        let own = if inputs.points.is_empty() { vec![whole] } else { inputs.points.clone() };
        for point in own {
            let Some(place) = together.joined.get(&(number, point.hash.clone())) else { continue };
            let curves = point.curves.into_iter().map(|curve| LossSeries { axes: place.axes.clone(), ..curve });
            match points.iter_mut().find(|known| known.hash == place.experiment_hash) {
                Some(known) => {
                    let new: Vec<LossSeries> = curves.filter(|curve| !known.curves.contains(curve)).collect();
                    known.curves.extend(new);
                }
                None => points.push(PointInputs {
                    hash: place.experiment_hash.clone(),
                    axes: place.axes.clone(),
                    curves: curves.collect(),
                    samples: point.samples,
                }),
            }
        }
    }
    let names = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
    let one = |of: fn(&Caption) -> &String, several: String| {
        let first = of(&all[0].caption);
        if all.iter().all(|inputs| of(&inputs.caption) == first) { first.clone() } else { several }
    };
    let apart = points.iter().any(|point| point.axes.contains_key(RESULT_AXIS));
    let by = if apart { format!("by {RESULT_AXIS}") } else { "by point".to_string() };
    let caption = Caption {
        title: one(|caption| &caption.title, format!("{names} together")),
        compute: one(|caption| &caption.compute, by.clone()),
        audit: one(|caption| &caption.audit, by),
        statistics: format!("from {names}; {}", all[0].caption.statistics),
    };
    let source = |(number, part): (usize, &Part)| {
        let again = match together.counted_before[number] {
            0 => String::new(),
            n => format!(", {n} of them there already and counted once"),
        };
        format!("{}: {} records in {}{again}", part.name, part.records.len(), directories[number].display())
    };
    ReportInputs {
        alpha: all[0].alpha,
        caption,
        // conditions are each experiment's own
        expect: BTreeMap::new(),
        curves: Vec::new(),
        samples: Vec::new(),
        points,
        sources: parts.iter().enumerate().map(source).collect(),
        elsewhere: None,
    }
}
