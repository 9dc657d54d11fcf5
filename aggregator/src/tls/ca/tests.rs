use daemon::tls::certificate::Described;
use rcgen::{CertificateParams, IsCa, KeyPair, SanType};

use super::{Ca, CaError, make};

const NOW_S: i64 = 1_795_262_400;

fn ca() -> Ca {
    Ca::new(&make(NOW_S).unwrap(), 3_600).unwrap()
}

#[test]
fn an_agents_names_are_given_not_taken() {
    let key = KeyPair::generate().unwrap();
    let mut asked = CertificateParams::default();
    asked.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    asked.subject_alt_names = vec![SanType::URI("spiffe://wake/node/other".to_owned().try_into().unwrap())];
    let csr = asked.serialize_request(&key).unwrap();
    let issued = ca().agent(csr.der(), "node-1", NOW_S).unwrap();
    let described = Described::of(&issued.certificate).unwrap();
    assert_eq!(described.names, ["spiffe://wake/node/node-1"]);
    assert_eq!(described.node.as_deref(), Some("node-1"));
    assert_eq!((described.not_after_s, issued.not_after_s), (NOW_S + 3_600, NOW_S + 3_600));
    assert!(described.renew_at_s() > NOW_S + 2_000 && described.renew_at_s() < NOW_S + 2_500);
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
    assert!(!parsed.is_ca());
}

#[test]
fn hostile_requests_are_refused_with_a_reason() {
    let (ca, key) = (ca(), KeyPair::generate().unwrap());
    let csr = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    for bad in [&b""[..], b"garbage", &csr[..csr.len() - 1], &[0x30; 20_000]] {
        assert!(matches!(ca.agent(bad, "node-1", NOW_S), Err(CaError::Request(_))));
    }
    let mut forged = csr.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(matches!(ca.agent(&forged, "node-1", NOW_S), Err(CaError::Request(_))), "not signed by its key");
    for name in ["", "a/b", "a b", &"x".repeat(300), "node\n"] {
        assert!(matches!(ca.agent(&csr, name, NOW_S), Err(CaError::Name(_))), "{name:?}");
    }
    let late = NOW_S + super::CA_LIFE_S;
    assert!(matches!(ca.agent(&csr, "node-1", late), Err(CaError::Expired(_))));
}

#[test]
fn a_server_has_its_names_and_loopback() {
    let (certificate, _key) =
        ca().server(&["wake.wake.svc".to_owned(), "10.0.0.9".to_owned()], NOW_S).unwrap();
    let described = Described::of(&certificate).unwrap();
    assert_eq!(described.names, ["localhost", "127.0.0.1", "::1", "wake.wake.svc", "10.0.0.9"]);
    assert_eq!(described.node, None);
    assert!(ca().server(&["ä".to_owned()], NOW_S).is_err());
}

#[test]
fn a_short_life_is_renewed_in_its_middle() {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    for life_s in [360, 480, 3_600, 86_400] {
        let ca = Ca::new(&make(NOW_S).unwrap(), life_s).unwrap();
        let described = Described::of(&ca.agent(csr.der(), "node-1", NOW_S).unwrap().certificate).unwrap();
        let after = described.renew_at_s() - NOW_S;
        assert!((life_s / 2..=life_s * 2 / 3).contains(&after), "{life_s}: after {after} s");
    }
}
