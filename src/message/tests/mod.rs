//! The requests of senders, and the answers to receivers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::file::{FileId, FileName, MediaType, Sha256, UnixMillis};
use crate::testing::{cases, mutant};

const FILE: &str = "0123456789abcdef01234567";

fn id() -> FileId {
    FILE.parse().unwrap()
}

fn media_type(text: &str) -> MediaType {
    MediaType::parse(text).unwrap()
}

fn name(text: &str) -> ChosenName {
    ChosenName::try_from(text.to_owned()).unwrap()
}

fn of_form(said: &Value, files: &[&str]) -> Result<Vec<PartRequest>, MessageError> {
    let files = files.iter().map(|file| Some(name(file)));
    PartRequest::of_form(Some(&said.to_string()), files.collect())
}

/// The statements about the only part, if they are accepted.
fn stated(field: &str, value: &Value) -> Option<Stated> {
    let said = json!([{ field: value }]);
    let parts = of_form(&said, &["a"]);
    let refused = matches!(parts, Err(MessageError::Unreadable { field: "parts", .. }));
    assert!(refused || parts.is_ok(), "{parts:?}");
    parts.ok().map(|mut parts| parts.remove(0).stated)
}

#[test]
fn what_a_sender_states_is_taken_in_its_form_and_size_alone() {
    let thumbhash = "1QcSHQRnh493V4dIh4eXh1h4kJUI";
    for (field, value) in [
        ("width", json!(1)),
        ("height", json!(65_535)),
        ("duration_ms", json!(0)),
        ("duration_ms", json!(4_294_967_295_u32)),
        ("waveform", json!([0])),
        ("waveform", json!(vec![65_535; 256])),
        ("blurhash", json!("LEHV6nWB2yk8pyo0adR*.7kCMdnj")),
        ("thumbhash", json!(thumbhash)),
    ] {
        let stated = stated(field, &value).unwrap();
        let told = serde_json::to_value(&stated).unwrap();
        assert_eq!(told, json!({ field: value }));
    }
    for (field, value) in [
        ("width", json!(0)),
        ("width", json!(65_536)),
        ("width", json!("640")),
        ("height", json!(-1)),
        ("height", json!(1.5)),
        ("duration_ms", json!(4_294_967_296_u64)),
        ("waveform", json!([])),
        ("waveform", json!(vec![1; 257])),
        ("waveform", json!([0.5])),
        ("waveform", json!([65_536])),
        ("blurhash", json!("LEHV6nWB2yk8pyo0adR*.7kCMdn")),
        ("thumbhash", json!("1Qc=")),
        ("colour", json!("red")),
    ] {
        assert_eq!(stated(field, &value), None, "{field}: {value}");
    }
}

#[test]
fn the_files_of_a_form_are_told_apart_by_their_order_and_may_stand_beside_others() {
    let said = json!([
        { "width": 7 },
        { "file": FILE, "name": "old" },
        { "name": "mine", "duration_ms": 5 },
        { "message": FILE, "part": 2 },
    ]);
    let parts = of_form(&said, &["a", "b", "c"]).unwrap();
    let sources: Vec<_> = parts.iter().map(|part| part.source).collect();
    let of_message = Source::Part {
        message: id(),
        number: 2,
    };
    assert_eq!(
        sources,
        [
            Source::Form(0),
            Source::File(id()),
            Source::Form(1),
            of_message,
            Source::Form(2)
        ]
    );
    let names = parts
        .iter()
        .map(|part| part.name.as_ref().map(ChosenName::as_str));
    assert!(names.eq([Some("a"), Some("old"), Some("mine"), None, Some("c")]));
    assert_eq!(parts[2].stated.duration_ms, Some(5));
    let all = PartRequest::of_form(None, vec![None, Some(name("b"))]).unwrap();
    assert!(
        all.iter()
            .map(|part| part.source)
            .eq([Source::Form(0), Source::Form(1)])
    );
}

