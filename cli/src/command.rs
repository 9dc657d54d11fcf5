//! One module per command; what they share is here.

mod changes;
mod doctor;
mod events;
mod flows;
mod kube_events;
mod logs;
mod map;
mod patterns;
mod sql;
mod status;
mod syscalls;
mod top;
mod traces;

use anyhow::{Result, bail};

use crate::args::{Cli, Command};
use crate::client::{Answer, Client};
use crate::out::Out;
use crate::reference;
use crate::show::table::{Align, Cell, clean, render};
use crate::show::text;

pub(crate) async fn run(mut args: Cli, out: &Out) -> Result<()> {
    let token = if args.command.asks() { crate::cluster::enter(&mut args).await? } else { None };
    let client = Client::new(&args.server, &args.access)?.bearing(token);
    match args.command {
        Command::Status => status::run(&client, out).await,
        Command::Doctor(args) => doctor::run(&args, &client, out).await,
        Command::Logs(logs) => logs::run(&logs, &client, out).await,
        Command::Flows(flows) => flows::run(&flows, &client, out).await,
        Command::Map(map) => map::run(&map, &client, out).await,
        Command::Top(top) => top::run(&top, &client, out).await,
        Command::Patterns(patterns) => patterns::run(&patterns, &client, out).await,
        Command::Syscalls(syscalls) => syscalls::run(&syscalls, &client, out).await,
        Command::Events(events) if events.kubernetes => kube_events::run(&events, &client, out).await,
        Command::Changes(changes) => changes::run(&changes, &client, out).await,
        Command::Events(events) => events::run(&events, &client, out).await,
        Command::Traces(traces) => traces::run(&traces, &client, out).await,
        Command::Trace(trace) => traces::one(&trace, &client, out).await,
        Command::Sql(sql) => sql::run(&sql, &client, out).await,
        Command::Judge(judge) => crate::judge::judge(&judge, out),
        Command::Eval(eval) => crate::judge::eval(&eval, out),
        Command::Simulate(args) => crate::judge::simulated::run(&args, out),
        Command::Completion { shell } => Ok(out.text(&reference::completion(shell))?),
        Command::Reference => Ok(out.text(&reference::markdown())?),
    }
}

/// `KEY=VALUE` arguments as `where` parameters.
fn filters(given: &[String]) -> Result<Vec<(&'static str, String)>> {
    given
        .iter()
        .map(|filter| match as_filter(filter) {
            Some(_) => Ok(("where", filter.clone())),
            None => bail!("{filter:?} is no filter; write it as KEY=VALUE, e.g. workload=nginx"),
        })
        .collect()
}

/// Key and value, if the text before the first `=` could be a column or an attribute.
fn as_filter(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let mut letters = key.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-/".contains(letter));
    (starts && goes_on).then_some((key, value))
}

/// Rows as JSON lines for programs, else as a table made by `row`; then what is missing from them.
fn show(
    out: &Out,
    answer: &Answer,
    head: &[(&str, Align)],
    row: impl Fn(&crate::client::Row) -> Vec<Cell>,
    nothing: &str,
) -> Result<()> {
    if out.is_json() {
        for row in &answer.rows {
            out.line(&serde_json::to_string(row)?)?;
        }
    } else if answer.rows.is_empty() {
        out.remark(nothing);
    } else {
        let rows: Vec<Vec<Cell>> = answer.rows.iter().map(row).collect();
        for line in render(out, head, &rows) {
            out.line(&line)?;
        }
    }
    remark_incomplete(out, answer);
    Ok(())
}

/// Says why an answer is not whole.
fn remark_incomplete(out: &Out, answer: &Answer) {
    if answer.complete {
        return;
    }
    if answer.reasons.is_empty() {
        out.remark("incomplete: the aggregator gives no reason");
    }
    for reason in &answer.reasons {
        remark_reason(out, reason);
    }
}

/// Says one reason why an answer is not whole.
fn remark_reason(out: &Out, reason: &crate::client::Row) {
    out.remark(&format!("incomplete: {} ({})", clean(text(reason, "detail")), clean(text(reason, "code"))));
}

#[cfg(test)]
mod tests {
    use super::as_filter;

    #[test]
    fn filters_are_told_from_text() {
        assert_eq!(as_filter("workload=nginx"), Some(("workload", "nginx")));
        assert_eq!(as_filter("http.route=/a=b"), Some(("http.route", "/a=b")));
        assert_eq!(as_filter("GET /?q=1"), None);
        assert_eq!(as_filter("=x"), None);
        assert_eq!(as_filter("timeout"), None);
    }
}
