//! Framing, interim responses, contradictions, and what is poisoned after an error.

use std::sync::{Arc, Mutex};

use adieu::conn::http1::Builder;
use adieu::{Body, CloseReason, Ended, ErrorKind, ExchangePhase, Phase, Signal, State};
use adieu_testkit::peer::{Gate, Peer, Script, Until, response};
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::props::{at_each_cut, check, ms, pause, play, refuses, seen, side_by_side};
use crate::support::{connect, connect_with, get, read};

fn head() -> Request<Body> {
    Request::head("http://example.com/").body(Body::empty()).unwrap()
}

// 8. Framing by method and status first.

#[test]
fn framing_of_head_204_304_is_by_method_and_status_whatever_the_fields_say() {
    play(async || {
        let bodiless = [
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
            (true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (true, "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n"),
            (false, "HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n"),
            (false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: \"a\"\r\n\r\n"),
            (false, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ];
        for (to_head, answer) in bodiless {
            // Whoever took it for longer would swallow the response after it.
            let next = response(200, "next");
            let script = Script::new().read_request().send_pieces(answer, 9).read_request().send(next);
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let request = if to_head { head() } else { get("/") };
            let first = sender.send_request(request).await.unwrap();
            assert!(http_body::Body::is_end_stream(first.body()), "{answer}");
            assert_eq!(read(first).await.unwrap(), "");
            assert_eq!(connection.state(), State::Idle, "{answer}");
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
            drop((sender, connection));
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn framing_cut_at_each_place_is_the_same() {
    play(async || {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n";
        at_each_cut(chunked, async |cut| {
            let script = cut.after(Script::new().read_request()).read_request().send(response(200, "next"));
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let whole = sender.send_request(get("/")).await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["x"], "y");
            assert_eq!(whole.to_bytes(), "hello");
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
            drop((sender, connection));
            seen(peer).await.assert_fin();
        })
        .await;
    });
}

#[test]
fn framing_101_that_nobody_asked_for_is_a_bad_response() {
    play(async || {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let peer = Peer::tcp(Script::new().read_request().send(switch).read_to_end().fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadResponse, "{error:?}");
        assert!(matches!(connection.closed().await.reason, CloseReason::ProtocolError(_)));
        seen(peer).await.assert_fin();
    });
}

// 41. Leftover bytes after an upgrade.

#[test]
fn upgrade_leftover_is_whole_wherever_it_is_cut() {
    play(async || {
        let switch = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nleftover";
        at_each_cut(switch, async |cut| {
            let script = cut.after(Script::new().read_head()).fin().read_to_end();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            let request = Request::get("http://example.com/").header("connection", "upgrade");
            let request = request.header("upgrade", "x").body(Body::empty()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            let mut io = response.into_body().into_upgraded().unwrap();
            let mut all = String::new();
            io.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "leftover");
            io.write_all(b"mine").await.unwrap();
            io.shutdown().await.unwrap();
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended),
                (CloseReason::Upgraded, Ended::Clean),
                "{report}"
            );
            let seen = seen(peer).await;
            seen.assert_fin();
            assert!(seen.received().ends_with(b"\r\n\r\nmine"), "{seen}");
        })
        .await;
    });
}

// 9. Interim responses.

#[test]
fn interim_responses_any_number_come_before_the_final_one() {
    play(async || {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
        let answer =
            ["HTTP/1.1 100 Continue\r\n\r\n", early, "HTTP/1.1 102 \r\n\r\n", early, &ok("final")].concat();
        at_each_cut(answer, async |cut| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let hear = heard.clone();
            let builder = Builder::new().on_interim(move |interim| {
                let link = interim.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
                hear.lock().unwrap().push((interim.status().as_u16(), link));
            });
            let script = cut.after(Script::new().read_request()).read_request().send(response(200, "next"));
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            let response = sender.send_request(get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(read(response).await.unwrap(), "final");
            let link = Some("</style.css>".to_owned());
            let expected = [(100, None), (103, link.clone()), (102, None), (103, link)];
            assert_eq!(*heard.lock().unwrap(), expected);
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
            assert_eq!(connection.snapshot().done, 2);
            drop((sender, connection));
            seen(peer).await.assert_fin();
        })
        .await;
    });
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 \r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn interim_responses_are_capped() {
    play(async || {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        for (builder, number, fits) in [
            (Builder::new(), 32, true),
            (Builder::new(), 33, false),
            (Builder::new().max_interim_responses(2), 2, true),
            (Builder::new().max_interim_responses(2), 3, false),
            (Builder::new().max_interim_responses(0), 1, false),
        ] {
            let answer = interim.repeat(number) + &ok("final");
            let script = Script::new().read_request().send_pieces(answer, 50).or_end().read_to_end().fin();
            let peer = Peer::tcp(script).unwrap();
            let (mut sender, connection) = connect_with(&peer, &builder).await;
            let outcome = sender.send_request(get("/")).await;
            if fits {
                assert_eq!(read(outcome.unwrap()).await.unwrap(), "final");
                assert_eq!(connection.state(), State::Idle);
                drop((sender, connection));
                seen(peer).await.assert_fin();
                continue;
            }
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
            let report = connection.closed().await;
            assert_eq!(report.reason, CloseReason::LimitExceeded("interim responses"), "{report}");
            assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
            refuses(&mut sender).await;
            drop(peer);
        }
    });
}

#[test]
fn interim_response_after_the_final_one_answers_no_request() {
    play(async || {
        for pieces in [7, 1000] {
            let answer = ok("final") + "HTTP/1.1 100 Continue\r\n\r\n";
            let script = Script::new().read_request().send_pieces(answer, pieces).mark("sent");
            let peer = Peer::tcp(script.read_to_end().fin()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "final");
            peer.wait_async(0, Until::Mark("sent")).await.unwrap();
            pause(1).await;
            assert_eq!(refuses(&mut sender).await, CloseReason::UnexpectedData);
            let report = connection.closed().await;
            assert_eq!((report.exchanges, report.failed, report.ended), (1, 0, Ended::Clean), "{report}");
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn interim_response_and_then_the_end_is_no_response() {
    play(async || {
        let script = Script::new().read_request().send("HTTP/1.1 103 Early Hints\r\n\r\n").fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IncompleteHead, "{error:?}");
        assert!(error.facts().unwrap().answered > 0);
        let report = connection.closed().await;
        check(&report);
        assert_eq!(
            (report.reason.clone(), report.ended),
            (CloseReason::PeerEndedEarly, Ended::Truncated),
            "{report}"
        );
        seen(peer).await.assert_fin();
    });
}

#[test]
fn interim_response_restarts_the_wait_for_the_head() {
    play(async || {
        let hint = "HTTP/1.1 102 Processing\r\n\r\n";
        let script = Script::new().read_request().times(4, Script::new().pause(ms(60)).send(hint));
        let peer = Peer::tcp(script.pause(ms(60)).send(response(200, "late"))).unwrap();
        let builder = Builder::new().response_head_timeout(Some(ms(160)));
        let (mut sender, connection) = connect_with(&peer, &builder).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "late");
        drop((sender, connection));
        seen(peer).await.assert_fin();
    });
}

// 10. Contradictions.

#[test]
fn transfer_encoding_and_content_length_together_are_read_by_chunks_and_never_reused() {
    play(async || {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        at_each_cut(answer, async |cut| {
            let peer = Peer::tcp(cut.after(Script::new().read_request()).read_to_end().fin()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "hello");
            let reason = refuses(&mut sender).await;
            assert!(matches!(reason, CloseReason::ProtocolError(_)), "{reason:?}");
            let report = connection.closed().await;
            check(&report);
            assert_eq!((report.exchanges, report.failed, report.ended), (1, 0, Ended::Clean), "{report}");
            seen(peer).await.assert_fin();
        })
        .await;
    });
}

#[test]
fn transfer_encoding_on_http_1_0_is_never_reused() {
    play(async || {
        let answer = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let script = Script::new().read_request().send_pieces(answer, 11).read_to_end().fin();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "hi");
        assert!(matches!(refuses(&mut sender).await, CloseReason::ProtocolError(_)));
        assert_eq!(connection.closed().await.ended, Ended::Clean);
        seen(peer).await.assert_fin();
    });
}

#[test]
fn repeated_content_length_that_agrees_is_one() {
    play(async || {
        for fields in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5, 5"] {
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello");
            let script = Script::new().read_request().send_pieces(answer, 8).read_request();
            let peer = Peer::tcp(script.send(response(200, "next"))).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "hello");
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "next");
            drop((sender, connection));
            seen(peer).await.assert_fin();
        }
    });
}

#[test]
fn bad_heads_fail_the_exchange_and_end_the_connection() {
    play(async || {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            "SSH-2.0-OpenSSH_9.9\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n",
        ] {
            for pieces in [6, 1000] {
                let script =
                    Script::new().read_request().send_pieces(answer, pieces).or_end().read_to_end().fin();
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                let error = sender.send_request(get("/")).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BadResponse, "{answer}: {error:?}");
                assert!(matches!(error.close_reason(), Some(CloseReason::ProtocolError(_))), "{error:?}");
                let report = connection.closed().await;
                check(&report);
                assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
                refuses(&mut sender).await;
                drop(peer);
            }
        }
    });
}

