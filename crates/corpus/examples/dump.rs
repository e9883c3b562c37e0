//! Writes documents of a grammar to standard output, one a line, so that a spec can be read and measured by other programs:
//! `cargo run -p corpus --example dump -- datasets/quickstart.toml train 1000 1` (spec; train, held_out, prompts or tasks;
//! count; seed). How surprising the documents' choices were goes to standard error.

use corpus::{GrammarSpec, Split, TaskKind, Texts, grammar};
use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, split, count, seed] = &args[..] else { return Err("give SPEC SPLIT COUNT SEED".into()) };
    let spec: GrammarSpec = toml::from_str(&std::fs::read_to_string(path)?)?;
    let texts = grammar(&spec, seed.parse()?)?;
    let count: u64 = count.parse()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let split = match split.as_str() {
        "train" => Split::Train,
        "held_out" => Split::HeldOut,
        "prompts" => Split::Prompts,
        "tasks" => {
            for kind in TaskKind::ALL {
                for task in (0..count).filter_map(|index| texts.task(kind, Split::Tasks, index)) {
                    writeln!(out, "{kind:?}\t{}\t{}", task.prompt, task.expected)?;
                }
            }
            return Ok(());
        }
        other => return Err(format!("unknown split {other}: name train, held_out, prompts or tasks").into()),
    };
    let mut nats = 0.0;
    for index in 0..count {
        writeln!(out, "{}", texts.document(split, index))?;
        nats += texts.choice_nats(split, index);
    }
    writeln!(std::io::stderr(), "{}; {:.3} nats per document", texts.describe(), nats / count as f64)?;
    Ok(())
}
