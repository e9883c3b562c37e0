//! `birthmark report`: records in, summary, figures and table out.

use std::path::PathBuf;

use clap::Args;

use crate::output::{Output, complain};

/// A results directory.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results directory of a run or an audit, for example results/quickstart/1a2b3c4d.
    directory: PathBuf,
    /// One JSON object per line instead of the table.
    #[arg(long)]
    json: bool,
}

/// Makes summary, figures and table again, and prints the table.
pub fn report(args: &ReportArgs, out: &mut Output) -> anyhow::Result<()> {
    let outcome = harness::pipeline::report(&args.directory)?;
    if let Some(words) = outcome.seal.words() {
        complain(&format!("note: {words}"));
    }
    super::run::print(&outcome, args.json, out)?;
    super::run::judged(&outcome, args.json, out)
}
