//! The table of what a kernel shows, row by row: each over loopback and over a slow wire, in the open and under TLS, with
//! acknowledgements at once and late.

use adieu::{CloseMode, Error, Fate, Proof, Replay, ResponseExt};
use interop::Pki;

use super::{Acknowledges, Ending, Place, Server, Wire, client};

const BOTH: [Acknowledges; 2] = [Acknowledges::AtOnce, Acknowledges::Late];
const REFUSED: Fate = Fate::NotProcessed(Proof::ClosedBeforeReceipt);

/// What became of a POST that met this end: its fate where nothing is sent again, and then how often it was processed
/// where a client may send again whatever it likes to.
fn post(
    place: &Place,
    wire: Wire,
    ending: Ending,
    acknowledges: Acknowledges,
) -> (Error, Result<u32, Error>) {
    let pki = Pki::new();
    let once = place.server(ending, acknowledges, wire.server(&pki));
    let (mut error, mut again) = (None, None);
    place.play(async || {
        let client = client(&pki, &once, |builder| builder.replay(Replay::Never));
        error = Some(meet(&client, &once, wire).await.unwrap_err());
        let _ = client.close(CloseMode::now()).await;
    });
    let twice = place.server(ending, acknowledges, wire.server(&pki));
    place.play(async || {
        let client = client(&pki, &twice, |builder| builder);
        again = Some(meet(&client, &twice, wire).await);
        let _ = client.close(CloseMode::now()).await;
    });
    let (error, again) = (error.unwrap(), again.unwrap());
    let what = format!("{wire:?} {ending:?} {acknowledges:?}: {error:?}");
    if error.fate() == REFUSED {
        assert_eq!(once.processed("/second"), 0, "{what}");
    }
    assert!(once.processed("/second") <= 1 && twice.processed("/second") <= 1, "{what}");
    (error, again)
}

/// One request that is answered; then the server ends, and the next is sent before the runtime has heard of it.
async fn meet(client: &adieu::Client, server: &Server, wire: Wire) -> Result<u32, Error> {
    let url = |path: &str| format!("{}://localhost:{}{path}", wire.scheme(), server.address.port());
    client.post(url("/first")).body("first").send().await.unwrap().bytes().await.unwrap();
    server.end_first();
    let response = client.post(url("/second")).body("second").send().await?;
    let info = response.info().cloned().unwrap();
    assert_eq!(response.bytes().await?, "ok");
    Ok(info.replays)
}

/// The whole row: with this fate, sent again or not.
fn row(ending: Ending, fates: &[Fate]) {
    row_of(ending, fates, &BOTH);
}

fn row_of(ending: Ending, fates: &[Fate], how: &[Acknowledges]) {
    let mut places = vec![Place::Loopback];
    places.extend(Place::slow());
    for place in places {
        let slow = matches!(place, Place::Slow(_));
        for wire in Wire::ALL {
            for &acknowledges in how {
                let what = format!("slow: {slow}, {wire:?}, acknowledges {acknowledges:?}");
                let (error, again) = post(&place, wire, ending, acknowledges);
                assert!(fates.contains(&error.fate()), "{what}: {error:?}");
                match again {
                    Ok(replays) => assert_eq!((fates[0], replays), (REFUSED, 1), "{what}"),
                    Err(error) => {
                        assert!(
                            fates.contains(&error.fate()) && error.fate() != REFUSED,
                            "{what}: {error:?}"
                        );
                        assert_eq!(error.replays(), 0, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_request_that_met_an_idle_close_was_not_processed() {
    row(Ending::CloseIdle, &[REFUSED]);
}

#[test]
fn a_peer_that_half_closes_and_reads_on_may_have_processed() {
    row(Ending::HalfCloseAndProcess, &[Fate::Unknown]);
}

#[test]
fn a_peer_that_half_closes_processes_and_closes_may_have_processed() {
    row(Ending::HalfCloseProcessAndClose, &[Fate::Unknown]);
}

/// A RST alone proves nothing: what was acknowledged before it may have been read.
#[test]
fn a_peer_that_half_closes_processes_and_resets_may_have_processed() {
    row_of(Ending::HalfCloseProcessAndReset, &[Fate::Unknown], &[Acknowledges::AtOnce]);
}

#[test]
fn a_peer_that_reads_and_closes_may_have_processed() {
    row(Ending::ProcessAndClose, &[Fate::Unknown]);
}

#[test]
fn a_peer_that_closes_with_the_request_unread_leaves_it_unknown() {
    row(Ending::CloseUnread, &[Fate::Unknown]);
}

#[test]
fn a_peer_that_reads_and_resets_may_have_processed() {
    row(Ending::ProcessAndReset, &[Fate::Unknown]);
}

/// In the open a FIN is the peer's word; under TLS anyone can forge it.
#[test]
fn a_bare_fin_under_tls_proves_nothing() {
    for place in [Some(Place::Loopback), Place::slow()].into_iter().flatten() {
        for acknowledges in BOTH {
            let (error, again) = post(&place, Wire::Tls, Ending::CloseIdleBarely, acknowledges);
            assert_eq!(error.fate(), Fate::Unknown, "{error:?}");
            assert_eq!(again.unwrap_err().fate(), Fate::Unknown);
            let (error, again) = post(&place, Wire::Plain, Ending::CloseIdleBarely, acknowledges);
            assert_eq!((error.fate(), again.unwrap()), (REFUSED, 1), "{error:?}");
        }
    }
}
