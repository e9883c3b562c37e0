//! What is more than possible, or cannot be shown.

use super::{Case, VALID, check, load};

#[test]
fn counts_beyond_what_is_possible_are_refused_with_what_is() {
    let cases: &[Case] = &[
        ("prompts = 20\n", "prompts = 1_048_577\n", "1_048_577", &["`audit.prompts = 1048577`: too many; write 1048576 or less"]),
        (
            "{ prompts = 40 }",
            "{ prompts = 9_000_000_000_000 }",
            "9_0",
            &["`marks.output_agreement.output_agreement.prompts", "write 1048576"],
        ),
        ("documents = 300", "documents = 99_999_999_999", "99_9", &["`tokenizer.bpe.documents", "write 16777216 or less"]),
        (
            "batch_rows = 16",
            "batch_rows = 65_537",
            "65_537",
            &["`teacher.train.batch_rows = 65537`: too many; write 65536 or less"],
        ),
        (
            "row_tokens = 32",
            "row_tokens = 9_223_372_036_854_775_807",
            "9_2",
            &["`teacher.train.row_tokens", "write 1048576 or less"],
        ),
        (
            "budgets = [20, 60]",
            "budgets = [20, 9_000_000_000_000_000]",
            "9_0",
            &["`queries.budgets[1] = 9000000000000000`: too many"],
        ),
        (
            "repeats = [1, 4]",
            "repeats = [1, 4_000_000_000]",
            "4_0",
            &["`marks.secret_sharer.secret_sharer.repeats[1]", "too many"],
        ),
        (
            "references = 20",
            "references = 4_000_000_000_000",
            "4_0",
            &["`marks.secret_sharer.secret_sharer.references", "too many"],
        ),
        (
            "decoys = 999",
            "decoys = 9_000_000_000_000",
            "9_0",
            &["`measure.decoys = 9000000000000`: too many; write 99999 or less"],
        ),
    ];
    cases.iter().for_each(check);
    let message = load(VALID, &["measure.held_out_documents=4000000000", "student.batch_rows=4000000000"]).unwrap_err();
    for fragment in ["`measure.held_out_documents = 4000000000`: too many", "`student.batch_rows = 4000000000`: too many"] {
        assert!(message.contains(fragment), "{message}");
    }
    // together they do not fit, though each may be
    let message = load(VALID, &["audit.prompts=1000000", "audit.max_new_tokens=100000"]).unwrap_err();
    assert!(message.contains("`audit.prompts = 1000000`: too many of ") && message.contains("write 107"), "{message}");
}

#[test]
fn words_that_no_figure_can_hold_are_refused_with_their_key() {
    let cases: &[Case] = &[
        ("question = \"Does every", "question = \"Does\\u0007 every", "\"Does", &["`question = ", "U+0007", "leave it out"]),
        ("hypothesis = \"It", "hypothesis = \"\\u001b[2JIt", "\"\\u001b", &["`hypothesis = ", "control character U+001B"]),
        ("hypothesis = \"It", "hypothesis = \"\u{9b}2JIt", "\"\u{9b}", &["`hypothesis = ", "control character U+009B"]),
        ("question = \"Does", "question = \"\\uFFFF Does", "\"\\uFFFF", &["`question = ", "U+FFFF"]),
        (
            "surface = \"text\"",
            "surface = { label = { labels = [\"a\", \"b\\r\"], posterior = false } }",
            "\"b\\r\"",
            &["`distill[0].surface.label.labels[1] = ", "U+000D"],
        ),
    ];
    cases.iter().for_each(check);
    let named = VALID.replacen("[marks.kgw]", "[marks.\"k\\u001b[31m\"]", 1);
    let message = load(&named, &[]).unwrap_err();
    assert!(message.contains("`marks.k") && message.contains("control character U+001B"), "{message}");
    let message = load(VALID, &["question='a\u{8}b'"]).unwrap_err();
    assert!(message.contains("--set question") && message.contains("U+0008"), "{message}");
    // a secret is shown nowhere, lines and tabs are words, and so are the two characters that end a line elsewhere
    load(&VALID.replacen("secret = \"birthmark", "secret = \"\\u0001birthmark", 1), &[]).unwrap();
    load(&VALID.replacen("question = \"Does", "question = \"Does\\n\\tit? \\r\\n Does", 1), &[]).unwrap();
}
