//! The FIN of a packet, taken away.

/// What is left of a packet when its FIN is lost: nothing, or what was sent together with it; the packet itself if it has
/// no FIN. Only IPv4 and TCP are looked into (RFC 791, RFC 9293).
pub(super) fn without_fin(packet: &mut [u8]) -> Option<&[u8]> {
    let Some(fin) = Fin::of(packet) else { return Some(packet) };
    if fin.data == 0 {
        return None;
    }
    // The data would come again with the FIN, and would be lost again, for ever.
    packet[fin.flags] &= !FIN;
    // What is summed up has become smaller by one, and the checksum, its complement, greater by one: RFC 1624 section 3.
    let sum = u16::from_be_bytes([packet[fin.sum], packet[fin.sum + 1]]);
    let (sum, carry) = sum.overflowing_add(1);
    packet[fin.sum..fin.sum + 2].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    Some(packet)
}

/// Where a packet with FIN has what.
struct Fin {
    flags: usize,
    sum: usize,
    /// Bytes of data.
    data: usize,
}

impl Fin {
    fn of(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 4 != 4 || *packet.get(9)? != TCP {
            return None;
        }
        let tcp = usize::from(first & 0xF) * 4;
        let flags = tcp + 13;
        if packet.get(flags)? & FIN == 0 {
            return None;
        }
        let header = usize::from(packet[tcp + 12] >> 4) * 4;
        let sum = tcp + 16;
        packet.get(sum + 1)?;
        Some(Self { flags, sum, data: packet.len().saturating_sub(tcp + header) })
    }
}

const TCP: u8 = 6;
const FIN: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 10.78.0.2 with a right checksum. The last two bytes of the sequence number make the sum.
    fn packet(flags: u8, sequence: u16, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP, 0, 0, 10, 78, 0, 2, 10, 78, 0, 1];
        packet.extend([0, 80, 0x9C, 0x40, 0, 0]);
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 5 << 4, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend(data);
        let sum = !sum(&packet);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The sum of RFC 9293 section 3.1, which is 0xFFFF when the checksum is right.
    fn sum(packet: &[u8]) -> u16 {
        let length = (packet.len() - 20) as u32;
        let words = packet[12..].chunks(2);
        let words = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
        let mut sum = words.sum::<u32>() + u32::from(TCP) + length;
        while sum > 0xFFFF {
            sum = (sum >> 16) + (sum & 0xFFFF);
        }
        sum as u16
    }

    #[test]
    fn a_fin_alone_is_lost() {
        assert_eq!(without_fin(&mut packet(0x11, 1, b"")), None);
    }

    #[test]
    fn what_was_sent_with_a_fin_is_not_lost_with_it_whatever_the_checksum() {
        for sequence in 0..=u16::MAX {
            let mut last = packet(0x19, sequence, b"bye");
            assert_eq!(sum(&last), 0xFFFF);
            let left = without_fin(&mut last).unwrap();
            assert_eq!((left[33], &left[40..], sum(left)), (0x18, &b"bye"[..], 0xFFFF));
        }
    }

    #[test]
    fn all_else_is_as_it_was() {
        let udp = |mut packet: Vec<u8>| {
            packet[9] = 17;
            packet
        };
        let short = packet(0x11, 1, b"")[..36].to_vec();
        for other in [
            packet(0x10, 1, b"data"),
            packet(0x14, 1, b""),
            udp(packet(0x11, 1, b"")),
            short,
            vec![],
            vec![0x60; 60],
        ] {
            assert_eq!(without_fin(&mut other.clone()), Some(&other[..]));
        }
    }
}
