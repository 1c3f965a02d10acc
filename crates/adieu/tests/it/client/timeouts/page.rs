//! `docs/timeouts.md`: one table of every limit, written from the code and checked against it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use adieu::{CloseMode, Phase, Timeouts};

/// One limit.
struct Row {
    what: &'static str,
    /// The setter on `Timeouts`.
    knob: &'static str,
    default: Option<Duration>,
    from: &'static str,
    to: &'static str,
    ends: Ends,
}

/// What its passing leads to.
enum Ends {
    /// The request fails, and names this phase.
    Fails(Phase),
    /// Something else, which is no error.
    Otherwise(&'static str),
}

use Ends::{Fails, Otherwise};

fn rows() -> Vec<Row> {
    let t = Timeouts::new();
    let row = |what, knob, default, from, to, ends| Row { what, knob, default, from, to, ends };
    vec![
        row(
            "waiting for a connection of the pool",
            "pool",
            t.limit_of_pool(),
            "the request queues",
            "a connection is lent to it, or is being opened for it: then the limits of opening count",
            Fails(Phase::PoolWait),
        ),
        row(
            "resolving",
            "resolve",
            t.limit_of_resolve(),
            "the resolver is asked for the host, or for the proxy",
            "its answer",
            Fails(Phase::Resolve),
        ),
        row(
            "next address",
            "head_start",
            Some(t.time_of_head_start()),
            "a connect to one address begins",
            "the next is tried beside it (RFC 8305)",
            Otherwise("the next address is tried too"),
        ),
        row(
            "connecting",
            "connect",
            t.limit_of_connect(),
            "the first address is tried",
            "one of them took the connection",
            Fails(Phase::Connect),
        ),
        row(
            "the proxy's part",
            "proxy",
            t.limit_of_proxy(),
            "SOCKS or CONNECT begins",
            "the proxy has agreed",
            Fails(Phase::ProxyHandshake),
        ),
        row(
            "TLS handshake",
            "tls",
            t.limit_of_tls(),
            "our first record",
            "the handshake is over",
            Fails(Phase::TlsHandshake),
        ),
        row(
            "write stall",
            "write_stall",
            t.limit_of_write_stall(),
            "the transport takes no bytes that are there to be sent",
            "it takes one; a silent request body does not count",
            Fails(Phase::WriteStall),
        ),
        row(
            "100 (Continue)",
            "continue_wait",
            t.limit_of_continue_wait(),
            "the head with `Expect: 100-continue` is out",
            "an answer",
            Otherwise("the body is sent all the same"),
        ),
        row(
            "response head",
            "response_head",
            t.limit_of_response_head(),
            "the last byte of the request, and anew from each 1xx",
            "the final head",
            Fails(Phase::ResponseHead),
        ),
        row(
            "gap in the body",
            "body_gap",
            t.limit_of_body_gap(),
            "the reader begins to wait",
            "the next piece; never for `text/event-stream` and gRPC",
            Fails(Phase::BodyGap),
        ),
        row(
            "unread body",
            "discard",
            Some(t.time_of_discard()),
            "a response body is dropped whose rest is small",
            "the rest has come, and the connection is kept",
            Otherwise("the connection is closed"),
        ),
        row(
            "the whole exchange",
            "exchange",
            t.limit_of_exchange(),
            "the first poll of the response future",
            "the end of the response body: all of the waits above are a part of it",
            Fails(Phase::Exchange),
        ),
        row(
            "upgraded, silent",
            "upgrade_idle",
            t.limit_of_upgrade_idle(),
            "the last byte in either direction",
            "the next",
            Fails(Phase::UpgradeIdle),
        ),
        row(
            "upgraded, half closed",
            "upgrade_half_closed",
            t.limit_of_upgrade_half_closed(),
            "one side has ended",
            "the other has",
            Fails(Phase::UpgradeHalfClosed),
        ),
        row(
            "idle",
            "idle",
            t.limit_of_idle(),
            "the last exchange has ended",
            "the next begins; less where the peer's `Keep-Alive` says so, a second at least before the first",
            Otherwise("the connection says goodbye: `idle_limit`"),
        ),
        row(
            "age",
            "age",
            t.limit_of_age(),
            "the opening begins; shortened at random by `max_age_jitter`",
            "no new exchange begins; the one in flight ends by itself, or within `max_age_grace`",
            Otherwise("the connection retires: `max_age`"),
        ),
        row(
            "linger",
            "linger",
            Some(t.time_of_linger()),
            "our goodbye begins",
            "the peer's end",
            Otherwise("the connection is dropped: `peer silent`"),
        ),
    ]
}

/// The limits of a close, which its mode brings.
fn closing_rows() -> [(&'static str, &'static str, Option<Duration>); 2] {
    let mode = CloseMode::graceful();
    [
        ("drain", "exchanges in flight fail with \"timed out: draining before a close\"", mode.drain_limit()),
        ("linger", "the peer's end is waited for no longer", Some(mode.linger_limit())),
    ]
}

fn page() -> String {
    let mut page = String::from(HEAD);
    for Row { what, knob, default, from, to, ends } in rows() {
        let ends = match ends {
            Fails(phase) => format!("`Phase::{phase:?}`: \"timed out: {phase}\""),
            Otherwise(what) => what.to_owned(),
        };
        let default = words(default);
        writeln!(page, "| {what} | `{knob}` | {default} | {from} | {to} | {ends} |").unwrap();
    }
    page.push_str(MIDDLE);
    for (knob, what, default) in closing_rows() {
        writeln!(page, "| `CloseMode::{knob}` | {} | {what} |", words(default)).unwrap();
    }
    page
}

fn words(limit: Option<Duration>) -> String {
    limit.map_or_else(
        || "none".to_owned(),
        |limit| match limit.as_secs() {
            0 => format!("{} ms", limit.as_millis()),
            secs => format!("{secs} s"),
        },
    )
}

#[test]
fn the_page_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/timeouts.md");
    let page = page();
    if std::env::var_os("ADIEU_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page, "write it anew: ADIEU_WRITE_DOCS=1");
}

/// `Debug` shows every field, so that a limit which is added is missed here.
#[test]
fn every_limit_has_its_row() {
    let debug = format!("{:#?}", Timeouts::new());
    let fields = debug.lines().filter_map(|line| line.trim().split_once(": ")).map(|(field, _)| field);
    let fields: BTreeSet<_> = fields.filter(|field| *field != "phases").map(ToOwned::to_owned).collect();
    let known: BTreeSet<_> = rows().iter().map(|row| row.knob.to_owned()).collect();
    assert_eq!(known, fields);
}

/// What the documentation of each setter calls its default is its default.
#[test]
fn the_documentation_of_each_limit_tells_its_default() {
    let source = include_str!("../../../../src/client/timeouts.rs");
    for Row { knob, default, .. } in rows() {
        let at = [format!("\n    {knob}, limit_of"), format!("\n    pub fn {knob}(mut self")];
        let at = at.iter().find_map(|words| source.find(words)).unwrap();
        let doc: Vec<_> = source[..at]
            .lines()
            .rev()
            .take_while(|line| line.trim().starts_with("///") || line.trim().starts_with("#["))
            .collect();
        let doc: Vec<_> = doc.iter().rev().map(|line| line.trim().trim_start_matches("///").trim()).collect();
        let doc = doc.join(" ");
        let says = format!("Default {}.", words(default));
        assert!(doc.contains(&says), "{knob} does not say {says:?}: {doc}");
    }
}

const HEAD: &str = "# Timeouts

> Generated by a test from the code (`crates/adieu/tests/it/client/timeouts/page.rs`).
> To rewrite it after a change: `ADIEU_WRITE_DOCS=1 cargo test -p adieu --all-features --test it -- client::timeouts::page`.

Every phase has its own limit: a setter on `adieu::Timeouts`, given to `ClientBuilder::timeouts`, and to
`RequestBuilder::timeouts` for one request (there the phases of an exchange count; those of opening, of the pool and of
idle connections are the client's). `None` means no limit. An error says which limit passed: `ErrorKind::Timeout(phase)`.
What is left of the whole exchange is handed from phase to phase; `RequestBuilder::timeout(None)` lifts it for one request.
A `Connect` of your own has no limits but those it brings itself, and the whole exchange.

| what | `Timeouts::` | default | from | to | when it passes |
|---|---|---|---|---|---|
";

const MIDDLE: &str = "
A close has limits of its own, in its mode:

| | default | when it passes |
|---|---|---|
";
