//! The messages of OTLP, as far as they are read: names in JSON, numbers, types.

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// Hex in JSON.
    Id,
    /// Base64 in JSON.
    Bytes,
    Bool,
    /// Any whole number, as a varint.
    Int,
    Fixed64,
    Fixed32,
    Double,
    /// A number, or one of these names in the order of their numbers.
    Enum(&'static [&'static str]),
    Message(&'static [FieldOf]),
    /// `AnyValue`, which may hold itself.
    Any,
    /// Messages whose content is not looked at, only their number.
    Opaque,
}

/// A field of a message: its name in JSON, its number, its type.
pub(super) type FieldOf = (&'static str, u32, Kind);

pub(super) const ANY: &[FieldOf] = &[
    ("stringValue", 1, Kind::Text),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Int),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(ARRAY)),
    ("kvlistValue", 6, Kind::Message(PAIRS)),
    ("bytesValue", 7, Kind::Bytes),
];
const ARRAY: &[FieldOf] = &[("values", 1, Kind::Any)];
const PAIRS: &[FieldOf] = &[("values", 1, Kind::Message(PAIR))];
const PAIR: &[FieldOf] = &[("key", 1, Kind::Text), ("value", 2, Kind::Any)];
const RESOURCE: &[FieldOf] =
    &[("attributes", 1, Kind::Message(PAIR)), ("droppedAttributesCount", 2, Kind::Int)];
const SCOPE: &[FieldOf] =
    &[("name", 1, Kind::Text), ("version", 2, Kind::Text), ("attributes", 3, Kind::Message(PAIR))];
const SEVERITIES: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];
const LOG_RECORD: &[FieldOf] = &[
    ("timeUnixNano", 1, Kind::Fixed64),
    ("severityNumber", 2, Kind::Enum(SEVERITIES)),
    ("severityText", 3, Kind::Text),
    ("body", 5, Kind::Any),
    ("attributes", 6, Kind::Message(PAIR)),
    ("droppedAttributesCount", 7, Kind::Int),
    ("flags", 8, Kind::Fixed32),
    ("traceId", 9, Kind::Id),
    ("spanId", 10, Kind::Id),
    ("observedTimeUnixNano", 11, Kind::Fixed64),
    ("eventName", 12, Kind::Text),
];
pub(super) const LOGS: &[FieldOf] = &[("resourceLogs", 1, Kind::Message(RESOURCE_LOGS))];
const RESOURCE_LOGS: &[FieldOf] =
    &[("resource", 1, Kind::Message(RESOURCE)), ("scopeLogs", 2, Kind::Message(SCOPE_LOGS))];
const SCOPE_LOGS: &[FieldOf] =
    &[("scope", 1, Kind::Message(SCOPE)), ("logRecords", 2, Kind::Message(LOG_RECORD))];

const KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
const SPAN: &[FieldOf] = &[
    ("traceId", 1, Kind::Id),
    ("spanId", 2, Kind::Id),
    ("traceState", 3, Kind::Text),
    ("parentSpanId", 4, Kind::Id),
    ("name", 5, Kind::Text),
    ("kind", 6, Kind::Enum(KINDS)),
    ("startTimeUnixNano", 7, Kind::Fixed64),
    ("endTimeUnixNano", 8, Kind::Fixed64),
    ("attributes", 9, Kind::Message(PAIR)),
    ("droppedAttributesCount", 10, Kind::Int),
    ("events", 11, Kind::Message(EVENT)),
    ("droppedEventsCount", 12, Kind::Int),
    ("links", 13, Kind::Message(LINK)),
    ("droppedLinksCount", 14, Kind::Int),
    ("status", 15, Kind::Message(STATUS)),
];
const EVENT: &[FieldOf] = &[
    ("timeUnixNano", 1, Kind::Fixed64),
    ("name", 2, Kind::Text),
    ("attributes", 3, Kind::Message(PAIR)),
    ("droppedAttributesCount", 4, Kind::Int),
];
const LINK: &[FieldOf] = &[
    ("traceId", 1, Kind::Id),
    ("spanId", 2, Kind::Id),
    ("traceState", 3, Kind::Text),
    ("attributes", 4, Kind::Message(PAIR)),
    ("droppedAttributesCount", 5, Kind::Int),
];
const STATUS: &[FieldOf] = &[("message", 2, Kind::Text), ("code", 3, Kind::Enum(CODES))];
pub(super) const TRACES: &[FieldOf] = &[("resourceSpans", 1, Kind::Message(RESOURCE_SPANS))];
const RESOURCE_SPANS: &[FieldOf] =
    &[("resource", 1, Kind::Message(RESOURCE)), ("scopeSpans", 2, Kind::Message(SCOPE_SPANS))];
const SCOPE_SPANS: &[FieldOf] = &[("scope", 1, Kind::Message(SCOPE)), ("spans", 2, Kind::Message(SPAN))];

pub(super) const METRICS: &[FieldOf] = &[("resourceMetrics", 1, Kind::Message(RESOURCE_METRICS))];
const RESOURCE_METRICS: &[FieldOf] = &[("scopeMetrics", 2, Kind::Message(SCOPE_METRICS))];
const SCOPE_METRICS: &[FieldOf] = &[("metrics", 2, Kind::Message(METRIC))];
const POINTS: &[FieldOf] = &[("dataPoints", 1, Kind::Opaque)];
const METRIC: &[FieldOf] = &[
    ("gauge", 5, Kind::Message(POINTS)),
    ("sum", 7, Kind::Message(POINTS)),
    ("histogram", 9, Kind::Message(POINTS)),
    ("exponentialHistogram", 10, Kind::Message(POINTS)),
    ("summary", 11, Kind::Message(POINTS)),
];
