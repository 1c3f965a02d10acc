//! Which proxy for which target, seen from outside. The tables of rules are beside the rules.

use adieu::connect::{Connector, Proxies, Proxy};
use adieu_testkit::peer::{Peer, Script};

use super::{open, target};

#[test]
fn proxies_are_chosen_by_scheme_and_exceptions() {
    let (one, two) = (Proxy::parse("one").unwrap(), Proxy::parse("socks5://two").unwrap());
    let proxies = Proxies::new().http(one.clone()).https(two.clone()).no_proxy("local.example");
    assert_eq!(proxies.proxy_for(&target("http://example.com/")), Some(&one));
    assert_eq!(proxies.proxy_for(&target("https://example.com/")), Some(&two));
    assert_eq!(proxies.proxy_for(&target("https://a.local.example/")), None);
    assert_eq!(Proxies::new().proxy_for(&target("http://example.com/")), None);
    let shown = format!("{:?}", Proxies::new().all(Proxy::parse("http://user:secret@one").unwrap()));
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_target_with_an_exception_is_reached_directly() {
    let peer = Peer::tcp(Script::new()).unwrap();
    let nowhere = Proxy::parse("http://127.0.0.1:1").unwrap();
    let connector = Connector::builder().proxies(Proxies::new().all(nowhere).no_proxy("127.0.0.1")).build();
    drop(open(&connector, &peer.url("/")).await.unwrap());
    peer.finish_async().await.unwrap()[0].assert_fin();
}
