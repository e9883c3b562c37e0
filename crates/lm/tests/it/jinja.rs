//! Chat templates as Jinja: a table of what Python's Jinja2 makes of them (`tests/fixtures/jinja/make.py`), and templates made to
//! exhaust whoever renders them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use lm::{ChatError, ChatMessage, ChatOptions, ChatTemplate};
use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/jinja").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn render(source: &str, messages: &[ChatMessage], extra: &BTreeMap<String, Value>) -> Result<String, ChatError> {
    let options = ChatOptions { add_generation_prompt: true, now: None, extra: extra.clone() };
    ChatTemplate::new(source).render(messages, &BTreeMap::new(), &options)
}

#[test]
fn templates_are_rendered_as_in_python() {
    let told: Value = serde_json::from_str(&read("names.json")).unwrap();
    let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_string();
    let message = |message: &Value| ChatMessage { role: text(message, "role"), content: text(message, "content") };
    let messages: Vec<ChatMessage> = told["messages"].as_array().unwrap().iter().map(message).collect();
    let names: BTreeMap<String, Value> = serde_json::from_value(told["names"].clone()).unwrap();
    let mut wrong = Vec::new();
    let (mut texts, mut errors) = (0, 0);
    for line in read("templates.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let template = case["template"].as_str().unwrap();
        let got = render(template, &messages, &names);
        match (case["text"].as_str(), &got) {
            (Some(text), Ok(got)) if text == got => texts += 1,
            (None, Err(_)) => errors += 1,
            (expected, got) => wrong.push(format!("{template}\n  expected {expected:?}\n  got      {got:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(texts > 1900 && errors > 1100, "{texts} texts and {errors} errors");
}

#[test]
fn no_template_exhausts_stack_memory_or_time() {
    let many = |part: &str, n: usize| part.repeat(n);
    let doubled = |first: &str, step: &str| format!("{first}{}", many(step, 60));
    let cases: Vec<(String, &str)> = vec![
        (format!("{{{{ {}1{} }}}}", many("(", 100_000), many(")", 100_000)), "nested more than 80 deep"),
        (format!("{{{{ {}{} }}}}", many("[", 100_000), many("]", 100_000)), "nested more than 80 deep"),
        (format!("{{{{ {}1 }}}}", many("not ", 50_000)), "nested more than 80 deep"),
        (format!("{{{{ {}1 }}}}", many("-", 100_000)), "nested more than 80 deep"),
        (format!("{{{{ {}", many("{1:", 80_000)), "a tag; it is not closed"),
        (format!("{{{{ 1{} }}}}", many("+1", 100_000)), "more than 250 terms"),
        (format!("{{{{ 1{} }}}}", many(" and 1", 40_000)), "more than 250 terms"),
        (format!("{{{{ x{} }}}}", many(".a", 100_000)), "more than 250 terms"),
        (format!("{{{{ x{} }}}}", many("|e", 100_000)), "more than 250 terms"),
        (format!("{{{{ x{} }}}}", many("()", 100_000)), "more than 250 terms"),
        (many("{% if 1 %}", 20_000), "nested more than 80 deep"),
        (many("{% for a in [1] %}", 10_000), "nested more than 80 deep"),
        (many("{{ 1 }}", 50_000), "350000 bytes; at most 262144"),
        ("{{ [[[1]]]|tojson(indent=2000000000) }}".into(), "more than 64 MiB"),
        ("{{ {'a': [1] * 1000}|tojson(indent=100000) }}".into(), "more than 64 MiB"),
        ("{{ ('a\n' * 1000)|indent(1000000) }}".into(), "more than 64 MiB"),
        ("{{ '%1000000000d'|format(1) }}".into(), "more than 64 MiB"),
        ("{{ '{:1000000000}'.format(1) }}".into(), "more than 64 MiB"),
        ("{{ '%.1000000000f'|format(1.0) }}".into(), "more than 64 MiB"),
        ("{{ '{:.70000f}'.format(1.0) }}".into(), "precision too big"),
        ("{{ [1]|batch(1000000000, 'x')|list }}".into(), "does not come to an end"),
        ("{{ [1]|slice(1000000000)|list }}".into(), "does not come to an end"),
        (doubled("{% set x = 'a' %}", "{% set x = x ~ x %}"), "more than 64 MiB"),
        (doubled("{% set x = 'a' %}", "{% set x = x + x %}"), "more than 64 MiB"),
        (doubled("{% set x = [1] %}", "{% set x = x + x %}"), "more than 64 MiB"),
        (doubled("{% set x = [1] %}", "{% set x = [x, x] %}") + "{{ x }}", "more than 64 MiB"),
        (doubled("{% set x = [1] %}", "{% set x = [x, x] %}") + "{{ x|tojson }}", "more than 64 MiB"),
        (
            doubled("{% set x = [1] %}{% set y = [1] %}", "{% set x = [x, x] %}{% set y = [y, y] %}") + "{{ x == y }}",
            "does not come to an end",
        ),
        (
            "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}".into(),
            "more than 120 deep",
        ),
        ("{% set n = namespace() %}{% set n.a = n %}{{ n }}".into(), "a namespace within another cannot be shown"),
        ("{% set n = namespace() %}{% set n.a = [n] %}{{ n|tojson }}".into(), "not JSON serializable"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(), "more than 700 levels deep"),
        (
            "{% macro f(x) %}{% for a in [1] %}{{ (f(x)|upper) ~ [1, {'a': f(x)}] }}{% endfor %}{% endmacro %}{{ f(1) }}".into(),
            "700 levels",
        ),
        ("{% for i in [1] recursive %}{{ loop([i]) }}{% endfor %}".into(), "more than 700 levels deep"),
        (
            format!("{{% for a in range(99999) %}}{{% for b in range(99999) %}}{}{{% endfor %}}{{% endfor %}}", many("x", 1000)),
            "more than 64 MiB",
        ),
        (
            "{% for a in range(99999) %}{% for b in range(9) %}{{ 'b' in s }}{% endfor %}{% endfor %}".into(),
            "does not come to an end",
        ),
        ("{{ ('a' * 10000)|replace('a', 'b' * 10000) }}".into(), "more than 64 MiB"),
        ("{{ ('a' * 1000000)|replace('', 'b' * 1000) }}".into(), "more than 64 MiB"),
        ("{{ ('a' * 100000).join(['x'] * 10000) }}".into(), "more than 64 MiB"),
        ("{{ 'a'|center(10000000000) }}".into(), "more than 64 MiB"),
        ("{{ ('\t' * 100000).expandtabs(1000000) }}".into(), "more than 64 MiB"),
        ("{{ 10 ** 100000000 }}".into(), "too large"),
        ("{{ 'a' * 100000000000000000000 }}".into(), "more than 64 MiB"),
        ("{% for i in range(10000) %}{% set x = range(100000)|list %}{% endfor %}".into(), "more than 64 MiB"),
        ("{{ range(100000)|unique|list }}".into(), "does not come to an end"),
        ("{{ range(1000000) }}".into(), "Range too big"),
        ("{{ ('a' * 1000000).strip('b' * 100000 ~ 'a') }}".into(), "does not come to an end"),
    ];
    let extra = BTreeMap::from([("s".to_string(), Value::from("a".repeat(100_000)))]);
    for (source, part) in cases {
        let begun = Instant::now();
        let error = render(&source, &[ChatMessage::user("x")], &extra).unwrap_err().to_string();
        let shown: String = source.chars().take(60).collect();
        assert!(error.contains(part), "{shown}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{shown}: {:?}", begun.elapsed());
    }
}

#[test]
fn long_chains_that_hold_nothing_back_are_dropped_again() {
    for source in [
        "{% set n = namespace(p=1) %}{% for i in range(50000) %}{% set q = namespace(p=n.p) %}{% set n.p = q %}{% endfor %}ok",
        "{% set n = namespace(m=1) %}{% for i in range(50000) %}{% set old = n.m %}{% macro m() %}{{ old }}{% endmacro %}\
         {% set n.m = m %}{% endfor %}ok",
        "{% for i in range(1000) %}{% if loop.changed([loop]) %}{% endif %}{% endfor %}ok",
        "{% set x = cycler(1) %}{% for i in range(100) %}{% set x = cycler(x, x) %}{% endfor %}ok",
    ] {
        assert_eq!(render(source, &[], &BTreeMap::new()).unwrap(), "ok", "{source}");
    }
}

#[test]
fn a_template_is_read_when_it_is_used() {
    let template = ChatTemplate::new(&"{{ (".repeat(30_000));
    assert_eq!(template.source().len(), 120_000);
    let options = ChatOptions::default();
    let error = template.render(&[ChatMessage::user("x")], &BTreeMap::new(), &options).unwrap_err();
    assert!(matches!(&error, ChatError::Template(_)), "{error}");
}

#[test]
fn a_date_is_asked_for_where_one_is_shown() {
    let shows = "{{ strftime_now('%d %B %Y') }}";
    let error = render(shows, &[], &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, ChatError::NeedsDate), "{error}");
    let careful = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}never{% endif %}";
    assert_eq!(render(careful, &[], &BTreeMap::new()).unwrap(), "never");
}
