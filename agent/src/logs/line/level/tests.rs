use super::{Level, of_line};

#[track_caller]
fn check(line: &str, level: Level) {
    assert_eq!(of_line(line.as_bytes()), Some(level), "{line}");
}

#[test]
fn stated_levels_are_found() {
    check(r#"{"level":"info","msg":"x"}"#, Level::Info);
    check(r#"{"ts":1,"msg":"a \" level","Severity": "WARNING"}"#, Level::Warn);
    check(r#"{"level":50,"time":1}"#, Level::Error);
    check(r#"{"request":{"level":"debug"},"level":"fatal"}"#, Level::Fatal);
    check("time=2026 level=warn msg=x", Level::Warn);
    check(r#"ts=1 lvl="error" x"#, Level::Error);
    check("E1121 13:24:59.123456       1 main.go:3] x", Level::Error);
    check("<11>Nov 21 13:24:59 h a: x", Level::Error);
    check("2026-11-21 13:24:59,123 [main] INFO com.example x", Level::Info);
    check("2026-11-21 13:24:59 - app - CRITICAL - x", Level::Fatal);
    check("2026/11/21 13:24:59 [error] 7#7: x", Level::Error);
    check("[WARN] x", Level::Warn);
    check("[2026-11-21T13:24:59Z DEBUG app] x", Level::Debug);
    check("error: cannot open", Level::Error);
    check("panic: runtime error", Level::Fatal);
    check("2026-11-21 13:24:59.123 UTC [12] LOG:  checkpoint", Level::Info);
    check("2026-11-21T13:24:59|TRACE|x", Level::Trace);
}

#[test]
fn nothing_is_guessed() {
    for line in [
        "",
        "x",
        "an error occurred",
        "the info desk",
        r#"{"msg":"level: error"}"#,
        r#"{"a":{"level":"error"}}"#,
        r#"{"level":"#,
        r#"{"level":"weird"}"#,
        r#"{"level":99}"#,
        "GET /error HTTP/1.1",
        "ERRORS: 3",
        "Info about",
        "one two three four five six seven eight nine ERROR",
        "{",
        r#"{"a":"\"#,
        "<999>x",
        "E11",
        "level=",
    ] {
        assert_eq!(of_line(line.as_bytes()), None, "{line}");
    }
}
