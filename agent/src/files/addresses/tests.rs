use std::fs;
use std::time::Duration;

use super::{Addresses, v4, v6};

const TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.7
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
Local:
        |-- 127.0.0.1
           /32 host LOCAL
";

#[test]
fn local_addresses_are_read_and_others_are_not() {
    assert_eq!(v4(TRIE).map(|address| address.to_string()).collect::<Vec<_>>(), ["10.0.0.7", "127.0.0.1"]);
    let interfaces = "20010db8000000000000000000000007 02 40 00 80     eth0\nnonsense\n0 1\n";
    assert_eq!(v6(interfaces).map(|address| address.to_string()).collect::<Vec<_>>(), ["2001:db8::7"]);
    assert_eq!(v4("|-- x\n/32 host LOCAL\n/32 host LOCAL").count() + v6("\u{e9}").count(), 0);
}

#[test]
fn every_namespace_is_read_once_a_minute_and_loopback_is_left_out() {
    let proc = tempfile::tempdir().unwrap();
    let process = |pid: &str| proc.path().join(pid);
    for pid in ["7", "self"] {
        fs::create_dir_all(process(pid).join("net")).unwrap();
        fs::create_dir_all(process(pid).join("ns")).unwrap();
        fs::write(process(pid).join("ns/net"), "").unwrap();
        fs::write(process(pid).join("net/fib_trie"), TRIE).unwrap();
    }
    let mut addresses = Addresses::new(proc.path().to_owned());
    let at = Duration::from_secs;
    let read: Vec<String> = addresses.get(at(1)).iter().map(ToString::to_string).collect();
    assert_eq!(read, ["10.0.0.7"]);
    fs::write(process("7").join("net/fib_trie"), "").unwrap();
    assert_eq!(addresses.get(at(60)).len(), 1);
    assert!(addresses.get(at(61)).is_empty());
}
