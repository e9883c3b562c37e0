//! Mistakes as data: an experiment that is valid, one change, and what must be said about it.

mod expect;
mod limits;

use std::path::Path;

use crate::experiment::Experiment;
use crate::load::experiment_from_text;
use crate::loaded::Loaded;

/// The experiment that the cases change.
const VALID: &str = include_str!("valid.toml");

fn load(text: &str, sets: &[&str]) -> Result<Loaded<Experiment>, String> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_string()).collect();
    experiment_from_text(Path::new("e.toml"), text, &sets).map_err(|errors| errors.to_string())
}

/// What is changed, into what, the part of it that the caret must stand under, and what the first line must hold.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check((from, to, caret, fragments): &Case) {
    let start = VALID.find(from).unwrap_or_else(|| panic!("`{from}` is not in valid.toml"));
    let text = VALID.replacen(from, to, 1);
    let at = start + to.find(caret).unwrap_or_else(|| panic!("`{caret}` is not in `{to}`"));
    let line = text[..at].matches('\n').count() + 1;
    let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let message = load(&text, &[]).err().unwrap_or_else(|| panic!("accepted: {to}"));
    let first = message.lines().next().unwrap_or("");
    let place = format!("e.toml:{line}:{column}: ");
    assert!(first.starts_with(&place), "`{to}`\nexpected {place}\ngot      {message}");
    for fragment in *fragments {
        assert!(first.contains(fragment), "`{to}`\nexpected {fragment}\ngot      {first}");
    }
}

#[test]
fn the_valid_experiment_is_valid() {
    let loaded = load(VALID, &[]).unwrap();
    assert_eq!(loaded.value.queries.budgets, [20, 60]);
}

#[test]
fn mistakes_of_form_are_shown_where_they_are() {
    let cases: &[Case] = &[
        // unknown keys, with the nearest right name or all of them
        ("alpha = 0.001", "alhpa = 0.001", "alhpa", &["`alhpa`: unknown key", "did you mean `alpha`?"]),
        ("gamma = 0.25", "gama = 0.25", "gama", &["`marks.kgw.kgw.gama`: unknown key", "did you mean `gamma`?"]),
        ("[student]", "[studnet]", "studnet", &["`studnet`: unknown key", "did you mean `student`?"]),
        // wrong types
        ("alpha = 0.001", "alpha = \"small\"", "\"small\"", &["`alpha = \"small\"`: should be a number, is a string"]),
        ("tokens = 24_000", "tokens = 24_000.5", "24_000.5", &["should be a whole number, is a number with a fraction"]),
        ("tokens = 24_000", "tokens = -1", "-1", &["`teacher.train.tokens = -1`: a negative number", "write 0 or more"]),
        ("budgets = [20, 60]", "budgets = 20", "20", &["should be an array, is a whole number", "write [ … ]"]),
        ("budgets = [20, 60]", "budgets = [20, \"60\"]", "\"60\"", &["`queries.budgets[1] = \"60\"`: should be a whole number"]),
        ("name = \"smoke\"", "name = 7", "7", &["should be a string, is a whole number", "write it in quotes"]),
        ("tie_word_embeddings = true", "tie_word_embeddings = 1", "1", &["should be true or false"]),
        ("alpha = 0.001", "alpha = nan", "nan", &["`alpha = nan`: not a finite number"]),
        // choices
        ("kgw =", "kgv =", "kgv", &["`marks.kgw.kgv`: unknown key", "did you mean `kgw`?"]),
        ("surface = \"text\"", "surface = \"test\"", "\"test\"", &["unknown choice", "did you mean `text`?"]),
        (
            "surface = \"text\"",
            "surface = \"top_logprobs\"",
            "\"top_logprobs\"",
            &["has parameters", "write { top_logprobs = { k = …, law = … } }"],
        ),
        ("surface = \"text\"", "surface = \"label\"", "\"label\"", &["write { label = { labels = …, posterior = … } }"]),
        ("surface = \"text\"", "surface = { text = {} }", "text", &["no parameters", "\"text\""]),
        (
            "tail = \"bucket\"",
            "tail = \"bukcet\"",
            "\"bukcet\"",
            &["`distill[1].loss.topk_kl.tail = \"bukcet\"`", "did you mean `bucket`?"],
        ),
        ("compute = { fixed_steps", "compute = { one_pass = {}, fixed_steps", "{ one_pass", &["2 choices at once", "keep one"]),
        ("compute = { fixed_steps = { tokens = 2_000 } }", "compute = {}", "{}", &["no choice made", "`one_pass`"]),
    ];
    cases.iter().for_each(check);
}

