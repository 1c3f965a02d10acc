//! In which order addresses are tried (RFC 8305 section 4).

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// The families in turn, beginning with that of the first address; within a family the order stays. Each address once.
pub(super) fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let once: Vec<_> = addresses.into_iter().filter(|address| seen.insert(*address)).collect();
    let Some(first) = once.first().map(SocketAddr::is_ipv4) else { return once };
    // RFC 8305 section 4: "If the first address in the list is an IPv6 address, insert the first IPv4 address"
    // second; so with the families the other way round.
    let (mut preferred, mut other): (VecDeque<_>, VecDeque<_>) =
        once.into_iter().partition(|address| address.is_ipv4() == first);
    let mut order = Vec::with_capacity(preferred.len() + other.len());
    while !preferred.is_empty() || !other.is_empty() {
        order.extend(preferred.pop_front());
        order.extend(other.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Vec<SocketAddr> {
        list.split(' ').filter(|one| !one.is_empty()).map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_first_goes_first() {
        for (found, tried) in [
            ("", ""),
            ("1.1.1.1:1", "1.1.1.1:1"),
            ("[::1]:1 [::2]:1 1.1.1.1:1 2.2.2.2:1", "[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1"),
            ("1.1.1.1:1 2.2.2.2:1 3.3.3.3:1 [::1]:1", "1.1.1.1:1 [::1]:1 2.2.2.2:1 3.3.3.3:1"),
            ("1.1.1.1:1 [::1]:1 1.1.1.1:1", "1.1.1.1:1 [::1]:1"),
        ] {
            assert_eq!(interleaved(addresses(found)), addresses(tried), "{found}");
        }
    }
}
