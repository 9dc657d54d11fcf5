//! `wake events --kubernetes`: Events of Kubernetes.

use anyhow::Result;

use super::{filters, show};
use crate::args::Events;
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, toned};
use crate::show::{number, text, units};

const BACK: &str = "1h";

const HEAD: [(&str, Align); 5] = [
    ("TIME (UTC)", Align::Left),
    ("TYPE", Align::Left),
    ("REASON", Align::Left),
    ("OBJECT", Align::Left),
    ("NOTE", Align::Left),
];

pub(super) async fn run(args: &Events, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.params());
    params.push(("limit", args.limit.to_string()));
    let mut answer = client.rows("kube/events", &params).await?;
    answer.rows.reverse();
    show(out, &answer, &HEAD, row, &format!("no Events of Kubernetes {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    let kind = text(row, "type");
    let tone = if kind == "Warning" { Tone::Warn } else { Tone::Plain };
    let count = number(row, "count").unwrap_or(1.0);
    let reason = text(row, "reason");
    let reason = if count > 1.0 { format!("{reason} ×{}", units::count(count)) } else { reason.to_owned() };
    let (namespace, name) = (text(row, "namespace"), text(row, "regarding_name"));
    let kind_of = text(row, "regarding_kind").to_lowercase();
    let object = if namespace.is_empty() {
        format!("{kind_of}/{name}")
    } else {
        format!("{namespace}/{kind_of}/{name}")
    };
    vec![
        toned(units::time(text(row, "ts")), Tone::Dim),
        toned(kind, tone),
        toned(reason, tone),
        cell(object),
        cell(text(row, "note").replace('\n', " ")),
    ]
}
