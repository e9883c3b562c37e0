use std::path::Path;
use std::time::Instant;

use corpus::Split;
use distill::{TranscriptHeader, write_parquet};
use oracle::{Codec, Exchange, Query, Stop, TokenId};
use results::{Arm, Record};

use crate::audit_size::{AuditSize, audit_sizes};
use crate::resolve::Run;
use crate::stages::context::CURVE;
use crate::stages::documents::documents_with;
use crate::stages::queries::QueryStream;
use crate::stages::repetition::Models;
use crate::stages::{Beside, Context, Holds, Marks, Suspect, Timing, distil, measure, recipe_of, teacher_report};

/// Texts of the corpus from which the length of answers and the size of a transcript are read off.
const TEXTS: u64 = 4096;
/// Tokens of documents that are read to know how long reading takes: fewer than [`TEXTS`] documents where they are long.
const READ_TOKENS: u64 = 1 << 19;

/// What a little of every stage took.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// Wall time of everything that is done once however much is asked or trained: tokenizer, neutral questions, audit.
    pub once_seconds: f64,
    /// Every training but those of students, by the name of its model: seconds and tokens.
    pub trainings: Vec<(String, f64, u64)>,
    /// Asking: seconds and answer tokens.
    pub asking: (f64, u64),
    /// Drawing prompts: seconds and prompts.
    pub prompts: (f64, u64),
    /// Reading documents for a training: seconds and tokens.
    pub reading: (f64, u64),
    /// By channel: seconds and tokens of a student to whom every law was new, and of one whose laws were known.
    pub students: Vec<[(f64, u64); 2]>,
    /// Wall time of all measurements of the teacher, and of the base.
    pub measuring: [f64; 2],
    /// What the audit can show of teacher and base, as they are rehearsed.
    pub audit: Vec<AuditSize>,
    /// Wall time of what is said of the teacher alone.
    pub report_seconds: f64,
    /// Mean answer of the corpus itself, tokens: what a teacher that models it answers; or of the imported transcript.
    pub answer_tokens: f64,
    /// Bytes of the corpus' own openings and continuations as a transcript, per query.
    pub bytes_per_query: f64,
    /// Bytes of a student's artifact, its loss curve left out.
    pub student_bytes: u64,
    /// What imported files hold: those of the marked server, and of the unmarked one.
    pub imported: Option<(Holds, Option<Holds>)>,
}

