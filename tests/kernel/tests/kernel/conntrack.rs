//! Conntrack over netlink against a rule that rewrites destinations, as kube-proxy makes them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;

use agent::decode::conntrack::{self, Dump, Run, Translation};
use agent::kernel::netlink::{Ended, Netfilter, Next};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netns::{Host, Network};
use crate::requires::{Need, requires};

const RULES: &str = "table ip wake_nat {
    chain pre {
        type nat hook prerouting priority -100; policy accept;
        ip daddr 10.96.0.10 tcp dport 80 dnat to 10.77.2.2:8080
        ip daddr 10.96.0.10 udp dport 53 dnat to 10.77.2.2:5353
    }
}";

/// Runs work in a namespace, on a thread of its own.
fn inside<T: Send + 'static>(
    network: &Network,
    host: Host,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let path = format!("/run/netns/{}", network.name(host));
    std::thread::spawn(move || {
        let namespace = std::fs::File::open(path).unwrap();
        let namespace = std::os::fd::AsFd::as_fd(&namespace);
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).unwrap();
        work()
    })
}

fn read(netfilter: &mut Netfilter) -> Vec<Translation> {
    let (mut found, mut dump) = (Vec::new(), None);
    let ended =
        netfilter.ask(&daemon::clock::Clock::default(), conntrack::dump_request, |sequence, bytes| {
            let dump = dump.get_or_insert_with(|| Dump::new(sequence));
            match dump.take(bytes, |translation| found.push(translation)) {
                Run::Goes => Next::More,
                Run::Done => Next::Done,
                Run::Refused(errno) => Next::Refused(errno),
            }
        });
    assert_eq!(ended.unwrap(), Ended::Whole);
    found
}

fn socket(text: &str) -> (IpAddr, u16) {
    let address: SocketAddr = text.parse().unwrap();
    (address.ip(), address.port())
}

#[test]
fn closed_connections_to_a_service_have_their_backend() {
    let needs = [Need::Root, Need::Tool("ip"), Need::Tool("nft")];
    if !requires("conntrack::closed_connections_to_a_service_have_their_backend", &needs) {
        return;
    }
    let network = Network::new();
    network.rules(Host::Router, RULES);
    let (ready, is_ready) = channel();
    let server = inside(&network, Host::Server, move || {
        let tcp = TcpListener::bind("10.77.2.2:8080").unwrap();
        let udp = UdpSocket::bind("10.77.2.2:5353").unwrap();
        ready.send(()).unwrap();
        for _ in 0..4 {
            let (mut stream, _) = tcp.accept().unwrap();
            let mut said = [0; 4];
            stream.read_exact(&mut said).unwrap();
            stream.write_all(&said).unwrap();
        }
        let mut said = [0; 4];
        let (_, from) = udp.recv_from(&mut said).unwrap();
        udp.send_to(&said, from).unwrap();
    });
    is_ready.recv().unwrap();
    let client = inside(&network, Host::Client, || {
        let speak = |to: &str| {
            let mut stream = TcpStream::connect(to).unwrap();
            let port = stream.local_addr().unwrap().port();
            stream.write_all(b"ping").unwrap();
            let mut said = [0; 4];
            stream.read_exact(&mut said).unwrap();
            port
        };
        let ports: Vec<u16> = (0..3).map(|_| speak("10.96.0.10:80")).collect();
        // nobody rewrites this one
        speak("10.77.2.2:8080");
        let udp = UdpSocket::bind("10.77.1.2:0").unwrap();
        udp.send_to(b"ping", "10.96.0.10:53").unwrap();
        udp.recv_from(&mut [0; 4]).unwrap();
        (ports, udp.local_addr().unwrap().port())
    });
    let (ports, udp_port) = client.join().unwrap();
    server.join().unwrap();
    let found = inside(&network, Host::Router, || {
        let mut netfilter = Netfilter::open().unwrap();
        let first = read(&mut netfilter);
        // the same socket again
        assert_eq!(read(&mut netfilter).len(), first.len());
        first
    });
    let mut found = found.join().unwrap();
    found.sort_by_key(|translation| (translation.protocol, translation.client.1));
    let mut expected: Vec<(u8, u16, &str, &str)> =
        ports.iter().map(|port| (6, *port, "10.96.0.10:80", "10.77.2.2:8080")).collect();
    expected.sort_unstable();
    expected.push((17, udp_port, "10.96.0.10:53", "10.77.2.2:5353"));
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (translation, (protocol, port, asked, real)) in found.iter().zip(expected) {
        let Translation { id: _, protocol: found, client, asked: for_, real: by } = *translation;
        assert_eq!(found, protocol);
        assert_eq!(client, socket(&format!("10.77.1.2:{port}")));
        assert_eq!((for_, by), (socket(asked), socket(real)));
    }
}
