use super::*;

#[test]
fn numbers_read_well() {
    for (x, want) in [(0.0, "0"), (950.0, "950"), (9_999.0, "9999"), (40_960.0, "41.0 k"), (2e6, "2.00 M"), (1.234e11, "123 G")] {
        assert_eq!(count(x), want);
    }
    for (x, want) in [(0.0, "0.0 s"), (75.0, "75 s"), (130.0, "2 min 10 s"), (8000.0, "2 h 13 min"), (1e6, "11.6 days")] {
        assert_eq!(duration(x), want);
    }
}

#[test]
fn a_bar_counts_from_any_thread() {
    let bar = Progress::quiet().stage("work", 100, "tokens");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| bar.inc(1)));
        }
    });
    assert_eq!(bar.done(), 100);
    assert!(bar.status(50).starts_with("work: 50 %, 50 tokens, "), "{}", bar.status(50));
    bar.finish("done");
}

#[test]
fn what_an_earlier_process_did_counts_for_the_share_only() {
    let bar = Progress::quiet().stage("work", 100, "tokens");
    bar.skip(60);
    bar.inc(20);
    assert!(bar.status(bar.done()).starts_with("work: 80 %, 20 tokens, "), "{}", bar.status(20));
}

#[test]
fn a_line_for_programs_has_the_stated_fields() {
    let progress = Progress::json();
    progress.plan(&Predicted { models: 1.0, students: 1.0, measuring: 0.0 });
    let bar = progress.stage("work", 100, "tokens");
    bar.inc(50);
    let line: serde_json::Value = serde_json::from_str(&bar.event(What::Progress).line()).unwrap();
    assert_eq!((&line["schema"], &line["event"], &line["stage"]), (&1.into(), &"progress".into(), &"work".into()));
    assert_eq!((&line["done"], &line["total"], &line["unit"]), (&50.into(), &100.into(), &"tokens".into()));
    assert!(line["run_done"].is_number() && line.get("text").is_none(), "{line}");
    let line: serde_json::Value = serde_json::from_str(&error_line("no \"such\" file", 2, 0.5)).unwrap();
    assert_eq!(
        line,
        serde_json::json!({ "schema": 1, "event": "error", "at_seconds": 0.5, "text": "no \"such\" file", "exit_code": 2 })
    );
}
