use std::time::Duration;

use daemon::clock::Clock;

use super::{LOOK, TokenFile};
use crate::access::Token;

const DEV: &str = "dev-token-of-16-letters";
const OPS: &str = "ops-token-of-16-letters";

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn each_token_has_its_holder_and_namespaces() {
    let digest = super::hex(&super::sha256(OPS.as_bytes()));
    let file = file(&format!(
        "version: 1\ntokens:\n- {{name: dev, token: {DEV}, namespaces: [shop]}}\n- {{name: ops, sha256: {digest}, operator: true}}\n"
    ));
    let tokens = TokenFile::open(file.path(), Clock::manual(0)).unwrap();
    let dev = tokens.caller(&Token::new(DEV)).unwrap();
    assert!(dev.user.as_deref() == Some("dev") && dev.scope.allows("shop") && !dev.scope.allows("bank"));
    assert!(!dev.is_operator() && tokens.caller(&Token::new(OPS)).unwrap().is_operator());
    let refused = tokens.caller(&Token::new("another-token-of-16")).unwrap_err();
    assert!(!refused.to_string().contains("another"), "{refused}");
}

#[test]
fn a_change_is_seen_and_a_mistake_leaves_what_was() {
    let clock = Clock::manual(0);
    let written = file(&format!("version: 1\ntokens:\n- {{name: dev, token: {DEV}, namespaces: [shop]}}\n"));
    let tokens = TokenFile::open(written.path(), clock.clone()).unwrap();
    std::fs::write(written.path(), "version: 1\ntokens: nonsense\n").unwrap();
    clock.advance(LOOK);
    assert!(tokens.caller(&Token::new(DEV)).is_ok());
    std::fs::write(
        written.path(),
        format!("version: 1\ntokens:\n- {{name: o, token: {OPS}, operator: true}}\n"),
    )
    .unwrap();
    clock.advance(LOOK + Duration::from_secs(1));
    assert!(tokens.caller(&Token::new(DEV)).is_err() && tokens.caller(&Token::new(OPS)).is_ok());
}

#[test]
fn a_file_that_could_not_be_read_once_is_tried_again() {
    let clock = Clock::manual(0);
    let text = |name: &str, token: &str| {
        format!("version: 1\ntokens:\n- {{name: {name}, token: {token}, operator: true}}\n")
    };
    let written = file(&text("dev", DEV));
    let tokens = TokenFile::open(written.path(), clock.clone()).unwrap();
    // one content that cannot be read and one that can, of the same length, time and file
    let (good, at) = (text("ops", OPS), std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    for content in ["x".repeat(good.len()), good] {
        std::fs::write(written.path(), content).unwrap();
        std::fs::File::options().write(true).open(written.path()).unwrap().set_modified(at).unwrap();
        clock.advance(LOOK);
        drop(tokens.caller(&Token::new(DEV)));
    }
    assert!(tokens.caller(&Token::new(OPS)).is_ok() && tokens.caller(&Token::new(DEV)).is_err());
}

#[test]
fn mistakes_are_named_without_the_token() {
    let written = file(&format!(
        "version: 1\ntokens:\n- {{name: a, token: short, namespaces: [x]}}\n- {{token: {DEV}, namespaces: [x]}}\n\
         - {{name: b, token: {DEV}, namespaces: [x], operator: true}}\n- {{name: c, sha256: abc, operator: true}}\n\
         - {{name: d}}\n"
    ));
    let errors = TokenFile::open(written.path(), Clock::manual(0)).unwrap_err().to_string();
    for path in [
        "tokens[0].token",
        "tokens[1].name",
        "tokens[2].namespaces",
        "tokens[2].token",
        "tokens[3].sha256",
        "tokens[4].token",
        "tokens[4].namespaces",
    ] {
        assert!(errors.contains(path), "{path}: {errors}");
    }
    assert!(!errors.contains(DEV) && !errors.contains("short\""), "{errors}");
}