#[test]
fn a_syntax_error_is_shown_at_its_line() {
    for (from, to, line) in
        [("alpha = 0.001", "alpha = ", 6), ("\"smoke\"", "\"smoke", 2), ("[owner]", "[owner", 8), ("seeds", "name", 5)]
    {
        let message = load(&VALID.replacen(from, to, 1), &[]).unwrap_err();
        assert!(message.starts_with(&format!("e.toml:{line}:")) && message.contains("not valid TOML"), "`{to}`: {message}");
    }
}

#[test]
fn a_missing_key_is_shown_at_its_table() {
    let cases = [
        ("alpha = 0.001\n", "", "e.toml", "`alpha`: missing; add `alpha = …`: Significance level"),
        ("decoys = 999\n", "", "[measure]", "`measure.decoys`: missing; add `decoys = …`"),
        ("temperature = 1.0", "", "sampling = {", "`queries.sampling.temperature`: missing"),
    ];
    for (from, to, line, fragment) in cases {
        let message = load(&VALID.replacen(from, to, 1), &[]).unwrap_err();
        assert!(message.contains(fragment), "{message}");
        assert!(message.contains(line), "{message}");
    }
}

#[test]
fn mistakes_of_sense_are_shown_where_they_are() {
    let cases: &[Case] = &[
        ("name = \"smoke\"", "name = \"a/b\"", "\"a/b\"", &["use letters, digits"]),
        ("seeds = [1]", "seeds = []", "[]", &["`seeds = []`: empty"]),
        ("seeds = [1]", "seeds = [1, 2, 1]", "1]", &["`seeds[2] = 1`: given twice"]),
        ("alpha = 0.001", "alpha = 1.5", "1.5", &["out of range", "at most 0.05"]),
        (
            "alpha = 0.001",
            "alpha = 0.001\nprimary = \"kgv\"",
            "\"kgv\"",
            &["`primary = \"kgv\"`: no mark of that name in `[marks]`; did you mean `kgw`?"],
        ),
        (
            "alpha = 0.001",
            "alpha = 0.001\nprimary = \"watermark\"",
            "\"watermark\"",
            &["no mark of that name", "marks here: `kgw`, `output_agreement`, `secret_keys`, `secret_sharer`"],
        ),
        (
            "alpha = 0.001",
            "alpha = 0.001\nmarks_apart = [\"kgv\"]",
            "\"kgv\"",
            &["`marks_apart[0] = \"kgv\"`: no mark of that name in `[marks]`; did you mean `kgw`?"],
        ),
        (
            "alpha = 0.001",
            "alpha = 0.001\nmarks_apart = [\"kgw\", \"kgw\"]",
            "\"kgw\"]",
            &["`marks_apart[1] = \"kgw\"`: given twice"],
        ),
        (
            "alpha = 0.001",
            "alpha = 0.001\nmarks_apart = [\"output_agreement\"]",
            "\"output_agreement\"",
            &["nobody plants it, so every teacher has it as it is; name a mark that is planted"],
        ),
        (
            "[owner]",
            "marks_apart = [\"kgw\"]\n[transcript]\nimport = \"a.jsonl\"\n[owner]",
            "[\"kgw\"]",
            &["`marks_apart = [\"kgw\"]`: the answers of [transcript] were given elsewhere", "drop it"],
        ),
        ("vocab_size = 384", "vocab_size = 100", "100", &["`tokenizer.bpe.vocab_size = 100`", "write 260"]),
        ("beta1 = 0.9", "beta1 = 1.0", "1.0", &["below 1"]),
        ("logical_shards = 4", "logical_shards = 0", "0", &["write 1 or more"]),
        ("row_tokens = 32", "row_tokens = 0", "0", &["`teacher.train.row_tokens = 0`"]),
        ("peak_lr = 4e-3", "peak_lr = 0", "0", &["`teacher.train.peak_lr = 0`: out of range"]),
        ("gamma = 0.25", "gamma = 1.25", "1.25", &["`marks.kgw.kgw.gamma = 1.25`: out of range"]),
        ("keys = 4", "keys = 0", "0", &["`marks.secret_keys.secret_keys.keys = 0`: out of range", "use at least 1"]),
        (
            "repeats = [1, 4]",
            "repeats = [4, 1]",
            "[4, 1]",
            &["`marks.secret_sharer.secret_sharer.repeats = [4, 1]`", "increasing"],
        ),
        ("canaries_after_tokens = 8_000", "canaries_after_tokens = 90_000", "90_000", &["trained on 24000 tokens only"]),
        ("budgets = [20, 60]", "budgets = []", "[]", &["`queries.budgets = []`: empty"]),
        ("budgets = [20, 60]", "budgets = [0, 60]", "0", &["`queries.budgets[0] = 0`: a budget of 0 buys nothing"]),
        ("budgets = [20, 60]", "budgets = [60, 20]", "20", &["`queries.budgets[1] = 20`: not above 60 before it"]),
        (
            "sampling = { temperature = 1.0 }",
            "sampling = { temperature = -1.0 }",
            "-1.0",
            &["`queries.sampling.temperature = -1.0`"],
        ),
        (
            "loss = { sequence_kd = {} }",
            "loss = { topk_kl = { tail = \"bucket\" } }",
            "{ topk_kl = { tail = \"bucket\" } }",
            &["a `text` oracle has none"],
        ),
        ("k = 5", "k = 0", "0", &["`distill[1].surface.top_logprobs.k = 0`", "write 1 or more"]),
        ("k = 5", "k = 1000", "1000", &["the vocabulary has 384 tokens"]),
        (
            "surface = \"text\"",
            "surface = { label = { labels = [\"yes\"], posterior = true } }",
            "[\"yes\"]",
            &["`distill[0].surface.label.labels = [\"yes\"]`", "give two labels or more"],
        ),
        (
            "surface = \"text\"",
            "surface = { label = { labels = [\"yes\", \"\"], posterior = true } }",
            "\"\"",
            &["`distill[0].surface.label.labels[1] = \"\"`", "write some text"],
        ),
        (
            "surface = \"text\"",
            "surface = { label = { labels = [\"a\", \"b\", \"a\"], posterior = false } }",
            "\"a\"], ",
            &["`distill[0].surface.label.labels[2] = \"a\"`", "labels[0] is the same; drop one of them"],
        ),
        (
            "surface = { top_logprobs = { k = 5, law = \"post_watermark\" } }\nloss = { topk_kl",
            "surface = { label = { labels = [\"a\", \"b\"], posterior = false } }\nloss = { topk_kl",
            "{ topk_kl",
            &["`topk_kl` needs log-probabilities; a `label` oracle has none", "serve `posterior = true` or `top_logprobs`"],
        ),
        ("tokens = 2_000 }", "tokens = 0 }", "0", &["`student.compute.fixed_steps.tokens = 0`"]),
        ("shard_queries = 25", "shard_queries = 0", "0", &["`queries.shard_queries = 0`", "write 1 to 1048576"]),
        (
            "fixed_steps = { tokens = 2_000 }",
            "single_pass = { warmup_steps = 1, cooldown_fraction = 1.0 }",
            "1.0",
            &["`student.compute.single_pass.cooldown_fraction = 1.0`"],
        ),
        (
            "fixed_steps = { tokens = 2_000 }",
            "single_pass = { warmup_steps = 3, cooldown_fraction = 0.5 }",
            "3",
            &["`student.compute.single_pass.warmup_steps = 3`", "2 steps, would cool down before it is warm"],
        ),
        ("prompts = 20\n", "prompts = 0\n", "0", &["`audit.prompts = 0`: too small"]),
        (
            "decoys = 999",
            "decoys = 99",
            "99",
            &["`measure.decoys = 99`: its p-values never reach alpha = 0.001; write 999 or more"],
        ),
        ("decoys = 999", "decoys = 100_000", "100_000", &["`measure.decoys = 100000`: too many; write 99999 or less"]),
    ];
    cases.iter().for_each(check);
}

