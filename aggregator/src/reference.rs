//! What the aggregator says of itself in Markdown, for `docs/reference`.

use daemon::clock::Clock;
use daemon::http::HttpMetrics;
use daemon::metrics::Registry;
use store::Table;

use crate::audit::AuditMetrics;
use crate::metrics::{
    ExportMetrics, IngestMetrics, KubeMetrics, OtlpMetrics, QueryMetrics, ScheduleMetrics, TlsMetrics,
    described_store,
};
use crate::red::Red;

/// Every metric.
pub fn metrics() -> String {
    let registry = Registry::new();
    let root = registry.with_prefix("wake_aggregator");
    drop(HttpMetrics::register(&root));
    drop(IngestMetrics::register(&root, &Clock::system()));
    drop(OtlpMetrics::register(&root, &Clock::system()));
    drop(ExportMetrics::register(&root));
    drop(QueryMetrics::register(&root));
    drop(ScheduleMetrics::register(&root));
    drop(KubeMetrics::register(&root));
    drop(TlsMetrics::register(&root, &Clock::system()));
    drop(AuditMetrics::register(&root));
    drop(Red::register(&registry, &root));
    let mut described = registry.describe();
    described.extend(described_store());
    described.sort_by(|left, right| left.name.cmp(&right.name));
    daemon::metrics::reference(&described)
}

/// Every table with its columns, their types and whether they may be absent.
pub fn tables() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        text.push_str(&format!("## {}\n\n| Column | Type | May be absent |\n|---|---|---|\n", table.name()));
        let schema = table.schema();
        for field in schema.fields().iter().filter(|field| field.name() != "lsn") {
            let absent = if field.is_nullable() { "yes" } else { "no" };
            text.push_str(&format!("| `{}` | {} | {absent} |\n", field.name(), kind(field.data_type())));
        }
        text.push('\n');
    }
    text
}

/// The type in the words of SQL.
fn kind(kind: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match kind {
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::List(item) => format!("list of {}", self::kind(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!(
                    "map of {} to {}",
                    self::kind(fields[0].data_type()),
                    self::kind(fields[1].data_type())
                )
            }
            other => kind_of(other),
        },
        other => kind_of(other),
    }
}

fn kind_of(kind: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match kind {
        DataType::Timestamp(..) => "timestamp (ns, UTC)".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        other => other.to_string(),
    }
}
