use super::super::tests::{Calls, Request, Response, check, exchanges, tell, told};
use super::super::{Chunk, Protocol, decoder};

const HTTP: Protocol = Protocol::Http1;

#[track_caller]
fn is(calls: &Calls<'_>, expect: &[&str]) {
    check(HTTP, calls, expect);
}

#[test]
fn a_request_and_its_answer() {
    is(
        &[
            (Request, b"GET /users/42?q=secret HTTP/1.1\r\nHost: Shop.example:8080\r\nUser-Agent: x\r\nCookie: secret\r\nX-Request-Id: r-1\r\n\r\n"),
            (Response, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ],
        &["GET /users/{id} http.request.method=GET url.path=/users/{id} http.route=/users/{id} server.address=shop.example \
           server.port=8080 http.request.header.x-request-id=r-1 http.response.status_code=200"],
    );
}

#[test]
fn keep_alive_pipelines_and_bodies() {
    is(
        &[
            (Request, b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET GET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\n\r\n"),
            (Request, b"PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n0\r\nT: v\r\n\r\nDELETE /e HTTP/1.1\r\n\r\n"),
            (Response, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nHTTP/1.1 "),
            (Response, b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
            (Response, b"HTTP/1.1 500 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 304 Not\r\n\r\n"),
        ],
        &[
            "POST /a http.request.method=POST url.path=/a http.route=/a http.response.status_code=201",
            "GET /b http.request.method=GET url.path=/b http.route=/b http.response.status_code=204",
            "HEAD /c http.request.method=HEAD url.path=/c http.route=/c http.response.status_code=200",
            "PUT /d http.request.method=PUT url.path=/d http.route=/d http.response.status_code=500 !500",
            "DELETE /e http.request.method=DELETE url.path=/e http.route=/e http.response.status_code=304",
        ],
    );
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let calls: &Calls<'_> = &[
        (Request, b"GET / HTTP/1.0\r\n\r\n"),
        (Response, b"HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 500 in a body"),
        (Response, b"HTTP/1.1 500 as well"),
    ];
    let found = exchanges(HTTP, calls, usize::MAX);
    assert_eq!((found.len(), found[0].first_byte_ns, found[0].end_ns), (1, Some(1), 2));
    assert_eq!(found[0].attribute("network.protocol.version"), Some("1.0"));
}

#[test]
fn times_are_of_first_and_last_bytes() {
    let calls: &Calls<'_> = &[
        (Request, b"GET / HT"),
        (Request, b"TP/1.1\r\n\r\n"),
        (Response, b"HTTP/1.1 200 OK\r\nContent-Le"),
        (Response, b"ngth: 3\r\n\r\na"),
        (Response, b"bc"),
        (Request, b"GET / HTTP/1.1\r\n\r\n"),
    ];
    let found = exchanges(HTTP, calls, usize::MAX);
    assert_eq!((found[0].start_ns, found[0].first_byte_ns, found[0].end_ns), (0, Some(2), 4));
    assert_eq!((found[1].start_ns, found[1].first_byte_ns, found[1].end_ns), (5, None, 1_000));
    assert_eq!((found[1].failed, found[1].error_type.as_deref()), (true, Some("no_response")));
}

#[test]
fn heads_that_were_cut() {
    let long = format!("GET /shop/items/12345678 HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(500));
    let answer = format!("HTTP/1.1 404 Not Found\r\nX: {}\r\nContent-Length: 3\r\n\r\nabc", "y".repeat(500));
    let calls: &Calls<'_> = &[
        (Request, long.as_bytes()),
        (Response, answer.as_bytes()),
        (Request, long.as_bytes()),
        (Response, answer.as_bytes()),
    ];
    let one = "GET /shop/items/{id} http.request.method=GET url.path=/shop/items/{id} http.route=/shop/items/{id} \
               server.address=a http.response.status_code=404 ?";
    assert_eq!(told(HTTP, calls, 128), [one, one]);
    let short = "GET /shop/items/ http.request.method=GET url.path=/shop/items/ http.route=/shop/items/ \
                 http.response.status_code=404 ?";
    assert_eq!(told(HTTP, calls, 20), [short, short], "half an id is none");
}

#[test]
fn requests_behind_what_was_read_of_a_pipeline_are_missing() {
    let one = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let all = one.repeat(20);
    let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    // read up to the middle of a head, and to its end
    for most in [one.len() * 3 + 9, one.len() * 3] {
        let found = exchanges(HTTP, &[(Request, &all), (Response, answers)], most);
        assert!(found.len() == 4 && found[0].at_least, "{most}: {found:?}");
    }
    // a head of one request alone goes on where its bytes end
    let found = exchanges(HTTP, &[(Request, one), (Response, answers)], one.len() - 5);
    assert!(found.len() == 1 && found[0].truncated && !found[0].at_least, "{found:?}");
}

#[test]
fn a_cut_body_is_passed_over_by_its_length() {
    let post = [b"POST /a HTTP/1.1\r\nContent-Length: 9000\r\n\r\n".as_slice(), &[b'x'; 9000]].concat();
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n".as_slice(), &[b'x'; 30_000]].concat();
    let rest = [[b'x'; 40_000].as_slice(), b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"].concat();
    let calls: &Calls<'_> =
        &[(Request, &post), (Response, &answer), (Request, b"GET /b HTTP/1.1\r\n\r\n"), (Response, &rest)];
    let found = exchanges(HTTP, calls, 256);
    assert_eq!(found.iter().map(|one| one.end_ns).collect::<Vec<_>>(), [3, 3]);
    assert_eq!((found[1].truncated, found[1].error_type.as_deref()), (true, None), "its answer was not seen");
    let found = exchanges(HTTP, calls, 50_000);
    assert_eq!(found.iter().map(|one| one.end_ns).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(found[1].error_type.as_deref(), Some("503"));
}

#[test]
fn the_trace_of_the_application() {
    let head =
        b"GET / HTTP/1.1\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    let found = exchanges(HTTP, &[(Request, head)], usize::MAX);
    assert_eq!(found[0].trace.map(|trace| (trace.trace_id[15], trace.sampled)), Some((0x36, true)));
}

#[test]
fn websockets_and_tunnels_are_left_alone() {
    is(
        &[
            (Request, b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            (Response, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
            (Request, b"GET /no HTTP/1.1\r\n\r\n"),
        ],
        &["GET /ws http.request.method=GET url.path=/ws http.route=/ws http.response.status_code=101"],
    );
    is(
        &[
            (Request, b"CONNECT secret.example:443 HTTP/1.1\r\n\r\n"),
            (Response, b"HTTP/1.1 200 OK\r\n\r\n"),
            (Request, b"\x16\x03\x01"),
        ],
        &["CONNECT http.request.method=CONNECT http.response.status_code=200"],
    );
}

#[test]
fn what_is_no_http_is_passed_over() {
    is(&[(Request, b"\x00\x01\x02 nothing\r\n\r\n"), (Response, b"nothing\r\n\r\n")], &[]);
    let calls: &Calls<'_> = &[
        (Request, b"GET \x01/ HTTP/1.1\r\n\r\n"),
        (Response, b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"),
        (Request, b"GET /a HTTP/1.1\r\n\r\n"),
        (Response, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    assert_eq!(
        told(HTTP, calls, usize::MAX),
        ["GET /a http.request.method=GET url.path=/a http.route=/a http.response.status_code=200 +"]
    );
}

#[test]
fn a_gap_ends_what_was_open_and_marks_it() {
    let mut decoder = decoder(HTTP);
    let mut out = Vec::new();
    let mut chunk = |direction, bytes: &[u8], gap| {
        decoder.chunk(&Chunk { direction, ts_ns: 7, bytes, total: bytes.len() as u64, gap }, &mut out);
    };
    chunk(Request, b"GET /a HTTP/1.1\r\n\r\n", false);
    chunk(Request, b"GET /b HTTP/1.1\r\n\r\n", true);
    chunk(Response, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    let told: Vec<_> = out.iter().map(tell).collect();
    assert_eq!(
        told,
        [
            "GET /a http.request.method=GET url.path=/a http.route=/a ? +",
            "GET /b http.request.method=GET url.path=/b http.route=/b http.response.status_code=200",
        ]
    );
}

#[test]
fn a_connection_met_in_its_middle() {
    is(
        &[
            (Response, b" of a body\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            (Request, b"GET /a HTTP/1.1\r\n\r\n"),
            (Response, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["GET /a http.request.method=GET url.path=/a http.route=/a http.response.status_code=200"],
    );
}

#[test]
fn an_answer_that_begins_behind_another_ends_no_earlier() {
    let calls: &Calls<'_> = &[
        (Request, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
        (Response, b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
    ];
    let found = exchanges(HTTP, calls, usize::MAX);
    assert_eq!((found[1].first_byte_ns, found[1].end_ns), (Some(1), 1));
}

#[test]
fn a_pipeline_after_an_answer_that_could_not_be_read_leaves_nothing_behind() {
    let ask: &[u8] = b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let unreadable = [b"HTTP/1.1 2x0 OK\r\n\r\n".as_slice(), ok, ok].concat();
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}", "x".repeat(90));
    let cut = long.repeat(3);
    for (answers, first) in [(unreadable.as_slice(), ""), (cut.as_bytes(), " http.response.status_code=200")]
    {
        let calls: &Calls<'_> =
            &[(Request, ask), (Response, answers), (Request, b"GET /d HTTP/1.1\r\n\r\n"), (Response, ok)];
        let found = told(HTTP, calls, 60);
        let of = |path: &str, rest: &str| {
            format!("GET /{path} http.request.method=GET url.path=/{path} http.route=/{path}{rest}")
        };
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].starts_with(&of("a", first)), "{found:#?}");
        assert!(found[1].starts_with(&of("b", " ?")) && found[2].starts_with(&of("c", " ?")), "{found:#?}");
        assert_eq!(found[3], of("d", " http.response.status_code=200"));
        assert!(found.iter().any(|one| one.ends_with('+')), "{found:#?}");
    }
}

#[test]
fn interim_answers_are_not_the_answer() {
    // as curl and a server that asks it to go on have it, then hints that come before the answer
    let calls: &Calls<'_> = &[
        (Request, b"POST /orders HTTP/1.1\r\nHost: 127.0.0.1:39151\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nExpect: 100-continue\r\nContent-Length: 7\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"),
        (Response, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (Request, b"a=1&b=2"),
        (Response, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
        (Response, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
    ];
    let found = exchanges(HTTP, calls, usize::MAX);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].start_ns, found[0].first_byte_ns, found[0].end_ns), (0, Some(4), 4));
    assert_eq!(found[0].attribute("http.response.status_code"), Some("201"));
    // nobody answered, though it was asked to go on
    let found = exchanges(HTTP, &calls[..3], usize::MAX);
    assert_eq!((found[0].first_byte_ns, found[0].error_type.as_deref()), (None, Some("no_response")));
}

#[test]
fn behind_hints_that_were_cut_comes_the_answer() {
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(500));
    let ok: &[u8] = b"HTTP/1.1 204 No\r\n\r\n";
    let ask: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
    let is = "GET /a http.request.method=GET url.path=/a http.route=/a";
    let calls: &Calls<'_> = &[(Request, ask), (Response, hints.as_bytes()), (Response, ok), (Request, ask)];
    assert_eq!(told(HTTP, calls, 60)[0], format!("{is} http.response.status_code=204 +"));
    // whether it came in the same call is not known: then the next one's answer is not this one's
    let calls: &Calls<'_> = &[(Request, ask), (Response, hints.as_bytes()), (Request, ask), (Response, ok)];
    let found = told(HTTP, calls, 60);
    assert!(!found[0].contains("204") && found[1].contains("204"), "{found:#?}");
}

/// A server that answers before it has read the body: of the body's rest the length alone is told, and of the next head
/// what comes of it.
#[test]
fn a_body_that_is_read_after_its_answer_hides_no_request() {
    let post = b"POST /a HTTP/1.1\r\nContent-Length: 20000\r\n\r\n";
    let answers =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"];
    let named = |status: &str| {
        format!(
            "POST /a http.request.method=POST url.path=/a http.route=/a http.response.status_code={status}"
        )
    };
    // the next head in a call of its own, and behind the body's end in one of which nothing was seen
    for is_seen in [true, false] {
        let mut decoder = decoder(HTTP);
        let mut out = Vec::new();
        for (number, answer) in (0_u64..).zip(answers) {
            let mut chunk = |direction, bytes: &[u8], total: usize, step: u64| {
                let ts_ns = number * 10 + step;
                decoder.chunk(&Chunk { direction, ts_ns, bytes, total: total as u64, gap: false }, &mut out);
            };
            let is_first = number == 0;
            if is_first || is_seen {
                chunk(Request, post, post.len() + 1_000, 0);
            }
            chunk(Response, answer, answer.len(), 1);
            for at in 0..4 {
                chunk(Request, &[], 4_096, 2 + at);
            }
            let left = 20_000 - 1_000 - 4 * 4_096;
            chunk(Request, &[], if is_seen || !is_first { left } else { left + post.len() + 1_000 }, 8);
        }
        decoder.end(1_000, &mut out);
        let told: Vec<_> = out.iter().map(tell).collect();
        let unseen = "HTTP http.response.status_code=503 !503 ? +".to_owned();
        let second = if is_seen { format!("{} !503", named("503")) } else { unseen };
        assert_eq!(told, [named("200"), second], "{is_seen}");
        assert_eq!((out[1].start_ns, out[1].end_ns), if is_seen { (10, 11) } else { (8, 11) });
    }
}