/// The watermark of the valid file.
const KGW: &str = "[marks.kgw]\nkgw = { gamma = 0.25, delta = 2.0, context_width = 1 }\n";

/// Keys that older files have are refused with the name they have now.
#[test]
fn keys_that_moved_are_named() {
    let cases = [
        (
            "canaries_after_tokens = 100\n",
            "`marks.canaries_after_tokens = 100`: this key has moved; write it as `planting.canaries",
        ),
        ("implant = { max_steps = 1 }\n", "write it as `[planting.implant]`"),
        ("probes = [{ secret_keys = {} }]\n", "give each probe a name and a table of its own"),
    ];
    for (line, fragment) in cases {
        let text = VALID.replacen(KGW, &format!("[marks]\n{line}"), 1);
        let message = load(&text, &[]).unwrap_err();
        assert!(message.contains(fragment), "{message}");
    }
}

#[test]
fn what_must_agree_is_compared() {
    let implant = &VALID[VALID.find("[planting.implant]").unwrap()..VALID.find("[queries]").unwrap()];
    let two = format!("[marks.a]\nkgw = {{ gamma = 0.5, delta = 1.0, context_width = 0 }}\n{KGW}");
    let [rate, unknown, everybody] = ["mark_rate = 1.5", "opt_out = { accounts = [1] }", "opt_out = { accounts = [0] }"]
        .map(|line| KGW.replacen('\n', &format!("\n{line}\n"), 1));
    let cases = [
        ("[owner]\nsecret = \"birthmark smoke, a public demo secret\"", "[owner]", "`owner = {}`: no secret"),
        ("[owner]\n", "[owner]\nsecret_file = \"x\"\n", "there is a `secret` too; keep one of them"),
        ("[teacher.train]", "[teacher]\nmodel = \"DIR\"\n[teacher.train]", "`teacher.model = \"DIR\"`: there is a `train` too"),
        (implant, "", "it has to be implanted; add `[planting.implant]`"),
        ("canaries_after_tokens = 8_000\n", "", "no place for the planted texts; add `planting.canaries_after_tokens = …`"),
        (
            KGW,
            "[marks.a]\n[marks.kgw]\nkgw = { gamma = 0.25, delta = 2.0, context_width = 1 }\n",
            "`marks.a = {}`: no kind of mark",
        ),
        (KGW, &two, "it changes the law that answers are drawn from, as `a` does; keep one of them"),
        ("[queries]\n", "[queries]\naccounts = 0\n", "`queries.accounts = 0`"),
        (KGW, &rate, "`marks.kgw.mark_rate = 1.5`: out of range; use a share above 0"),
        (KGW, &unknown, "no account 1 asks; write numbers below `queries.accounts`, which is 1"),
        (KGW, &everybody, "every account that asks is without the mark"),
        ("[queries]\n", "[[defences]]\nrounding = { step = 0 }\n[queries]\n", "`defences[0].rounding.step = 0`: out of range"),
        (
            "[queries]\n",
            "[[attacks]]\ndrop_by_perplexity = { share = 0.1, model = \"judge\" }\n[queries]\n",
            "it names the model `judge`, which is not there; add `judge = \"DIRECTORY\"` to `[models]`",
        ),
        (
            "[queries]\n",
            "[marks.d.domain_watermark]\nwords = [\"one\"]\nprompts = 10\nmax_new_tokens = 4\n\
            of = { kgw = { gamma = 0.5, delta = 1.0, context_width = 0 } }\n[queries]\n",
            "its law has to enter the weights; add `[planting.distillation]`",
        ),
        (
            "[queries]\n",
            "[planting.distillation]\nsteps = 1\nanswers_per_prompt = 1\nmax_new_tokens = 1\nlaw_rows = 2\n\
            plain_rows = 2\nlaw_weight = 0.5\nlearning_rate = 1e-3\nwarmup_steps = 0\ngrad_clip = 1.0\n[queries]\n",
            "no mark needs it; drop it, or add a mark whose law enters the weights",
        ),
        ("[queries]\n", "[[attacks]]\ndrop_by_perplexity = { share = 1 }\n[queries]\n", "`attacks[0].drop_by_perplexity.share"),
        ("num_attention_heads = 2", "num_attention_heads = 5", "`teacher.train.architecture.llama."),
        ("bpe = { vocab_size = 384, documents = 300 }", "", "`tokenizer = {}`: no choice made"),
    ];
    for (from, to, fragment) in cases {
        let text = VALID.replacen(from, to, 1);
        assert_ne!(text, VALID, "{from}");
        let message = load(&text, &[]).err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(message.contains(fragment), "expected {fragment}\ngot {message}");
    }
}

