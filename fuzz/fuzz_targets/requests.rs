//! Request heads: whatever is asked for, what is sent is exactly one request, read alike by everybody.
//!
//! First line: version, announced length, form of the target. Then the method, the target, and a field a line.

#![no_main]

use adieu_fuzz::chunks::{field, is_text, is_token};
use adieu_fuzz::plan::Plan;
use adieu_proto::codec::request::{Asked, BodyFraming, TargetForm, Unsendable, Wish, encode};
use http::{HeaderName, HeaderValue, Method, Request, Version, request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(plan) = Plan::of(input) else { return };
    let length = [Some(0), None, Some(1), Some(7), Some(1234567890), Some(u64::MAX)][plan.choice(1, 6)];
    let Some(head) = request(&plan) else { return };
    let mut out = b"before".to_vec();
    let form = [TargetForm::Origin, TargetForm::Absolute][plan.choice(2, 2)];
    match encode(&head, length, form, &mut out) {
        Ok(asked) => {
            let out = out.strip_prefix(b"before").expect("nothing before is touched");
            check(&head, length, form, &asked, out);
        }
        Err(unsendable) => excuse(&head, unsendable),
    }
});

/// What the `http` crate lets through.
fn request(plan: &Plan<'_>) -> Option<request::Parts> {
    let version = [Version::HTTP_11, Version::HTTP_10, Version::HTTP_2][plan.choice(0, 3)];
    let mut lines = plan.bytes.split(|&byte| byte == b'\n');
    let method = Method::from_bytes(lines.next()?).ok()?;
    let mut request = Request::builder().version(version).method(method).uri(lines.next()?);
    for line in lines.take(50) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
        request = request.header(HeaderName::from_bytes(&line[..colon]).ok()?, value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fn check(head: &request::Parts, length: Option<u64>, form: TargetForm, asked: &Asked, out: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut read = httparse::Request::new(&mut fields);
    assert_eq!(
        read.parse(out),
        Ok(httparse::Status::Complete(out.len())),
        "{}",
        String::from_utf8_lossy(out)
    );
    let target = read.path.unwrap_or_default();
    assert_eq!(read.method, Some(head.method.as_str()));
    assert_eq!(read.version, Some(u8::from(head.version == Version::HTTP_11)));
    assert!(!target.is_empty() && !target.contains('#'), "{target}");
    assert!(target.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{target:?}");
    let origin = target.starts_with('/') || (target == "*" && head.uri.path() == "*");
    let full =
        head.uri.scheme_str().filter(|_| form == TargetForm::Absolute && head.method != Method::CONNECT);
    match full {
        Some(scheme) => {
            let rest =
                target.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).expect("in full");
            assert!(!rest.split('/').next().unwrap_or_default().contains('@'), "userinfo: {target}");
        }
        None => assert!(origin || head.method == Method::CONNECT, "a target of no form: {target}"),
    }

    // By lines, a second time: what one parser skips another may not.
    let text = out.strip_suffix(b"\r\n\r\n").expect("an empty line at the end");
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    assert_eq!(lines.next().map(|line| line.iter().filter(|byte| **byte == b' ').count()), Some(2));
    let sent: Vec<_> = lines.map(|line| field(line).expect("a field")).collect();
    assert_eq!(sent.len(), read.headers.len());
    let values =
        |name: &str| sent.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value).collect::<Vec<_>>();

    for name in head.headers.keys() {
        let given = head.headers.get_all(name).iter().map(|value| adieu_fuzz::chunks::trim(value.as_bytes()));
        assert!(
            given.eq(values(name.as_str()).iter().map(|value| value.as_slice())),
            "{name} was not sent as given"
        );
        assert!(name.as_str().bytes().all(is_token));
    }
    let added = sent.len() - head.headers.len();
    assert!(added <= 2, "{added} fields were added");
    assert!(sent.iter().all(|(_, value)| value.iter().copied().all(is_text)));
    let hosts = values("host");
    assert!(head.version == Version::HTTP_10 || !hosts.is_empty(), "no Host");
    if !head.headers.contains_key("host") {
        assert!(hosts.len() <= 1 && hosts.iter().all(|host| !host.contains(&b'@')));
    }
    framed(head, length, asked, &values("content-length"), &values("transfer-encoding"));
}

/// The fields say what was decided, in one way only.
fn framed(
    head: &request::Parts,
    length: Option<u64>,
    asked: &Asked,
    lengths: &[&Vec<u8>],
    codings: &[&Vec<u8>],
) {
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).expect("digits");
    match asked.body {
        BodyFraming::None => assert!(lengths.is_empty() && codings.is_empty() && length == Some(0)),
        BodyFraming::Length(decided) => {
            assert!(
                codings.is_empty() && !lengths.is_empty() && length.is_none_or(|length| length == decided)
            );
            for value in lengths {
                for item in text(value).split(',') {
                    assert_eq!(item.trim().parse::<u64>(), Ok(decided));
                }
            }
        }
        BodyFraming::Chunked => {
            assert!(lengths.is_empty() && head.version == Version::HTTP_11);
            assert!(codings.len() == 1 && text(codings[0]).eq_ignore_ascii_case("chunked"));
        }
        other => panic!("an unknown framing: {other:?}"),
    }
    let bodiless = matches!(asked.body, BodyFraming::None | BodyFraming::Length(0));
    assert!(asked.expect_continue == Wish::No || (!bodiless && head.version == Version::HTTP_11));
    assert!(head.method != Method::CONNECT || asked.upgrade == Wish::Yes);
}

/// What is refused has its reason.
fn excuse(head: &request::Parts, unsendable: Unsendable) {
    let holds = |name: &str| head.headers.contains_key(name);
    let holds = match unsendable {
        Unsendable::NoHost => !holds("host") && head.uri.authority().is_none(),
        Unsendable::TwoHosts => head.headers.get_all("host").iter().count() > 1,
        Unsendable::WrongLength => holds("content-length"),
        Unsendable::WrongCoding => holds("transfer-encoding"),
        Unsendable::LengthUnknown => head.version == Version::HTTP_10,
        Unsendable::NoAuthority => head.method == Method::CONNECT && head.uri.authority().is_none(),
        Unsendable::Version => head.version == Version::HTTP_2,
        _ => false,
    };
    assert!(holds, "{unsendable:?} for no reason: {head:?}");
}
