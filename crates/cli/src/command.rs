//! From arguments to an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use kernels::vectors::{self, Width};

use crate::exit::{self, Signals};
use crate::output::{Output, complain, complain_at_the_end, in_one_line};
use crate::version::VERSION;
use crate::{audit, bench, calibrate, check, detect, init, list, model, report, run, schema, shell};

/// Measures which ownership marks survive the distillation of a language model through its API.
#[derive(Debug, Parser)]
#[command(name = "birthmark", version = VERSION, max_term_width = 120)]
#[command(
    after_help = "Exit codes: 0 done; 1 unexpected; 2 usage, configuration or input; 3 a true key fires in a model that must \
                        not show it; 5 an audit is inconclusive; 75 stopped, run again to resume; 100 a check that was asked for failed, \
                        a condition of [expect] is broken, a detector's claim is refuted, or an audit or a detection proves a mark; 130, 143 stopped by a signal, run again to resume."
)]
pub struct Cli {
    /// Vector instructions of the fused kernels, at most: scalar, avx2 or widest. No result depends on them; for measuring.
    #[arg(long, global = true, value_name = "WIDTH", default_value = "widest", hide = true)]
    vectors: Width,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment file; finished work is found, not redone.
    Run(run::RunArgs),
    /// Write a commented experiment file to begin with, about your own model and texts if you name them.
    Init(init::InitArgs),
    /// Validate an experiment file, expand its grid, and rehearse a little of it to estimate time, memory and disk.
    Check(check::CheckArgs),
    /// Look for the marks of an experiment in a model from outside; exit code 0 not proven, 100 proven, 5 inconclusive.
    Audit(audit::AuditArgs),
    /// Look for a mark in given texts, without any model; exit code 0 not proven, 100 proven.
    Detect(detect::DetectArgs),
    /// Hold a detector's output on texts that are known to be unmarked against what it claims; exit code 100 when a claim is refuted.
    Calibrate(calibrate::CalibrateArgs),
    /// Make summary, figures and table again from the records in a results directory.
    Report(report::ReportArgs),
    /// List what can be named in an experiment file, and the experiment files themselves.
    List(list::ListArgs),
    /// Look at a language model, here or on the hub: its shape, its loss on a text, its own words.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Measure speed: training, sampling and detection beside this machine's matrix products.
    Bench(bench::BenchArgs),
    /// Print the JSON Schema of the experiment file.
    Schema,
    /// Print what makes a shell complete birthmark's commands and flags.
    Completions(shell::CompletionsArgs),
    /// Print a man page, or write all of them.
    Man(shell::ManArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // a panic is a bug of ours: one line that can be reported, rather than a backtrace of workers
    std::panic::set_hook(Box::new(|panic| {
        if lm::is_guarded() {
            return;
        }
        let place = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message").replace('\n', " ");
        complain(&format!("internal error{place}: {message}; please report this line with the command that led to it"));
    }));
    let parsed = with_negative_numbers(Cli::command()).try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            complain(&of_arguments(&error.to_string()));
            return exit::USAGE.into();
        }
        Err(error) => {
            // also how clap hands out --help and --version; a closed pipe is no failure of theirs
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    vectors::limit_process(cli.vectors);
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("error: cannot catch signals: {error}"));
            return exit::UNEXPECTED.into();
        }
    };
    let resumes = !matches!(cli.command, Command::Check(_) | Command::Detect(_) | Command::Bench(_));
    match catch_unwind(AssertUnwindSafe(|| dispatch(cli.command, &signals))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let code = exit::code(&error, signals.received());
            if let Some(found) = error.downcast_ref::<exit::Found>() {
                if !found.text.is_empty() {
                    complain_at_the_end(&found.text, code);
                }
                return code.into();
            }
            let said = match code {
                exit::UNEXPECTED | exit::USAGE | exit::DEVIATES => format!("error: {}", in_one_line(&error)),
                exit::RESUMABLE => {
                    let full = store::trouble(error.as_ref()) == Some(store::Trouble::Full);
                    let remedy = if full { "; free some space and run the same command again" } else { "" };
                    format!("stopped: {}{remedy}\nfinished work is kept; the same command resumes", in_one_line(&error))
                }
                _ if resumes => "stopped by a signal; finished work is kept, and the same command resumes".to_string(),
                _ => "stopped by a signal".to_string(),
            };
            complain_at_the_end(&said, code);
            code.into()
        }
        Err(_) => exit::UNEXPECTED.into(),
    }
}

/// What is wrong with the arguments, in one line, from what clap says of it in several.
fn of_arguments(said: &str) -> String {
    let is_further = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more information");
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).take_while(is_further);
    let first = lines.next().unwrap_or_default();
    let (tips, parts): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("tip:"));
    let line = [first.to_string(), parts.join(", ")].join(" ");
    std::iter::once(line.trim_end()).chain(tips).chain(["--help says more"]).collect::<Vec<_>>().join("; ")
}

/// Has negative numbers taken for values, so that they are refused with the range and not as unknown flags.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(with_negative_numbers)
}

fn dispatch(command: Command, signals: &Signals) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    match command {
        Command::Run(args) => run::run(&args, signals, &mut out)?,
        Command::Init(args) => init::init(&args, &mut out)?,
        Command::Check(args) => check::check(&args, signals, &mut out)?,
        Command::Audit(args) => audit::audit(&args, signals, &mut out)?,
        Command::Detect(args) => detect::detect(&args, signals, &mut out)?,
        Command::Calibrate(args) => calibrate::calibrate(&args, &mut out)?,
        Command::Report(args) => report::report(&args, &mut out)?,
        Command::List(args) => list::list(&args, &mut out)?,
        Command::Model(command) => model::model(&command, signals, &mut out)?,
        Command::Bench(args) => bench::bench(&args, signals, &mut out)?,
        Command::Schema => schema::schema(&mut out)?,
        Command::Completions(args) => shell::completions(&args, Cli::command(), &mut out)?,
        Command::Man(args) => shell::man(&args, Cli::command(), &mut out)?,
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_arguments_are_one_line() {
        let said = |arguments: &[&str]| {
            let error = with_negative_numbers(Cli::command()).try_get_matches_from(arguments).unwrap_err();
            of_arguments(&error.to_string())
        };
        assert_eq!(
            said(&["birthmark", "run"]),
            "error: the following required arguments were not provided: <FILE>; --help says more"
        );
        assert_eq!(
            said(&["birthmark", "bench", "--second", "1"]),
            "error: unexpected argument '--second' found; tip: a similar argument exists: '--seconds'; --help says more"
        );
        let one_of = said(&["birthmark", "bench", "--shape", "tiny"]);
        assert!(one_of.starts_with("error: invalid value 'tiny' for '--shape <SHAPE>' [possible values: nano,"), "{one_of}");
        assert!(said(&["birthmark", "calibrate", "--draws", "x"]).contains("--draws"));
    }
}