/// Does a little of every stage of a scaled-down experiment that has two budgets, in an empty store, and takes the time.
///
/// # Errors
/// As the stages.
pub fn rehearse(ctx: &Context<'_>) -> anyhow::Result<Rehearsed> {
    let started = Instant::now();
    let mut marks = Marks::build(ctx)?;
    let once_before = started.elapsed().as_secs_f64();
    let models = Models::make(ctx, &mut marks)?;
    let trainings = ctx.timings.take().into_iter().map(|t| (t.stage, t.wall_seconds, t.tokens)).collect();

    let mut students = Vec::new();
    let mut asking = (0.0, 0);
    let mut student_bytes = 0;
    for channel in &ctx.resolved.channels {
        let mut timed = Vec::new();
        for &budget in &ctx.resolved.budgets {
            let run = ctx.resolved.distilled(ctx.seed, Arm::Student, channel, budget);
            let how = recipe_of(ctx, &run, &models.marked, &models.base)?.recipe;
            let student = distil(ctx, &run, &models.marked, &models.base, &how)?.trained;
            let (asked, trained): (Vec<Timing>, Vec<Timing>) =
                ctx.timings.take().into_iter().partition(|timing| timing.stage.starts_with("asking"));
            asking = asked.iter().fold(asking, |(seconds, tokens), t| (seconds + t.wall_seconds, tokens + t.tokens));
            timed.push(trained.iter().fold((0.0, 0), |(seconds, tokens), t| (seconds + t.wall_seconds, tokens + t.tokens)));
            student_bytes = bytes_in(&ctx.store.root().join("student").join(student.hash.hex()), CURVE)?;
        }
        if ctx.imports.is_some() {
            models.rival.transcript(ctx, &channel.surface)?;
            asking = ctx.timings.take().iter().fold(asking, |(s, n), timing| (s + timing.wall_seconds, n + timing.tokens));
        }
        let [fresh, known] = timed[..] else { anyhow::bail!("a rehearsal has two budgets") };
        students.push([fresh, known]);
    }

    let runs =
        [Arm::Teacher, Arm::Base].map(|arm| Run { seed: ctx.seed, arm, lacks: None, channel: None, budget: None, steps: None });
    let suspects: Vec<Suspect> = runs.into_iter().map(|run| models.suspect(ctx, run)).collect::<anyhow::Result<_>>()?;
    let before = Instant::now();
    let mut audit = models.audit(ctx, &marks, &[])?;
    audit.compare_with(ctx, &suspects);
    let once_seconds = once_before + before.elapsed().as_secs_f64();
    let beside =
        Beside { named: &|name| models.named(ctx, name), unmarked: &|run| models.unmarked(ctx, run), marked: &models.marked };
    let (mut measuring, mut found) = ([0.0; 2], Vec::new());
    for (seconds, suspect) in measuring.iter_mut().zip(&suspects) {
        let before = Instant::now();
        let arm = suspect.run.arm;
        found.extend(measure(ctx, suspect, &marks, &audit, &beside)?.into_iter().map(|record| Record { arm, ..record }));
        *seconds = before.elapsed().as_secs_f64();
    }
    let before = Instant::now();
    teacher_report(ctx, &models.teachers, &suspects[0], &audit)?;
    let report_seconds = before.elapsed().as_secs_f64();

    let before = Instant::now();
    let queries = QueryStream::new(ctx, marks.asked()).queries(ctx, 0..TEXTS)?;
    let prompts = (before.elapsed().as_secs_f64(), queries.len() as u64);
    let before = Instant::now();
    let texts = ctx.sources.of(ctx.seed_for("teacher documents"))?;
    let read = documents_with(&*texts, Split::Train, READ_TOKENS, ctx.vocabulary, ctx.rt).take(TEXTS as usize);
    let read: Vec<Vec<TokenId>> = read.collect::<Result<_, _>>()?;
    let reading = (before.elapsed().as_secs_f64(), read.iter().map(|document| document.len() as u64).sum());
    let exchanges = match ctx.imports {
        Some(imports) => imports.marked.first(TEXTS)?,
        None => of_the_corpus(ctx, queries)?,
    };
    let texts = exchanges.len().max(1) as f64;
    let answered: usize = exchanges.iter().map(|exchange| exchange.answer.len()).sum();
    let file = ctx.store.root().join("corpus.parquet");
    let header = TranscriptHeader {
        vocab_size: ctx.vocabulary.tokenizer.vocab_size(),
        tokenizer: &ctx.vocabulary.hash.hex(),
        teacher: "the corpus",
        codec: Some(&*ctx.vocabulary.tokenizer),
    };
    write_parquet(&file, &exchanges, &header)?;
    let bytes = std::fs::metadata(&file)?.len();
    Ok(Rehearsed {
        once_seconds,
        trainings,
        asking,
        prompts,
        reading,
        students,
        measuring,
        audit: audit_sizes(&found, ctx.resolved.alpha),
        report_seconds,
        answer_tokens: answered as f64 / texts,
        bytes_per_query: bytes as f64 / texts,
        student_bytes,
        imported: ctx.imports.map(|imports| (imports.marked.holds.clone(), imports.control.as_ref().map(|c| c.holds.clone()))),
    })
}

/// What the corpus itself says after each of `queries`.
fn of_the_corpus(ctx: &Context<'_>, queries: Vec<Query>) -> anyhow::Result<Vec<Exchange>> {
    let texts = ctx.sources.of(ctx.seed_for("queries"))?;
    let answered = |query: Query| {
        ctx.rt.check_cancelled()?;
        // a chat template's own tokens are none of the text's
        let opening = query.prompt.len().min(ctx.resolved.world.queries.prompt_tokens);
        let most = opening.saturating_add(query.max_new_tokens).saturating_add(1);
        let ids = ctx.vocabulary.document_cut(&*texts, Split::Prompts, query.index, most);
        let answer: Vec<_> = ids.into_iter().skip(opening).take(query.max_new_tokens).collect();
        let stop = if answer.len() < query.max_new_tokens { Stop::EndToken } else { Stop::Length };
        Ok(Exchange { query, answer, stop })
    };
    queries.into_iter().map(answered).collect()
}

/// Bytes of all files of a directory but the one called `left_out`.
fn bytes_in(directory: &Path, left_out: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != left_out {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}
