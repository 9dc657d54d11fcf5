//! The metrics registry of a process: each name is declared once, with its help, and the root gives the prefix.
//!
//! Encodes OpenMetrics; `prometheus_text` turns that into the older text format for scrapers that ask for it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::{Metric, Unit};

/// Where metrics are registered; clones and prefixed views share one set.
#[derive(Clone, Default)]
pub struct Registry {
    shared: Arc<Mutex<Shared>>,
    prefix: String,
}

#[derive(Default)]
struct Shared {
    registry: prometheus_client::registry::Registry,
    described: Vec<Described>,
}

/// What the generated reference says of a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// The name as it is scraped, with unit and `_total`.
    pub name: String,
    /// counter, gauge, histogram or info.
    pub kind: String,
    /// The help text.
    pub help: String,
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry without prefix.
    pub fn new() -> Self {
        Self::default()
    }

    /// A view whose names begin with `prefix_`.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), prefix: format!("{}{prefix}_", self.prefix) }
    }

    /// Registers a metric that is kept by clones; counters are named without `_total`.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.insert(name, help, None, metric)
    }

    /// Registers a metric whose name gets the unit appended.
    pub fn register_with_unit<M: Metric + Clone>(&self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.insert(name, help, Some(unit), metric)
    }

    fn insert<M: Metric + Clone>(&self, name: &str, help: &str, unit: Option<Unit>, metric: M) -> M {
        let name = format!("{}{name}", self.prefix);
        let mut shared = self.lock();
        shared.described.push(described(&name, help, unit.as_ref(), &metric));
        match unit {
            Some(unit) => shared.registry.register_with_unit(name, help, unit, metric.clone()),
            None => shared.registry.register(name, help, metric.clone()),
        }
        metric
    }

    /// Registers what computes its metrics at each scrape; `describes` is what the reference says of them.
    pub fn register_collector(&self, collector: Box<dyn Collector>, describes: Vec<Described>) {
        let mut shared = self.lock();
        shared.described.extend(describes);
        shared.registry.register_collector(collector);
    }

    /// Every metric that was registered, by name.
    pub fn describe(&self) -> Vec<Described> {
        let mut all = self.lock().described.clone();
        all.sort();
        all.dedup();
        all
    }

    /// OpenMetrics 1.0 text.
    pub fn open_metrics(&self) -> String {
        open_metrics_of(&[self])
    }

    /// Prometheus text format 0.0.4.
    pub fn prometheus_text(&self) -> String {
        prometheus_text(&self.open_metrics())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// OpenMetrics 1.0 text of several registries, which share no name.
pub fn open_metrics_of(registries: &[&Registry]) -> String {
    let mut text = String::new();
    let encoded =
        registries.iter().try_for_each(|registry| encode_registry(&mut text, &registry.lock().registry));
    match encoded.and_then(|()| encode_eof(&mut text)) {
        Ok(()) => text,
        Err(error) => {
            tracing::error!(%error, "metrics not encoded");
            String::from("# EOF\n")
        }
    }
}

/// Prometheus text format 0.0.4 of several registries, which share no name.
pub fn prometheus_text_of(registries: &[&Registry]) -> String {
    prometheus_text(&open_metrics_of(registries))
}

fn described(name: &str, help: &str, unit: Option<&Unit>, metric: &impl EncodeMetric) -> Described {
    let kind = metric.metric_type().as_str().to_owned();
    let mut name = name.to_owned();
    if let Some(unit) = unit {
        name.push('_');
        name.push_str(unit.as_str());
    }
    match kind.as_str() {
        "counter" => name.push_str("_total"),
        "info" => name.push_str("_info"),
        _ => {}
    }
    Described { name, kind, help: help.to_owned() }
}

/// Markdown table of the registry's metrics, for `docs/reference/`.
pub fn reference(metrics: &[Described]) -> String {
    let mut text = String::from("| Metric | Type | Meaning |\n|---|---|---|\n");
    for Described { name, kind, help } in metrics {
        text.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
    text
}

/// The older format names a counter's family with `_total`, knows no unit, no exemplar and no end mark.
fn prometheus_text(open_metrics: &str) -> String {
    let mut counters = Vec::new();
    let mut infos = Vec::new();
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            if let Some(name) = rest.strip_suffix(" counter") {
                counters.push(name);
            } else if let Some(name) = rest.strip_suffix(" info") {
                infos.push(name);
            }
        }
    }
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some((keyword, rest)) = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|keyword| line.strip_prefix(keyword).map(|rest| (keyword, rest)))
        else {
            text.push_str(without_exemplar(line));
            text.push('\n');
            continue;
        };
        let (name, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        let (suffix, tail) = if counters.contains(&name) {
            ("_total", tail)
        } else if infos.contains(&name) {
            ("_info", if keyword == "# TYPE " { "gauge" } else { tail })
        } else {
            ("", tail)
        };
        text.push_str(&format!("{keyword}{name}{suffix} {tail}\n"));
    }
    text
}

/// A sample without its exemplar; what looks like one within a label's value stays.
fn without_exemplar(line: &str) -> &str {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, letter) in line.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted && line[at..].starts_with("# {") => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Unit;

    use super::{Registry, reference, without_exemplar};

    #[test]
    fn an_exemplar_is_told_from_a_label() {
        let sample = r#"a_bucket{name="GET # {x} \" # {",le="1"} 3"#;
        assert_eq!(without_exemplar(sample), sample);
        assert_eq!(without_exemplar(&format!("{sample} # {{trace_id=\"0\"}} 0.5 1")), sample);
    }

    #[test]
    fn both_formats_name_a_counter_with_total() {
        let registry = Registry::new();
        let view = registry.with_prefix("wake_agent");
        let rows: Counter = view.register("window_rows", "Rows", Counter::default());
        rows.inc_by(3);
        let bytes: Gauge = view.register_with_unit("spool", "Spool", Unit::Bytes, Gauge::default());
        bytes.set(7);
        let open = registry.open_metrics();
        assert!(open.contains("# TYPE wake_agent_window_rows counter"), "{open}");
        assert!(open.ends_with("# EOF\n"));
        let text = registry.prometheus_text();
        assert!(text.contains("# TYPE wake_agent_window_rows_total counter"), "{text}");
        assert!(text.contains("wake_agent_window_rows_total 3"), "{text}");
        assert!(text.contains("wake_agent_spool_bytes 7"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
        let names: Vec<_> = registry.describe().into_iter().map(|metric| metric.name).collect();
        assert_eq!(names, ["wake_agent_spool_bytes", "wake_agent_window_rows_total"]);
        assert!(
            reference(&registry.describe()).contains("| `wake_agent_window_rows_total` | counter | Rows |")
        );
    }
}