#[test]
fn bad_chunks_fail_the_body_and_end_the_connection() {
    play(async || {
        for body in [
            "5\r\nhelloX\r\n",
            "zz\r\n",
            "5 \r\nhello\r\n5x\r\n",
            "-1\r\n",
            "10000000000000000\r\n",
            "5\nhello\r\n",
            "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        ] {
            for pieces in [1, 1000] {
                let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
                let script =
                    Script::new().read_request().send_pieces(answer, pieces).or_end().read_to_end().fin();
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                let response = sender.send_request(get("/")).await.unwrap();
                assert_eq!(response.status(), 200);
                let error = read(response).await.unwrap_err();
                assert_eq!(
                    (error.kind(), error.phase()),
                    (ErrorKind::BadBody, ExchangePhase::ReceivingBody),
                    "{body}"
                );
                let report = connection.closed().await;
                check(&report);
                assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
                assert!(matches!(refuses(&mut sender).await, CloseReason::ProtocolError(_)));
                drop(peer);
            }
        }
    });
}

#[test]
fn a_body_cut_at_each_place_by_the_peers_end_is_incomplete_and_its_bytes_are_delivered() {
    play(async || {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabcdefgh".to_owned();
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n0\r\n\r\n".to_owned();
        for answer in [length, chunked] {
            let head = answer.find("\r\n\r\n").unwrap() + 4;
            side_by_side((0..answer.len()).map(async |cut| {
                let script = Script::new().read_request().send(&answer.as_bytes()[..cut]).fin();
                let peer = Peer::tcp(script).unwrap();
                let (mut sender, connection) = connect(&peer).await;
                let outcome = sender.send_request(get("/")).await;
                let error = if cut < head {
                    outcome.unwrap_err()
                } else {
                    let mut body = outcome.unwrap().into_body();
                    let mut bytes = Vec::new();
                    let error = loop {
                        match body.frame().await.expect("a cut body passed for whole") {
                            Ok(frame) => bytes.extend(frame.into_data().unwrap()),
                            Err(error) => break error,
                        }
                    };
                    let there = answer[head..cut].chars().filter(char::is_ascii_alphabetic);
                    assert_eq!(String::from_utf8(bytes).unwrap(), there.collect::<String>(), "{cut}");
                    error
                };
                let kind = match cut {
                    0 => ErrorKind::NoResponse,
                    cut if cut < head => ErrorKind::IncompleteHead,
                    _ => ErrorKind::IncompleteBody,
                };
                assert_eq!(error.kind(), kind, "{cut}: {error:?}");
                let report = connection.closed().await;
                check(&report);
                assert_eq!(
                    (report.reason.clone(), report.ended, report.failed),
                    (CloseReason::PeerEndedEarly, Ended::Truncated, 1),
                    "{report}"
                );
                seen(peer).await.assert_fin();
            }))
            .await;
        }
    });
}

