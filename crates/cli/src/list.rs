//! `birthmark list`: everything registered, read from the registries themselves.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value as Json;

use crate::output::{Output, complain};
use harness::experiment::Experiment;
use harness::grid;

/// What to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// One kind of thing; all kinds without it.
    what: Option<What>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Watermarks, canaries and probes.
    Marks,
    /// Distillation losses.
    Losses,
    /// What an API can show.
    Surfaces,
    /// Model families that can be trained and loaded.
    Architectures,
    /// Experiment files under `experiments/` of the current directory.
    Experiments,
}

#[derive(Serialize)]
struct Entry {
    kind: &'static str,
    name: String,
    /// What it is, then its properties: one line each.
    about: Vec<String>,
}

/// Prints what there is.
pub fn list(args: &ListArgs, out: &mut Output) -> anyhow::Result<()> {
    let all = [What::Marks, What::Losses, What::Surfaces, What::Architectures, What::Experiments];
    for (index, what) in all.into_iter().filter(|what| args.what.is_none_or(|asked| asked == *what)).enumerate() {
        let entries = match what {
            What::Marks => marks(),
            What::Losses => losses(),
            What::Surfaces => choices("surface", "Surface"),
            What::Architectures => choices("architecture", "ArchitectureConfig"),
            What::Experiments => experiments(Path::new(EXPERIMENTS)),
        };
        if args.json {
            entries.iter().try_for_each(|entry| out.json(entry))?;
            if entries.is_empty() && args.what.is_some() {
                complain(&none_here());
            }
            continue;
        }
        if args.what.is_none() {
            let title = what.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
            out.line(&format!("{}{title}", if index > 0 { "\n" } else { "" }))?;
        }
        if entries.is_empty() {
            out.line(&none_here())?;
        }
        let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
        for entry in entries {
            for (line, words) in entry.about.iter().enumerate() {
                let name = if line == 0 { entry.name.as_str() } else { "" };
                out.line(&format!("{name:<width$}  {words}"))?;
            }
        }
    }
    Ok(())
}

/// The folder that experiment files are listed from.
const EXPERIMENTS: &str = "experiments";

/// What is said where there are no experiment files.
fn none_here() -> String {
    let here = std::env::current_dir().map_or_else(|_| ".".into(), |place| place.display().to_string());
    format!(
        "no experiment file below {here}/{EXPERIMENTS}: go to the folder that holds `{EXPERIMENTS}`, or write a file with `birthmark init`"
    )
}

fn marks() -> Vec<Entry> {
    let about = |mark: marks::MarkInfo| Entry {
        kind: "mark",
        name: mark.name.to_string(),
        about: vec![
            mark.summary.to_string(),
            format!(
                "{}, {}; needs {} access; claims {}",
                mark.family.name(),
                if mark.planted { "planted" } else { "intrinsic" },
                mark.needs.name(),
                mark.claim.name()
            ),
            mark.source.to_string(),
        ],
    };
    marks::MarkEntry::list().into_iter().map(about).collect()
}

fn losses() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let about = described("LossConfig");
    for config in distill::LossConfig::examples() {
        let loss = config.build();
        if entries.iter().any(|entry| entry.name == loss.name()) {
            continue;
        }
        let words = about.iter().find(|(name, _)| name == loss.name()).map(|(_, words)| words.clone());
        let mut properties: Vec<String> = words.into_iter().collect();
        properties.push(format!("needs a surface that shows {}", loss.needs().name()));
        properties.push(loss.source().to_string());
        entries.push(Entry { kind: "loss", name: loss.name().to_string(), about: properties });
    }
    entries
}

fn choices(kind: &'static str, definition: &str) -> Vec<Entry> {
    described(definition).into_iter().map(|(name, words)| Entry { kind, name, about: vec![words] }).collect()
}

/// Names and descriptions of the variants of a choice, from the schema of the experiment file.
fn described(definition: &str) -> Vec<(String, String)> {
    let schema = schemars::schema_for!(Experiment);
    let definition = schema.as_value().pointer(&format!("/$defs/{definition}")).cloned().unwrap_or(Json::Null);
    let variants = definition.get("oneOf").and_then(Json::as_array).cloned().unwrap_or_else(|| vec![definition.clone()]);
    let text = |value: &Json| {
        let words = value.get("description").and_then(Json::as_str).unwrap_or("");
        words.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_string()
    };
    let mut found = Vec::new();
    for variant in &variants {
        if let Some(name) = variant.get("const").and_then(Json::as_str) {
            found.push((name.to_string(), text(variant)));
        }
        for (name, inner) in variant.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let keys: Vec<String> =
                inner.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key.clone()).collect();
            let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
            found.push((name.clone(), format!("{}{keys}", text(variant))));
        }
    }
    found
}

/// Experiment files below `folder`, sorted by path; files that do not parse are listed as such.
fn experiments(folder: &Path) -> Vec<Entry> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let about = match grid::read(&file, &[]) {
                Ok(grid) => grid.points.first().map(|point| point.loaded.value.question.clone()).into_iter().collect(),
                Err(_) => vec![format!("not valid: see birthmark check {}", file.display())],
            };
            Entry { kind: "experiment", name: file.display().to_string(), about }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // links are not followed: they may lead in a circle
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_registry_is_listed_with_words() {
        let lists = [marks(), losses(), choices("surface", "Surface"), choices("architecture", "ArchitectureConfig")];
        for entries in &lists {
            assert!(!entries.is_empty());
            for entry in entries {
                assert!(entry.about.iter().all(|words| !words.is_empty()), "{} {}: {:?}", entry.kind, entry.name, entry.about);
            }
        }
        let names: Vec<&str> = lists.iter().flatten().map(|entry| entry.name.as_str()).collect();
        let kinds = ::marks::MarkEntry::KINDS.iter().copied();
        for name in kinds.chain(["sequence_kd", "topk_kl", "text", "top_logprobs", "label", "llama"]) {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert_eq!(json!(lists[2][0])["kind"], "surface");
    }
}
