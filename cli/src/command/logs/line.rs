//! One log line on a terminal: time, level, workload, body with what was searched for marked.

use anyhow::Result;
use regex::{Regex, RegexBuilder};

use crate::args::Logs;
use crate::client::Row;
use crate::out::{Out, Tone};
use crate::show::table::clean;
use crate::show::{place, text, units};

/// How lines are shown.
#[derive(Debug)]
pub(super) struct Line {
    /// What to mark; none when nothing was searched for.
    marks: Option<Regex>,
    /// Terminal colour codes that a program wrote into its own log.
    colours: Regex,
}

impl Line {
    pub(super) fn new(args: &Logs) -> Result<Self> {
        let mut parts: Vec<String> = args
            .terms
            .iter()
            .filter(|term| super::as_filter(term).is_none())
            .chain(&args.texts)
            .map(|text| regex::escape(text))
            .collect();
        parts.extend(args.words.iter().map(|word| format!(r"\b{}\b", regex::escape(word))));
        parts.extend(args.regexes.iter().map(|regex| format!("(?:{regex})")));
        let marks = (!parts.is_empty())
            .then(|| RegexBuilder::new(&parts.join("|")).case_insensitive(args.ignore_case).build().ok())
            .flatten();
        Ok(Self { marks, colours: Regex::new(r"\x1b\[[0-9;?]*[ -/]*[@-~]")? })
    }

    pub(super) fn shown(&self, row: &Row, out: &Out) -> String {
        let level = text(row, "level");
        let tone = match level {
            "error" | "fatal" => Tone::Bad,
            "warn" => Tone::Warn,
            _ => Tone::Dim,
        };
        let body = self.colours.replace_all(text(row, "body"), "");
        // for people a record of several lines stands below its first one; for programs a record is one line
        let between = if out.terminal { "\n    " } else { "⏎" };
        let lines: Vec<String> = body.split('\n').map(clean).collect();
        let lines = lines.join(between);
        let mut shown = format!(
            "{} {} {}  {}",
            out.paint(Tone::Dim, &units::time(text(row, "ts"))),
            out.paint(tone, &format!("{level:<5}")),
            out.paint(Tone::Head, &clean(&place(row))),
            self.marked(&lines, out)
        );
        if row.get("truncated") == Some(&serde_json::Value::Bool(true)) {
            shown.push_str(&out.paint(Tone::Warn, " [cut at 1 MiB]"));
        }
        shown
    }

    fn marked(&self, body: &str, out: &Out) -> String {
        match &self.marks {
            Some(marks) => marks
                .replace_all(body, |found: &regex::Captures<'_>| out.paint(Tone::Match, &found[0]))
                .into_owned(),
            None => body.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::Line;
    use crate::args::{Cli, Command, Output};
    use crate::out::Out;

    #[test]
    fn a_line_is_one_line_and_moves_no_cursor() {
        let cli = Cli::parse_from(["wake", "logs", "boom"]);
        let Command::Logs(args) = cli.command else { unreachable!() };
        let row = json!({
            "ts": "2026-11-21T09:30:00.5Z", "level": "error", "workload": "cron.service",
            "body": "\u{1b}[31mboom\u{1b}[0m\n\u{7}", "truncated": true,
        });
        let shown = Line::new(&args).unwrap().shown(row.as_object().unwrap(), &Out::new(Output::Json));
        assert_eq!(shown, "2026-11-21 09:30:00.500 error cron.service  boom⏎\u{fffd} [cut at 1 MiB]");
    }
}
