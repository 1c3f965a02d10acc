//! The second witness: what went over the wire, by tcpdump, read by tshark with the keys of the sessions.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::output::Output;
use crate::place::Place;
use crate::program::Program;
use crate::skip::{need, skip};

/// A capture of all that goes over the loopback interface from and to one port.
pub struct Capture {
    program: Program,
    packets: Output,
    tshark: std::path::PathBuf,
    address: SocketAddr,
    keys: Arc<SessionKeys>,
}

/// One TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// Which connection, in the order in which they began.
    pub connection: usize,
    /// Who sent it.
    pub from: Sender,
    /// Whether it has SYN.
    pub syn: bool,
    /// Whether it has FIN.
    pub fin: bool,
    /// Whether it has RST.
    pub rst: bool,
    /// Bytes of data.
    pub bytes: usize,
    /// TLS alerts that end in it: their descriptions (RFC 8446 section 6).
    pub alerts: Vec<u8>,
}

/// Who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two ends")]
pub enum Sender {
    /// The one who connected.
    Client,
    /// The one whose port is captured.
    Server,
}

/// Writes the secrets of TLS sessions to a file, for tshark to decrypt them.
#[derive(Debug)]
pub struct SessionKeys(Mutex<File>);

impl Capture {
    /// Begins, once packets really are captured; `None`: tcpdump or tshark are not here or may not capture, and the
    /// test is skipped.
    ///
    /// # Panics
    ///
    /// If tcpdump fails in another way.
    pub async fn start(address: SocketAddr) -> Option<Self> {
        let (tcpdump, tshark) = (need("tcpdump")?, need("tshark")?);
        let place = Place::new();
        let keys = Arc::new(SessionKeys(Mutex::new(File::create(place.file(KEYS)).unwrap())));
        let mut command = Command::new(tcpdump);
        // Each packet takes 64 KiB of the buffer, whatever its size.
        command.args([
            "-i",
            "lo",
            "-n",
            "-U",
            "--immediate-mode",
            "-B",
            "16384",
            "-s",
            "65535",
            "-w",
            "-",
            "port",
        ]);
        command.arg(address.port().to_string()).stdin(Stdio::null());
        let (program, packets) = Program::start_apart("tcpdump", command, place);
        if !program.output().says("listening on", 1).await {
            let said = program.output().text();
            let forbidden = ["permission", "permitted"].iter().any(|word| said.contains(word));
            assert!(forbidden, "tcpdump failed: {said}");
            skip(&format!("packets cannot be captured: {}", said.replace('\n', " ")));
            return None;
        }
        Some(Self { program, packets, tshark, address, keys })
    }

    /// Where the secrets of sessions are to be written to, so that what they hide is seen.
    #[must_use]
    pub fn keys(&self) -> Arc<SessionKeys> {
        self.keys.clone()
    }

    /// Ends it: all that was sent up to now, in order.
    ///
    /// # Panics
    ///
    /// If tshark fails.
    pub async fn finish(self) -> Vec<Packet> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(LAST.as_bytes(), self.address).unwrap();
        self.packets.until(LAST).await;
        self.program.signal("INT");
        self.program.output().until("\n0 packets dropped by kernel").await;
        let file = self.program.place().file("packets.pcap");
        std::fs::write(&file, self.packets.bytes()).unwrap();
        read(&self.tshark, &file, &self.program.place().file(KEYS), self.address.port())
    }
}

/// Sent after all else: when it was captured, so was everything before it.
const LAST: &str = "interop: the last packet of this capture";
const KEYS: &str = "keys.log";
const FIELDS: [&str; 7] = [
    "tcp.stream",
    "tcp.srcport",
    "tcp.flags.syn",
    "tcp.flags.fin",
    "tcp.flags.reset",
    "tcp.len",
    "tls.alert_message.desc",
];

fn read(tshark: &Path, packets: &Path, keys: &Path, port: u16) -> Vec<Packet> {
    let mut command = Command::new(tshark);
    command
        .arg("-n")
        .arg("-r")
        .arg(packets)
        .arg("-Y")
        .arg("tcp")
        .arg("-d")
        .arg(format!("tcp.port=={port},tls"));
    command.arg("-o").arg(format!("tls.keylog_file:{}", keys.display()));
    command.args(["-T", "fields", "-E", "separator=|"]).args(FIELDS.iter().flat_map(|field| ["-e", field]));
    let read = command.output().unwrap();
    let (lines, said) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "tshark failed: {said}");
    lines
        .lines()
        .map(|line| packet(line, port).unwrap_or_else(|| panic!("not a packet: {line}\n{said}")))
        .collect()
}

/// One line of tshark's.
fn packet(line: &str, port: u16) -> Option<Packet> {
    let fields: Vec<_> = line.split('|').collect();
    let [connection, source, syn, fin, rst, bytes, alerts] = fields[..] else { return None };
    let flag = |field: &str| match field {
        "1" | "True" => Some(true),
        "0" | "False" => Some(false),
        _ => None,
    };
    let alerts = alerts.split(',').filter(|alert| !alert.is_empty());
    Some(Packet {
        connection: connection.parse().ok()?,
        from: if source.parse() == Ok(port) { Sender::Server } else { Sender::Client },
        syn: flag(syn)?,
        fin: flag(fin)?,
        rst: flag(rst)?,
        bytes: bytes.parse().ok()?,
        alerts: alerts.map(|alert| alert.parse().ok()).collect::<Option<_>>()?,
    })
}

impl rustls::KeyLog for SessionKeys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tshark_is_a_packet() {
        let goodbye = packet("3|40000|0|1|0|24|0", 443).unwrap();
        assert_eq!((goodbye.connection, goodbye.from, goodbye.bytes), (3, Sender::Client, 24));
        assert_eq!((goodbye.syn, goodbye.fin, goodbye.rst, goodbye.alerts), (false, true, false, vec![0]));
        let reset = packet("0|443|False|False|True|0|", 443).unwrap();
        assert_eq!((reset.from, reset.rst, reset.alerts), (Sender::Server, true, vec![]));
        assert_eq!(packet("0|443|0|0|0|", 443), None);
        assert_eq!(packet("0|443|0|0|maybe|0|", 443), None);
    }
}
