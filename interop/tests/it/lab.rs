//! The lab itself: its wire is as slow as it says, can be cut, and loses what it is to lose.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interop::{Lab, LabConfig};

const ONE_WAY: Duration = Duration::from_millis(20);
/// What a busy machine may add.
const GRACE: Duration = Duration::from_millis(50);
/// When nothing has come by then, nothing comes.
const SILENCE: Duration = Duration::from_millis(200);
/// All that must come comes within this.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_connect_takes_a_round_trip() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let listener = listen(&lab);
    let began = Instant::now();
    let _client = connect(&lab, &listener);
    let took = began.elapsed();
    assert!(took >= 2 * ONE_WAY && took < 2 * ONE_WAY + GRACE, "{took:?}");
}

#[test]
fn the_end_of_the_other_is_heard_one_way_later() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let (mut client, server) = connected(&lab);
    let began = Instant::now();
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let took = began.elapsed();
    assert!(took >= ONE_WAY && took < ONE_WAY + GRACE, "{took:?}");
}

#[test]
fn a_cut_wire_carries_nothing_and_a_mended_one_does() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let (mut client, mut server) = connected(&lab);
    // On its way when the wire is cut.
    server.write_all(b"a").unwrap();
    lab.cut();
    server.write_all(b"b").unwrap();
    assert!(is_silent(&mut client, SILENCE));
    lab.mend();
    // The server sends them again.
    let mut said = [0; 2];
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ab");
}

#[test]
fn a_mended_wire_does_not_bring_back_what_was_sent_before() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let [client, server] = [lab.client(), lab.server()].map(|host| {
        let socket = host.run(|| std::net::UdpSocket::bind((host.address(), 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    });
    let to = server.local_addr().unwrap();
    client.send_to(b"on its way", to).unwrap();
    lab.cut();
    client.send_to(b"sent while it is cut", to).unwrap();
    lab.mend();
    client.send_to(b"sent afterwards", to).unwrap();
    let mut said = [0; 100];
    let (length, from) = server.recv_from(&mut said).unwrap();
    assert_eq!((&said[..length], from), (&b"sent afterwards"[..], client.local_addr().unwrap()));
}

#[test]
fn the_servers_fin_is_lost_where_it_is_to_be() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY).drop_server_fins()) else { return };
    let (mut client, mut server) = connected(&lab);
    // The last words are not lost with the goodbye.
    server.write_all(b"last words").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut said = [0; 10];
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"last words");
    assert!(is_silent(&mut client, SILENCE));
    // The client's is not.
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn all_bytes_of_a_long_stream_arrive_in_their_order() {
    let config = LabConfig::new(Duration::from_millis(2)).jitter(Duration::from_millis(2));
    let Some(lab) = lab(config) else { return };
    let (mut client, mut server) = connected(&lab);
    let bytes = crate::support::bytes(4_000_000);
    let mut said = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| server.write_all(&bytes).unwrap());
        client.read_exact(&mut said).unwrap();
    });
    assert!(said == bytes);
}

#[test]
fn two_labs_are_side_by_side() {
    let slow = LabConfig::new(5 * ONE_WAY);
    let (Some(slow), Some(other)) = (lab(slow), lab(LabConfig::new(ONE_WAY))) else { return };
    assert_eq!(slow.server_address(), other.server_address());
    assert_ne!(slow.server().namespace(), other.server().namespace());
    let (mut client, mut server) = connected(&slow);
    let (mut other_client, mut other_server) = connected(&other);
    // What is done to the one does nothing to the other.
    slow.cut();
    server.write_all(b"a").unwrap();
    other_server.write_all(b"b").unwrap();
    let mut said = [0];
    other_client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"b");
    assert!(is_silent(&mut client, SILENCE));
}

#[test]
fn a_runtime_lives_in_a_host() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)).map(Arc::new) else { return };
    let listener = listen(&lab);
    let address = listener.local_addr().unwrap();
    let client = lab.client();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime =
        runtime.worker_threads(2).on_thread_start(move || client.enter()).enable_all().build().unwrap();
    let connected = runtime.spawn(tokio::net::TcpStream::connect(address));
    let connected = runtime.block_on(connected).unwrap().unwrap();
    assert_eq!(connected.local_addr().unwrap().ip(), lab.client_address());
    // One thread is in the host that it has entered; the lab is shared by all.
    let shared = lab.clone();
    let there = std::thread::spawn(move || {
        shared.enter_client();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokio::net::TcpStream::connect(address)).unwrap().local_addr().unwrap().ip()
    });
    assert_eq!(there.join().unwrap(), lab.client_address());
}

#[test]
fn a_process_is_in_the_host_of_the_thread_that_starts_it() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let listener = listen(&lab);
    let table = lab
        .in_server(|| std::process::Command::new("/bin/cat").arg("/proc/net/tcp").output().unwrap().stdout);
    let port = format!(":{:04X} 00000000:0000 0A", listener.local_addr().unwrap().port());
    assert!(String::from_utf8(table).unwrap().contains(&port));
}

#[test]
fn dropped_it_leaves_nothing_whatever_happened() {
    let Some(lab) = lab(LabConfig::new(ONE_WAY)) else { return };
    let names = [lab.client(), lab.server()].map(|host| host.namespace().to_owned());
    let exist = || names.each_ref().map(|name| std::path::Path::new("/var/run/netns").join(name).exists());
    assert_eq!(exist(), [true, true]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let host = lab.server();
        lab.in_server(|| std::panic::panic_any(host.address()));
    }));
    assert!(panicked.unwrap_err().is::<std::net::Ipv4Addr>());
    assert_eq!(exist(), [false, false]);
}

#[test]
fn what_a_killed_program_left_is_gone_when_the_next_one_starts() {
    let Some(first) = lab(LabConfig::new(ONE_WAY)) else { return };
    // A process that is no more.
    let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
    gone.wait().unwrap();
    let left = format!("adieu-lab-{}-0-client", gone.id());
    assert!(std::process::Command::new("ip").args(["netns", "add", &left]).status().unwrap().success());
    let Some(_second) = lab(LabConfig::new(ONE_WAY)) else { return };
    assert!(!std::path::Path::new("/var/run/netns").join(&left).exists());
    // The first one lives.
    let _ = connected(&first);
}

/// A lab; `None`: there is none on this machine, and the test is skipped.
#[track_caller]
fn lab(config: LabConfig) -> Option<Lab> {
    match Lab::start(config) {
        Ok(lab) => Some(lab),
        Err(unavailable) => {
            unavailable.skip();
            None
        }
    }
}

fn listen(lab: &Lab) -> TcpListener {
    lab.in_server(|| TcpListener::bind((lab.server_address(), 0)).unwrap())
}

fn connect(lab: &Lab, to: &TcpListener) -> TcpStream {
    let to: SocketAddr = to.local_addr().unwrap();
    let client = lab.in_client(|| TcpStream::connect_timeout(&to, PATIENCE).unwrap());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// A connection: its client's end and its server's.
fn connected(lab: &Lab) -> (TcpStream, TcpStream) {
    let listener = listen(lab);
    let client = connect(lab, &listener);
    let (server, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), lab.client_address());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Whether nothing comes for so long, neither bytes nor an end.
fn is_silent(stream: &mut TcpStream, long: Duration) -> bool {
    stream.set_read_timeout(Some(long)).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}
