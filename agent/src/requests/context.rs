//! Where a request stands in its trace, as far as it is known before its answer.

use super::ids::Ids;
use super::protocol::TraceContext;

/// A span that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span itself.
    pub span_id: [u8; 8],
    /// Whose child it is.
    pub parent: Option<[u8; 8]>,
}

impl Context {
    /// Of a request that a server has got: the child of what its header says.
    pub fn of_server(said: Option<TraceContext>, ids: &mut Ids) -> Self {
        match said {
            Some(said) => Self { trace_id: said.trace_id, span_id: ids.span(), parent: Some(said.span_id) },
            None => Self::root(ids),
        }
    }

    /// Of a request that a client has sent: the span that its header names, unless that only was passed on; the child of
    /// what its thread serves.
    pub fn of_client(said: Option<TraceContext>, serving: Option<Self>, ids: &mut Ids) -> Self {
        let parent = serving.map(|serving| serving.span_id);
        match (said, serving) {
            (Some(said), Some(serving)) if serving.parent == Some(said.span_id) => {
                Self { trace_id: said.trace_id, span_id: ids.span(), parent }
            }
            (Some(said), Some(serving)) if serving.trace_id != said.trace_id => {
                // another trace than that of what is served: the header knows better
                Self { trace_id: said.trace_id, span_id: said.span_id, parent: None }
            }
            (Some(said), _) => Self { trace_id: said.trace_id, span_id: said.span_id, parent },
            (None, Some(serving)) => Self { trace_id: serving.trace_id, span_id: ids.span(), parent },
            (None, None) => Self::root(ids),
        }
    }

    fn root(ids: &mut Ids) -> Self {
        Self { trace_id: ids.trace(), span_id: ids.span(), parent: None }
    }
}

/// The `traceparent` in the head of an HTTP/1 request, before the whole head was decoded.
pub fn said(head: &[u8]) -> Option<TraceContext> {
    const NAME: &[u8] = b"traceparent:";
    // by its lines: every request is looked through
    let behind = |end: usize| head.get(end + 1..).unwrap_or_default();
    let is_named = |line: &&[u8]| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    let line = memchr::memchr_iter(b'\n', head).map(behind).find(is_named)?;
    let value = line.get(NAME.len()..)?.trim_ascii_start();
    let value = value.get(..55)?;
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = parts.as_slice() else { return None };
    if version.eq_ignore_ascii_case(b"ff") {
        return None;
    }
    let trace_id: [u8; 16] = bytes(trace)?;
    let span_id: [u8; 8] = bytes(span)?;
    let [flags]: [u8; 1] = bytes(flags)?;
    let is_valid = trace_id != [0; 16] && span_id != [0; 8];
    is_valid.then_some(TraceContext { trace_id, span_id, sampled: flags & 1 == 1 })
}

fn bytes<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    if hex.len() != N * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Context, said};
    use crate::requests::ids::Ids;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nTraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";

    #[test]
    fn a_header_names_trace_and_span() {
        let found = said(HEAD).unwrap();
        assert_eq!((found.trace_id[0], found.span_id[7], found.sampled), (0x4b, 0xb7, true));
        assert!(said(&HEAD[..80]).is_none(), "cut");
        assert!(said(b"GET / HTTP/1.1\r\ntraceparent: 00-zz\r\n\r\n").is_none());
    }

    #[test]
    fn a_client_takes_the_span_of_its_header_and_a_server_is_its_child() {
        let mut ids = Ids::seeded(1);
        let header = said(HEAD);
        let client = Context::of_client(header, None, &mut ids);
        let server = Context::of_server(header, &mut ids);
        assert_eq!(server.parent, Some(client.span_id));
        assert_eq!(server.trace_id, client.trace_id);
        // the server passes the header on as it came: its call is a span of its own
        let passed_on = Context::of_client(header, Some(server), &mut ids);
        assert_eq!(passed_on.parent, Some(server.span_id));
        assert_ne!(passed_on.span_id, client.span_id);
        // without a header it is the child of what the thread serves
        let child = Context::of_client(None, Some(server), &mut ids);
        assert_eq!((child.trace_id, child.parent), (server.trace_id, Some(server.span_id)));
        assert_ne!(Context::of_client(None, None, &mut ids).trace_id, server.trace_id);
    }
}
