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

#[cfg(test)]
mod tests {
    use super::Context;
    use crate::requests::ids::Ids;
    use crate::requests::protocol::TraceContext;

    #[test]
    fn a_client_takes_the_span_of_its_header_and_a_server_is_its_child() {
        let mut ids = Ids::seeded(1);
        let header = Some(TraceContext { trace_id: [0x4b; 16], span_id: [0xb7; 8], sampled: true });
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
