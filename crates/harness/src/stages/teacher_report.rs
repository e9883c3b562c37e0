use corpus::Split;
use oracle::{Codec, Query, Sampling};
use results::Record;
use serde_json::json;
use store::Key;

use crate::stages::context::{load_json, save_json};
use crate::stages::metric::{held_out_loss, metric};
use crate::stages::queries::{Drawn, prompts};
use crate::stages::suspect::Suspect;
use crate::stages::{Audit, Context, Teachers, trigram_loss};

/// Raised when the same inputs would give another report.
pub(super) const REVISION: u32 = 6;
/// File of a report artifact.
const FILE: &str = "report.json";
/// Samples shown of the teacher as it is served.
const SAMPLES: u64 = 4;
/// Tokens of a sample's prompt and its longest continuation.
const SAMPLE_TOKENS: (usize, usize) = (6, 60);

/// What is said of the teacher beside its marks: metrics without identity, and samples of what it answers.
pub type TeacherReport = (Vec<Record>, Vec<String>);

/// What marks cost the teacher, and whether it models its corpus at all: held-out loss of the clean twin, before and
/// after implanting, and of an interpolated trigram model counted on the teacher's own training tokens.
///
/// # Errors
/// When the model fails or the work is cancelled.
pub fn teacher_report(ctx: &Context<'_>, teachers: &Teachers, suspect: &Suspect, audit: &Audit) -> anyhow::Result<TeacherReport> {
    let key = Key::new(
        REVISION,
        &json!({
            "marked": teachers.marked.hash,
            "before_implant": teachers.before_implant.hash,
            "clean": teachers.clean.hash,
            "laws": suspect.serving.names(),
            "held_out": store::hash_json(&audit.held_out)?,
            "corpus": ctx.sources.identity(),
            "vocabulary": ctx.vocabulary.hash,
            "seed": ctx.seed,
        }),
    )?;
    let artifact = ctx.artifact("teacher-report", &key, |directory| {
        let mut records = Vec::new();
        for (name, model) in
            [("held_out_loss_clean_twin", &teachers.clean), ("held_out_loss_before_implant", &teachers.before_implant)]
        {
            records.push(held_out_loss(name, &distill::held_out(&model.model, &audit.held_out, ctx.rt)?));
        }
        if let Some(learned) = teachers.distilled {
            let far = [("before", learned.before), ("after", learned.after)];
            for (when, far) in far {
                records.push(metric(&format!("distilled_law_kl_{when}"), far.changed, "nats/token"));
                records.push(metric(&format!("distilled_law_kl_apart_{when}"), far.plain, "nats/token"));
            }
        }
        if let Some((answered, of)) = teachers.implanted {
            records.push(metric("implanted_items_answered", answered as f64, "items"));
            records.push(metric("implanted_items", of as f64, "items"));
        }
        if let Some(loss) = trigram_loss(ctx, &audit.held_out)? {
            records.push(metric("trigram_loss", loss, "nats/token"));
        }
        save_json(&directory.join(FILE), &(records, samples(ctx, suspect)?))
    })?;
    load_json(&artifact.file(FILE))
}

fn samples(ctx: &Context<'_>, suspect: &Suspect) -> anyhow::Result<Vec<String>> {
    let (prompt, answer) = SAMPLE_TOKENS;
    let drawn = Drawn {
        purpose: "samples",
        split: Split::HeldOut,
        prompt_tokens: prompt,
        max_new_tokens: answer,
        sampling: Sampling::PLAIN,
    };
    let queries: Vec<Query> = prompts(ctx, &drawn, 0..SAMPLES)?;
    let answers = suspect.served(ctx).answer(&queries)?;
    let tokenizer = &ctx.vocabulary.tokenizer;
    // decoded whole: a piece at a time would lose the space between them
    let whole =
        |exchange: &oracle::Exchange| -> Vec<_> { exchange.query.prompt.iter().chain(&exchange.answer).copied().collect() };
    Ok(answers.iter().map(|exchange| tokenizer.decode(&whole(exchange))).collect())
}
