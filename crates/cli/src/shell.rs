//! `birthmark completions` and `birthmark man`: made from the same description of the command line that reads it.

use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell as Dialect;
use clap_mangen::Man;
use harness::exit::UsageError;

use crate::output::Output;
use crate::version::VERSION;

/// Shells that are served.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell, for example: birthmark completions bash > ~/.local/share/bash-completion/completions/birthmark
    shell: Shell,
}

/// Which pages.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of this command, for example: birthmark man model info | man -l - [default: that of birthmark itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write every page into this directory, for example ~/.local/share/man/man1.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs, mut command: Command, out: &mut Output) -> anyhow::Result<()> {
    let dialect = match args.shell {
        Shell::Bash => Dialect::Bash,
        Shell::Zsh => Dialect::Zsh,
        Shell::Fish => Dialect::Fish,
    };
    // into memory first: what writes completions panics when its reader goes away
    let mut text = Vec::new();
    clap_complete::generate(dialect, &mut command, "birthmark", &mut text);
    out.line(&String::from_utf8_lossy(&text))
}

/// Prints a page, or writes all of them.
pub fn man(args: &ManArgs, command: Command, out: &mut Output) -> anyhow::Result<()> {
    // "help" is a command too, and no page
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.out {
        harness::pipeline::make_directory("--out", directory, directory)?;
        for (name, page) in pages(&command)? {
            let path = directory.join(name);
            store::write_atomic(&path, &page)?;
            out.line(&path.display().to_string())?;
        }
        return Ok(());
    }
    let mut found = &command;
    for name in &args.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = shown(found).map(Command::get_name).collect();
            let known = if known.is_empty() {
                "it has no commands of its own".into()
            } else {
                format!("write one of {}", known.join(", "))
            };
            UsageError(format!("`{name}` is no command of `{}`; {known}", found.get_display_name().unwrap_or("birthmark")))
        })?;
    }
    out.line(&String::from_utf8_lossy(&page(found)?))
}

/// Commands that have a page.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
}

/// Every page below `command`, itself first, with the name of its file.
fn pages(command: &Command) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut all = vec![(Path::new(&format!("{name}.1")).to_path_buf(), page(command)?)];
    for inner in shown(command) {
        all.extend(pages(inner)?);
    }
    Ok(all)
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    // no date: the same source gives the same page
    let page = Man::new(command.clone()).date(" ").source(format!("birthmark {VERSION}")).manual("Birthmark");
    page.render(&mut text)?;
    Ok(text)
}
