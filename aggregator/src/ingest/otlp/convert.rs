//! One request → rows: first everything that holds records is checked, then they are read one by one.

use bytes::Bytes;
use store::Scope;

use crate::ingest::otlp::resource;
use crate::ingest::otlp::rows::{Emit, Rejected, Rows};
use crate::ingest::otlp::scope;
use crate::ingest::otlp::wire::{Fields, WireError};
use crate::ingest::otlp::{Signal, logs, spans};

/// Fields of a `Metric` that hold data points: gauge, sum, histogram, exponential histogram, summary.
const POINTS: [u32; 5] = [5, 7, 9, 10, 11];

/// How many records a request has.
///
/// # Errors
/// If it is no OTLP request: nothing of it is taken.
pub(crate) fn count(signal: Signal, request: &[u8]) -> Result<u64, WireError> {
    let mut records = 0;
    for field in Fields::new(request) {
        if let (1, field) = field? {
            records += of_resource(signal, field.bytes(1)?)?;
        }
    }
    Ok(records)
}

fn of_resource(signal: Signal, message: &[u8]) -> Result<u64, WireError> {
    let mut records = 0;
    for field in Fields::new(message) {
        if let (2, field) = field? {
            records += of_scope(signal, field.bytes(2)?)?;
        }
    }
    Ok(records)
}

fn of_scope(signal: Signal, message: &[u8]) -> Result<u64, WireError> {
    let mut records = 0;
    for field in Fields::new(message) {
        let (number, field) = field?;
        if number == 2 {
            let message = field.bytes(2)?;
            records += if signal == Signal::Metrics { points(message)? } else { 1 };
        }
    }
    Ok(records)
}

fn points(metric: &[u8]) -> Result<u64, WireError> {
    let mut points = 0;
    for field in Fields::new(metric) {
        let (number, field) = field?;
        if POINTS.contains(&number) {
            for field in Fields::new(field.bytes(number)?) {
                points += u64::from(field?.0 == 1);
            }
        }
    }
    Ok(points)
}

/// Hands over the rows of a request of logs or traces; says what was rejected. `most_bytes` is the largest request;
/// records of resources whose namespace is not in `allowed` are rejected.
///
/// # Errors
/// If it is no OTLP request: nothing was handed over.
pub(crate) fn convert(
    signal: Signal,
    request: &Bytes,
    now_ns: u64,
    most_bytes: usize,
    allowed: &Scope,
    emit: Emit<'_>,
) -> Result<Rejected, WireError> {
    count(signal, request)?;
    let mut rows = Rows::new(request, now_ns, most_bytes, emit);
    let read = match signal {
        Signal::Logs => logs::read,
        Signal::Traces => spans::read,
        Signal::Metrics => return Ok(rows.finish()),
    };
    for message in scope::each(request, 1) {
        let records = of_resource(signal, message).unwrap_or_default();
        if records == 0 {
            continue;
        }
        let Ok(mut origin) = scope::last(message, 1).and_then(resource::read) else {
            rows.rejected.add("malformed_resource", records);
            continue;
        };
        if !allowed.allows(&origin.identity.namespace) {
            rows.rejected.add("forbidden_namespace", records);
            continue;
        }
        rows.next_origin();
        let attributes = std::mem::take(&mut origin.attributes);
        for message in scope::each(message, 2) {
            let records = of_scope(signal, message).unwrap_or_default();
            if records > 0 && read(message, &origin, &attributes, &mut rows).is_err() {
                rows.rejected.add("malformed_scope", records);
            }
        }
    }
    Ok(rows.finish())
}