/// Without the only mark that is planted there is the control, which stands beside every student anyway.
#[test]
fn the_only_planted_mark_is_not_set_apart() {
    let from = VALID.find("[marks.secret_sharer").unwrap();
    let to = VALID.find("[marks.output_agreement]").unwrap();
    let planting = VALID.find("[planting]").unwrap()..VALID.find("[queries]").unwrap();
    let text = format!("{}{}{}", &VALID[..from], &VALID[to..planting.start], &VALID[planting.end..]);
    assert!(load(&text, &[]).is_ok());
    let message = load(&text, &["marks_apart=[\"kgw\"]"]).unwrap_err();
    assert!(message.contains("the only mark that is planted, so the student without it is the control; drop it"), "{message}");
}

/// Some marks answer prompts of theirs with text.
#[test]
fn labels_do_not_go_with_answers_of_a_marks_own() {
    let canary = "served_canary = { canaries = 2, prompt_tokens = 4, secret = { digits = 4 }, references = 20, every = 10 }";
    let text = VALID.replacen(KGW, &format!("[marks.trap]\n{canary}\n"), 1);
    assert!(load(&text, &[]).is_ok());
    let label = "surface = { label = { labels = [\"yes\", \"no\"], posterior = true } }";
    let message = load(&text.replacen("surface = \"text\"", label, 1), &[]).unwrap_err();
    assert!(message.contains("`distill[0].surface") && message.contains("`marks.trap` gives answers of its own"), "{message}");
    let labelled = load(&VALID.replacen("surface = \"text\"", label, 1), &[]).unwrap().value;
    let surface = serde_json::to_string(&labelled.distill[0].surface).unwrap();
    assert_eq!(surface, r#"{"label":{"labels":["yes","no"],"posterior":true}}"#);
}

#[test]
fn several_mistakes_are_shown_at_once() {
    let text =
        VALID.replacen("gamma", "gama", 1).replacen("alpha = 0.001", "alpha = \"x\"", 1).replacen("[audit]", "[audits]", 1);
    let message = load(&text, &[]).unwrap_err();
    for fragment in ["`marks.kgw.kgw.gama`", "`alpha = \"x\"`", "did you mean `audit`?"] {
        assert!(message.contains(fragment), "{message}");
    }
    assert!(!message.contains("missing"), "a mistyped key is not missing as well: {message}");
}

#[test]
fn overrides_reach_every_key_and_mistakes_in_them_name_the_flag() {
    let sets = ["queries.budgets=[5,6,7]", "distill[1].surface.top_logprobs.k=3", "distill.0.surface=greedy_text", "name=other"];
    let experiment = load(VALID, &sets).unwrap().value;
    assert_eq!(experiment.queries.budgets, [5, 6, 7]);
    assert_eq!(experiment.distill[0].surface, oracle::Surface::GreedyText);
    assert_eq!(experiment.distill[1].surface.label(), "top_logprobs(k=3,post)");
    assert_eq!(experiment.name, "other");

    let cases = [
        ("queries.budgts=[1]", "--set queries.budgts=[1]: `queries.budgts`: unknown key; did you mean `budgets`?"),
        ("queries.budgets=[2,1]", "--set queries.budgets=[2,1]: `queries.budgets[1] = 1`: not above 2 before it"),
        ("alpha=small", "--set alpha=small: `alpha = \"small\"`: should be a number, is a string"),
        ("name=7", "--set name=7: `name = 7`: should be a string, is a whole number; quote it twice"),
        ("distill[7].loss.full_kl.temperature=1", "--set distill[7].loss.full_kl.temperature=1: `distill[7]`: there are only 2"),
        ("alpha", "--set alpha: no `=` in it"),
    ];
    for (set, fragment) in cases {
        let message = load(VALID, &[set]).unwrap_err();
        assert!(message.starts_with(fragment), "expected {fragment}\ngot      {message}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    for (from, to) in
        [("secret = \"birthmark smoke, a public demo secret\"", "secret = [\"hunter2\"]"), ("[owner]", "[owner]\nx = 1")]
    {
        let message = load(&VALID.replacen(from, to, 1), &[]).unwrap_err();
        assert!(!message.contains("hunter2") && !message.contains("demo secret"), "{message}");
    }
    let message = load(VALID, &["owner.secret=[\"hunter2\"]"]).unwrap_err();
    assert!(!message.contains("hunter2"), "{message}");
    let loaded = load(VALID, &[]).unwrap();
    let shown = format!("{:?} {}", loaded.value, serde_json::to_string(&loaded.value).unwrap());
    assert!(!shown.contains("demo secret"), "{shown}");
}
