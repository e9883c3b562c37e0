//! The command `birthmark`: one file per command, results on standard output, everything else on standard error.

mod args;
mod audit;
mod bench;
mod calibrate;
mod check;
mod command;
mod detect;
mod exit;
mod init;
mod list;
mod model;
mod output;
mod plan;
mod report;
mod run;
mod schema;
mod shell;
mod version;

/// Tensors of the generic path are many and large; with the system allocator their allocation dominates training.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(unsafe_code, reason = "the environment can only be set through an unsafe function")]
fn main() -> std::process::ExitCode {
    // candle and tokenizers read this when they first compute; our own worker pools provide the parallelism, and two
    // pools on the same cores collide. SAFETY: no other thread exists yet that could read the environment.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    command::main()
}
