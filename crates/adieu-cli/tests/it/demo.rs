//! `adieu demo`.

use crate::program::adieu;

#[test]
fn it_ends_as_told_and_its_table_has_every_row() {
    let ran = adieu(&["demo"]).ok();
    let (_, table) = ran.out.split_once("peer saw   time\n").unwrap();
    for row in [
        "graceful, idle",
        "half, idle",
        "now, idle",
        "abort, idle",
        "graceful, busy",
        "half, busy",
        "now, busy",
        "abort, busy",
        "graceful, past its drain",
        "a silent peer",
        "the peer resets",
        "the peer ends first",
        "the peer asks for close",
        "an HTTP/1.0 body",
        "an upload cut short",
        "a half-close refused",
        "everything dropped",
        "graceful, then abort",
        "TLS: graceful",
        "TLS: no close_notify",
        "TLS: a silent peer",
        "TLS: a body cut off",
        "TLS: a body with length",
        "TLS: an end too early",
        "TLS: an upload cut short",
    ] {
        assert!(table.contains(&format!(" ok {row} ")), "{row} is missing in\n{table}");
    }
    assert!(table.contains("All 25 ended as told."), "{table}");
    for part in [
        "26. a whole client\n",
        "report  4 connections closed in ",
        ", 4 clean\n",
        "40 done, 0 failed; 4 user_graceful\n",
    ] {
        assert!(ran.out.contains(part), "{part:?} is missing in\n{}", ran.out);
    }
    let widest = ran.out.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?} columns");
    assert!(!ran.out.contains('\u{1b}'), "colours are for terminals");
}
