//! The peer of the virtual world: a script over virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rng::Chance;
use super::wire::{Lane, Packet};

/// What the peer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Waits for a whole request head.
    AwaitHead,
    /// Waits for so many bytes beyond what was awaited before.
    AwaitBytes(usize),
    /// Waits for our end.
    AwaitEnd,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Ends its side.
    Fin,
    /// Resets.
    Reset,
    /// Does nothing any more: neither answers nor ends.
    Silence,
}

/// What the peer saw and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerSaw {
    /// Bytes of ours.
    Bytes(usize),
    /// Our FIN.
    Fin,
    /// Our RST.
    Rst,
}

/// The peer.
#[derive(Debug)]
pub(super) struct Peer {
    script: VecDeque<Step>,
    received: Vec<u8>,
    awaited: usize,
    ended: Option<PeerSaw>,
    wakes_at: Option<Instant>,
    gone: Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    No,
    /// Its side has ended.
    Half,
    /// It was reset, by either.
    Wholly,
}

impl Peer {
    pub(super) fn new(script: impl IntoIterator<Item = Step>) -> Self {
        Self {
            script: script.into_iter().collect(),
            received: Vec::new(),
            awaited: 0,
            ended: None,
            wakes_at: None,
            gone: Gone::No,
        }
    }

    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.wakes_at
    }

    /// Takes what arrives; what the peer saw of it.
    pub(super) fn take(&mut self, packet: Packet) -> PeerSaw {
        let saw = match packet {
            Packet::Bytes(bytes) => {
                self.received.extend_from_slice(&bytes);
                return PeerSaw::Bytes(bytes.len());
            }
            Packet::Fin => PeerSaw::Fin,
            Packet::Rst => {
                (self.gone, self.wakes_at) = (Gone::Wholly, None);
                PeerSaw::Rst
            }
        };
        self.ended = Some(saw.clone());
        saw
    }

    /// Goes on with the script as far as it can.
    pub(super) fn act(&mut self, now: Instant, lane: &mut Lane, chance: &mut Chance) {
        while self.gone != Gone::Wholly {
            let Some(step) = self.script.front() else { return };
            let fresh = &self.received[self.awaited..];
            match step {
                Step::AwaitHead => {
                    let Some(at) = fresh.windows(4).position(|window| window == b"\r\n\r\n") else { return };
                    self.awaited += at + 4;
                }
                Step::AwaitBytes(bytes) if fresh.len() < *bytes => return,
                Step::AwaitBytes(bytes) => self.awaited += bytes,
                Step::AwaitEnd if self.ended.is_none() => return,
                Step::AwaitEnd => {}
                Step::Wait(time) => match self.wakes_at {
                    None => {
                        self.wakes_at = Some(now + *time);
                        return;
                    }
                    Some(at) if at > now => return,
                    Some(_) => self.wakes_at = None,
                },
                Step::Send(bytes) if self.gone == Gone::No => lane.send_bytes(now, bytes, chance),
                Step::Fin if self.gone == Gone::No => {
                    lane.send(now, Packet::Fin, chance);
                    self.gone = Gone::Half;
                }
                Step::Send(_) | Step::Fin => {}
                Step::Reset => {
                    lane.send(now, Packet::Rst, chance);
                    self.gone = Gone::Wholly;
                }
                Step::Silence => return,
            }
            self.script.pop_front();
        }
    }
}
