//! Rows of `request` as the store yields them: what agents have counted, also requests that are no spans.

use std::net::IpAddr;

use arrow::array::{Array as _, AsArray as _, Int64Array, ListArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};

use crate::requests::span::Words;

/// The columns that are read.
pub(crate) const COLUMNS: [&str; 17] = [
    "ts",
    "cluster",
    "node",
    "namespace",
    "workload",
    "workload_kind",
    "pod",
    "kind",
    "protocol",
    "name",
    "status",
    "peer_address",
    "server_port",
    "count",
    "spans",
    "duration_ns_sum",
    "duration_hist",
];

/// Requests of one kind in a window, as one end of them saw them; what is absent is ''.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) ts: i64,
    pub(crate) cluster: &'a str,
    pub(crate) node: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) workload: &'a str,
    pub(crate) workload_kind: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) is_client: bool,
    pub(crate) kind: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) name: &'a str,
    pub(crate) status: &'a str,
    /// The other end, where the row still says so.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) server_port: u16,
    pub(crate) count: u64,
    /// How many of them are spans too.
    pub(crate) spans: u64,
    pub(crate) sum_ns: u64,
    /// In the one layout of all histograms.
    pub(crate) hist: &'a [i64],
}

/// How many, and how long they took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) count: u64,
    pub(crate) sum_ns: u64,
    pub(crate) hist: Vec<u64>,
}

impl Counted<'_> {
    /// All of them.
    pub(crate) fn all(&self) -> Weight {
        let hist = self.hist.iter().map(|count| u64::try_from(*count).unwrap_or(0)).collect();
        Weight { count: self.count, sum_ns: self.sum_ns, hist }
    }

    /// Those that are no spans. Agents tell them in rows of their own; of a row with both it is not known how long which
    /// took, and they have their share.
    pub(crate) fn without_span(&self) -> Option<Weight> {
        let all = self.all();
        let count = self.count.saturating_sub(self.spans);
        if count == 0 || count == self.count {
            return (count > 0).then_some(all);
        }
        let share = |value: u64| {
            u64::try_from(u128::from(value) * u128::from(count) / u128::from(self.count)).unwrap_or(value)
        };
        let mut hist: Vec<u64> = all.hist.iter().map(|value| share(*value)).collect();
        let rest = count.saturating_sub(hist.iter().sum());
        if let Some(most) = hist.iter_mut().max() {
            *most += rest;
        }
        Some(Weight { count, sum_ns: share(self.sum_ns), hist })
    }

    /// Where an address of its connections is the same one, as `Span::place` has it.
    pub(crate) fn place(&self) -> String {
        if self.peer.is_some_and(|peer| peer.is_loopback()) {
            format!("{}/{}/{}", self.cluster, self.node, self.pod)
        } else {
            self.cluster.to_owned()
        }
    }
}

/// Every row of a batch of [`COLUMNS`]; none of another one.
pub(crate) fn each(batch: &RecordBatch, take: impl FnMut(Counted<'_>)) {
    // a batch without these columns has nothing to count
    let _read = read(batch, take);
}

fn read(batch: &RecordBatch, mut take: impl FnMut(Counted<'_>)) -> Option<()> {
    let long = |name: &str| -> Option<&Int64Array> { batch.column_by_name(name)?.as_primitive_opt() };
    let (counts, spans, sums) = (long("count")?, long("spans")?, long("duration_ns_sum")?);
    let times: &PrimitiveArray<TimestampNanosecondType> = batch.column_by_name("ts")?.as_primitive_opt()?;
    let ports: &PrimitiveArray<Int32Type> = batch.column_by_name("server_port")?.as_primitive_opt()?;
    let lists: &ListArray = batch.column_by_name("duration_hist")?.as_list_opt()?;
    let values = lists.values().as_primitive_opt::<Int64Type>()?.values();
    let &[_, ref words @ .., _, _, _, _, _] = &COLUMNS;
    let words: [Option<Words<'_>>; 11] = words.map(|name| Words::of(batch, name));
    let known = |value: i64| u64::try_from(value).unwrap_or(0);
    for row in 0..batch.num_rows() {
        let [cluster, node, namespace, workload, workload_kind, pod, kind, protocol, name, status, peer] =
            words.each_ref().map(|words| words.as_ref().map_or("", |words| words.get(row)));
        let at = |row: usize| usize::try_from(lists.value_offsets()[row]).unwrap_or(0);
        let hist = if lists.is_valid(row) { values.get(at(row)..at(row + 1)) } else { None };
        let port = if ports.is_valid(row) { ports.value(row) } else { 0 };
        take(Counted {
            ts: times.value(row),
            cluster,
            node,
            namespace,
            workload,
            workload_kind,
            pod,
            is_client: kind == "client",
            kind,
            protocol,
            name,
            status,
            peer: peer.parse().ok().map(|peer: IpAddr| peer.to_canonical()),
            server_port: u16::try_from(port).unwrap_or(0),
            count: known(counts.value(row)),
            spans: known(spans.value(row)),
            sum_ns: known(sums.value(row)),
            hist: hist.unwrap_or_default(),
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::Counted;

    #[test]
    fn of_a_row_with_both_those_without_span_have_their_share() {
        let hist = [0, 60, 40];
        let row = Counted {
            ts: 0,
            cluster: "",
            node: "",
            namespace: "",
            workload: "",
            workload_kind: "",
            pod: "",
            is_client: true,
            kind: "client",
            protocol: "http",
            name: "",
            status: "",
            peer: None,
            server_port: 80,
            count: 100,
            spans: 67,
            sum_ns: 1_000,
            hist: &hist,
        };
        let found = row.without_span().unwrap();
        assert_eq!((found.count, found.sum_ns, found.hist.iter().sum::<u64>()), (33, 330, 33));
        assert_eq!(Counted { spans: 100, ..row }.without_span(), None);
        assert_eq!(Counted { spans: 0, ..row }.without_span().unwrap(), row.all());
    }
}
