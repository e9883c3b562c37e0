//! `birthmark report`: records in, summary, figures and table out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use harness::pipeline::{self, ReportJob, TABLE};
use results::TableFormat;

use crate::output::{Output, complain};

/// Results directories, and the form of the table.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results directory of a run or an audit, for example results/quickstart/1a2b3c4d. Of several runs, one report is made of all:
    /// parts of one experiment (other seeds, budgets or surfaces) become one, others stand beside each other, and what is in several is
    /// counted once.
    #[arg(required = true, value_name = "DIRECTORY")]
    directories: Vec<PathBuf>,
    /// Write summary, figures and table there instead of beside the records; several directories need it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Headline of the figures instead of the experiment's question, or of the names of several results.
    #[arg(long, value_name = "TEXT", requires = "out")]
    title: Option<String>,
    /// How the table is printed. Markdown and LaTeX are for papers (LaTeX without any package), CSV holds the table of marks as numbers.
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    format: Format,
    /// One JSON object per line instead of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Latex,
    Csv,
}

/// Makes summary, figures and table again, and prints the table.
pub fn report(args: &ReportArgs, out: &mut Output) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Text => TABLE,
        Format::Markdown => TableFormat::Markdown,
        Format::Latex => TableFormat::Latex,
        Format::Csv => TableFormat::Csv,
    };
    let job = ReportJob { directories: &args.directories, out: args.out.as_deref(), title: args.title.as_deref(), format };
    let outcome = pipeline::report(&job)?;
    if let Some(words) = outcome.seal.words() {
        complain(&format!("note: {words}"));
    }
    match args.format {
        Format::Text => super::run::print(&outcome, args.json, out)?,
        // nothing but the table: it goes into a file
        Format::Markdown | Format::Latex | Format::Csv => out.line(&outcome.table)?,
    }
    super::run::judged(&outcome, args.json || args.format != Format::Text, out)
}