#[test]
fn a_body_until_close_ends_with_a_fin_and_with_nothing_else() {
    play(async || {
        at_each_cut("HTTP/1.1 200 OK\r\n\r\nto the end", async |cut| {
            let peer = Peer::tcp(cut.after(Script::new().read_request()).fin()).unwrap();
            let (mut sender, connection) = connect(&peer).await;
            assert_eq!(read(sender.send_request(get("/")).await.unwrap()).await.unwrap(), "to the end");
            let report = connection.closed().await;
            check(&report);
            assert_eq!(
                (report.reason.clone(), report.ended, report.exchanges),
                (CloseReason::BodyUntilClose, Ended::Clean, 1),
                "{report}"
            );
            seen(peer).await.assert_fin();
        })
        .await;
        let gate = Gate::new();
        let script =
            Script::new().read_request().send("HTTP/1.1 200 OK\r\n\r\nto the end").gate(&gate).reset();
        let peer = Peer::tcp(script).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "to the end");
        gate.open();
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), ErrorKind::Reset);
        assert_eq!(connection.closed().await.ended, Ended::Reset);
        seen(peer).await;
    });
}

// 47. Poisoned after an error.

#[test]
fn a_body_that_timed_out_is_poisoned_and_its_late_rest_answers_nothing() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_request().send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let peer = Peer::tcp(script.gate(&gate).send("world").or_end().read_to_end().fin()).unwrap();
        let builder = Builder::new().body_gap_timeout(Some(ms(50)));
        let (mut sender, connection) = connect_with(&peer, &builder).await;
        let mut body = sender.send_request(get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::BodyGap), "{error:?}");
        gate.open();
        pause(5).await;
        assert!(body.frame().await.is_none_or(|frame| frame.is_err()), "nothing comes after an error");
        assert_eq!(refuses(&mut sender).await, CloseReason::TimedOut(Phase::BodyGap));
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        let seen = seen(peer).await;
        seen.assert_fin();
        assert_eq!(seen.requests_len(), 1);
    });
}

