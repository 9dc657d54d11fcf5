//! `wake changes`: objects of Kubernetes that were created, updated or deleted, and what changed in them.

use anyhow::Result;
use serde_json::{Map, Value};

use super::{filters, show};
use crate::args::Changes;
use crate::client::{Client, Row};
use crate::out::{Out, Tone};
use crate::show::table::{Align, Cell, cell, toned};
use crate::show::{text, units};

const BACK: &str = "1h";

const HEAD: [(&str, Align); 5] = [
    ("TIME (UTC)", Align::Left),
    ("CHANGE", Align::Left),
    ("KIND", Align::Left),
    ("OBJECT", Align::Left),
    ("WHAT", Align::Left),
];

pub(super) async fn run(args: &Changes, client: &Client, out: &Out) -> Result<()> {
    let mut params = args.scope.params(BACK);
    params.extend(filters(&args.filters)?);
    params.extend(args.texts.params());
    params.push(("limit", args.limit.to_string()));
    let mut answer = client.rows("changes", &params).await?;
    answer.rows.reverse();
    show(out, &answer, &HEAD, row, &format!("no changes of Kubernetes objects {}", args.scope.words(BACK)))
}

fn row(row: &Row) -> Vec<Cell> {
    let change = text(row, "change");
    let tone = if change == "deleted" { Tone::Warn } else { Tone::Plain };
    let (namespace, name) = (text(row, "namespace"), text(row, "name"));
    let object = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    vec![
        toned(units::time(text(row, "ts")), Tone::Dim),
        toned(change, tone),
        cell(text(row, "kind")),
        cell(object),
        cell(what(text(row, "diff"))),
    ]
}

/// `{"replicas": [2, 3]}` as `replicas: 2 → 3`.
fn what(diff: &str) -> String {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(diff) else { return diff.to_owned() };
    let words: Vec<String> = fields
        .iter()
        .map(|(field, values)| match values.as_array().map(Vec::as_slice) {
            Some([Value::Null, after]) => format!("{field}: {}", plain(after)),
            Some([before, Value::Null]) => format!("{field}: {} → none", plain(before)),
            Some([before, after]) => format!("{field}: {} → {}", plain(before), plain(after)),
            _ => format!("{field}: {values}"),
        })
        .collect();
    words.join("; ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::what;

    #[test]
    fn a_diff_reads_as_before_and_after() {
        let diff =
            r#"{"image/app":["shop:1","shop:2"],"node":[null,"n1"],"paused":[true,null],"replicas":[2,3]}"#;
        let words = "image/app: shop:1 → shop:2; node: n1; paused: true → none; replicas: 2 → 3";
        assert_eq!(what(diff), words);
        assert_eq!((what("").as_str(), what("odd").as_str()), ("", "odd"));
    }
}
