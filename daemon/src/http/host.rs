//! Which `Host` a loopback listener answers to.
//!
//! A web page whose name was made to point at 127.0.0.1 (DNS rebinding) could read everything that a browser on this
//! machine can reach; its requests carry that name.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Refuses what was meant for another host. Clients without the header (HTTP/1.0) are no browsers.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default().to_owned());
    if host.is_none_or(|host| is_local(&host)) {
        return next.run(request).await;
    }
    let why = "this address answers to localhost or an IP address as Host only\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

/// `localhost` or an address, with or without a port.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _port)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn names_of_others_are_refused() {
        for host in
            ["localhost", "LOCALHOST:9401", "127.0.0.1:9401", "127.0.0.1", "[::1]:9401", "10.1.2.3:80"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9401",
            "localhost.evil.example",
            "",
            "[evil]:1",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