#[test]
fn a_head_that_timed_out_is_poisoned_and_the_late_response_answers_nothing() {
    play(async || {
        let gate = Gate::new();
        let script = Script::new().read_request().gate(&gate).send(response(200, "late")).read_to_end().fin();
        let peer = Peer::tcp(script).unwrap();
        let builder = Builder::new().response_head_timeout(Some(ms(50)));
        let (mut sender, connection) = connect_with(&peer, &builder).await;
        let error = sender.send_request(get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::ResponseHead), "{error:?}");
        gate.open();
        assert_eq!(refuses(&mut sender).await, CloseReason::TimedOut(Phase::ResponseHead));
        let report = connection.closed().await;
        check(&report);
        assert!(report.sent.contains(Signal::Fin) && report.received.contains(Signal::Fin), "{report}");
        assert_eq!(report.bytes_discarded, report.bytes_received, "{report}");
        let seen = seen(peer).await;
        seen.assert_fin();
        assert_eq!(seen.requests_len(), 1);
    });
}

#[test]
fn a_cancelled_request_is_poisoned_and_its_response_answers_nothing() {
    play(async || {
        let gate = Gate::new();
        let script =
            Script::new().read_request().gate(&gate).send(response(200, "for the first")).read_to_end();
        let peer = Peer::tcp(script.fin()).unwrap();
        let (mut sender, connection) = connect(&peer).await;
        let cancelled = tokio::time::timeout(ms(30), sender.send_request(get("/first"))).await;
        assert!(cancelled.is_err());
        gate.open();
        assert_eq!(refuses(&mut sender).await, CloseReason::RequestCancelled);
        let report = connection.closed().await;
        assert_eq!((report.exchanges, report.failed), (0, 1), "{report}");
        let seen = seen(peer).await;
        seen.assert_fin();
        assert_eq!(seen.requests_len(), 1);
    });
}