#[test]
fn what_speaks_of_no_file_or_of_two_is_refused() {
    assert_eq!(
        of_form(&json!([{}, {}]), &["a"]),
        Err(MessageError::NoSuchFile)
    );
    for said in [
        json!({}),
        json!([{ "file": "no id" }]),
        json!([{ "file": FILE, "part": 1 }]),
        json!([{ "file": FILE, "message": FILE, "part": 1 }]),
        json!([{ "message": FILE }]),
        json!([{ "message": FILE, "part": 0 }]),
        json!([{ "part": 1 }]),
        json!([{ "name": "" }]),
        json!([[
            FILE, null, null, null, null, null, null, null, null, null, null
        ]]),
        json!(["a"]),
        json!([null]),
    ] {
        let refused = of_form(&said, &["a"]);
        let is_refused = matches!(
            refused,
            Err(MessageError::Unreadable { field: "parts", .. })
        );
        assert!(is_refused, "{said}: {refused:?}");
    }
    let files = vec![None; MOST_PARTS];
    assert!(PartRequest::of_form(None, files.clone()).is_ok());
    let one_more = format!(r#"[{{"file":"{FILE}"}}]"#);
    let too_many = PartRequest::of_form(Some(&one_more), files);
    assert_eq!(too_many, Err(MessageError::TooManyParts));
}

fn request(text: &str) -> Result<Request, MessageError> {
    Request::from_json(text.as_bytes())
}

#[test]
fn a_package_in_json_keeps_its_very_bytes_and_a_text_is_that_text() {
    for (message, content_type, bytes) in [
        (
            r#"{"b": 1.50,"a":[1e3 ]}"#,
            "application/json",
            r#"{"b": 1.50,"a":[1e3 ]}"#,
        ),
        (
            r#""gr\u00fc\u00dfe\n""#,
            "text/plain; charset=utf-8",
            "grüße\n",
        ),
        ("42", "application/json", "42"),
    ] {
        let read = request(&format!(r#"{{"message": {message} ,"to":"bob"}}"#)).unwrap();
        assert_eq!(read.package.bytes(), bytes.as_bytes());
        assert_eq!(read.package.content_type().as_str(), content_type);
    }
    let parts = request(&format!(
        r#"{{"to":["bob"],"parts":[{{"file":"{FILE}"}}]}}"#
    ))
    .unwrap();
    assert_eq!(parts.package.bytes(), b"");
}

#[test]
fn a_request_in_json_is_read_whole_or_refused() {
    let read = request(r#"{"message":1,"from":"eve","to":["a","b","a"],"id":"m 1"}"#).unwrap();
    assert_eq!(read.from.unwrap().as_str(), "eve");
    assert_eq!(read.to.unwrap().iter().len(), 2);
    assert_eq!(read.client_id.unwrap().as_str(), "m 1");
    for (text, expected) in [
        (r#"{"to":"a"}"#, "needs a `message`"),
        (r#"{"message":null,"to":"a"}"#, "needs a `message`"),
        (r#"{"message":1,"to":[]}"#, "needs a receiver"),
        (r#"{"message":1,"to":7}"#, "`to` cannot be read"),
        (r#"{"message":1,"to":"a/b"}"#, "`to` cannot be read"),
        (
            r#"{"message":1,"expires":"2027-01-01"}"#,
            "unknown field `expires`",
        ),
        (r#"{"message":1,"message":2}"#, "duplicate field"),
        (
            r#"{"message":1,"parts":[{}]}"#,
            "more files than the form has",
        ),
        (r#"{"message":1} x"#, "cannot be read"),
        ("[]", "cannot be read"),
        (r#"[1,"eve","bob",null,[]]"#, "expected an object"),
        (r#"{"message":1,"to":{"a":"b"}}"#, "`to` cannot be read"),
        (r#"{"message":1,"to":[["a"]]}"#, "`to` cannot be read"),
        (
            r#"{"message":1,"to":"a","parts":{}}"#,
            "expected a sequence",
        ),
        (
            r#"{"message":1,"to":"a","parts":["0123456789abcdef01234567"]}"#,
            "expected an object",
        ),
        (r#"{"message":"\ud800","to":"a"}"#, "hex escape"),
        (r#"{"message":[1e400],"to":"a"}"#, "number out of range"),
        ("\u{fffd}", "cannot be read"),
    ] {
        let refused = request(text).unwrap_err().to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
    let long = "x".repeat(100_000);
    let refused = request(&format!(r#"{{"{long}":1}}"#)).unwrap_err();
    assert!(refused.to_string().len() < 300);
}

#[test]
fn a_package_is_bounded_and_is_the_json_that_it_says_it_is() {
    let package = |kind: &str, bytes: &[u8]| PackageRequest::new(media_type(kind), bytes.into());
    let most = vec![0xff; MOST_PACKAGE_BYTES];
    assert!(package("application/x-own", &most).is_ok());
    assert_eq!(
        package("application/x-own", &[most, vec![1]].concat()),
        Err(MessageError::PackageTooLong)
    );
    for kind in ["application/json", "application/vnd.own+json; v=2"] {
        assert!(package(kind, b" {\"a\":[]}\n").is_ok());
        for bytes in [
            &b""[..],
            b"{",
            b"{} {}",
            b"\xff",
            b"[1e999]",
            br#"["\ud800"]"#,
        ] {
            let refused = package(kind, bytes);
            assert!(
                matches!(refused, Err(MessageError::NotJson(_))),
                "{bytes:?}"
            );
        }
    }
}

/// A message with a clip and a picture.
fn message() -> Message {
    let part = |named: Option<&str>, kind: &str, stated| Part {
        file: id(),
        name: named.map(name),
        filename: FileName::from_claim("größe 1").unwrap(),
        content_type: media_type(kind),
        length: 30_000,
        sha256: Sha256([7; 32]),
        stated,
    };
    let clip = Stated {
        duration_ms: Some(3200),
        waveform: Some(Waveform::try_from(vec![0, 7]).unwrap()),
        ..Stated::default()
    };
    Message {
        from: Some(Party::try_from("alice".to_owned()).unwrap()),
        to: Receivers::read(["bob", "eve"]).unwrap(),
        client_id: Some(name("m-1")),
        parts: vec![
            part(Some("voice"), "audio/ogg", clip),
            part(None, "image/png", Stated::default()),
        ],
    }
}

fn told(message: &Message, content_type: &str, package: &[u8]) -> Value {
    let told = Told {
        id: id(),
        created: UnixMillis(1_700_000_000_123),
        message,
        content_type: &media_type(content_type),
        package: Some(package),
    };
    let wording = told.wording().unwrap();
    let line = wording.line("pending", false);
    assert!(!line.contains(&b'\n'));
    let told: Value = serde_json::from_slice(&line).unwrap();
    let mut all: Value = serde_json::from_slice(&wording.line("committed", true)).unwrap();
    // Nothing else differs for those who are told of the receivers, and at another time.
    assert_eq!(all["state"].take(), "committed");
    assert_eq!(all["to"].take(), json!(["bob", "eve"]));
    let mut less = told.clone();
    assert_eq!(less["state"].take(), "pending");
    less["to"].take();
    assert_eq!(all, less);
    told
}

#[test]
fn a_receiver_is_told_all_but_the_bytes_of_the_parts() {
    let digest = "07".repeat(32);
    assert_eq!(
        told(&message(), "application/json", b"{\"text\":\n\"hi\"}"),
        json!({
            "id": FILE,
            "client_id": "m-1",
            "from": "alice",
            "created": "2023-11-14T22:13:20.123Z",
            "state": "pending",
            "content_type": "application/json",
            "message": { "text": "hi" },
            "parts": [
                {
                    "part": 1, "name": "voice", "id": FILE, "url": format!("/messages/{FILE}/1"),
                    "filename": "größe 1", "content_type": "audio/ogg", "length": 30_000,
                    "sha256": digest, "kind": "audio", "duration_ms": 3200, "waveform": [0, 7],
                },
                {
                    "part": 2, "id": FILE, "url": format!("/messages/{FILE}/2"),
                    "filename": "größe 1", "content_type": "image/png", "length": 30_000,
                    "sha256": digest, "kind": "image",
                },
            ],
        })
    );
}

#[test]
fn a_package_is_told_as_json_as_text_or_as_bytes() {
    for (content_type, bytes, field, value) in [
        ("application/json", &b"[1]"[..], "message", json!([1])),
        (
            "text/plain",
            "grüße\n".as_bytes(),
            "message",
            json!("grüße\n"),
        ),
        ("text/plain", b"\xff", "message_base64", json!("/w==")),
        ("application/x-own", b"a", "message_base64", json!("YQ==")),
        (
            "application/json",
            b"1e999",
            "message_base64",
            json!("MWU5OTk="),
        ),
    ] {
        let told = told(&message(), content_type, bytes);
        assert_eq!(told.get(field), Some(&value), "{content_type}: {told}");
    }
}

#[test]
fn what_is_kept_of_a_message_is_the_message() {
    let kept = serde_json::to_string(&message()).unwrap();
    assert_eq!(serde_json::from_str::<Message>(&kept).unwrap(), message());
    assert_eq!(message().part(1), message().parts.first());
    assert_eq!(message().part(0), None);
    assert_eq!(message().part(3), None);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn mutants_of_requests_are_read_or_refused(bytes in mutant("message")) {
        fuzz::message(&bytes);
    }
}
