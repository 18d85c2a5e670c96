//! Rules that the readers of messages must keep for any input. Tests and fuzzers (`scripts/fuzz`)
//! call this; the product does not.

use serde_json::Value;

use super::request::is_json;
use super::{
    BlurHash, MOST_PACKAGE_BYTES, MOST_PARTS, MOST_RECEIVERS, Message, PackageRequest, Part,
    PartRequest, Receivers, Request, ThumbHash, Told, Waveform,
};
use crate::file::{FileId, FileName, MediaType, Sha256, UnixMillis};

/// Reads any text. It must be refused, or be within its bounds and stay the same when it is written
/// and read again. The first byte chooses the grammar.
///
/// # Panics
/// If a rule is broken.
pub fn message(bytes: &[u8]) {
    let Some((&grammar, rest)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match grammar {
        b'p' => {
            if let Ok(parts) = PartRequest::of_form(Some(&text), vec![None; 2]) {
                assert!((2..=MOST_PARTS).contains(&parts.len()));
                check(parts, None, b"", &MediaType::octet_stream());
            }
        }
        b't' => {
            if let Ok(receivers) = Receivers::read([&*text]) {
                check(Vec::new(), Some(receivers), b"", &MediaType::octet_stream());
            }
        }
        b'h' => {
            let hashes = (
                BlurHash::try_from(text.to_string()),
                ThumbHash::try_from(text.to_string()),
            );
            assert!(hashes.0.is_err() || text.len() <= 166 && text.is_ascii());
            assert!(hashes.1.is_err() || text.len() <= 64 && text.is_ascii());
        }
        b'j' => {
            let json = MediaType::parse("application/json");
            let json = json.unwrap_or_else(|_| MediaType::octet_stream());
            if let Ok(package) = PackageRequest::new(json, rest.into()) {
                check(Vec::new(), None, package.bytes(), package.content_type());
            }
        }
        _ => {
            if let Ok(request) = Request::from_json(rest) {
                assert!(request.package.bytes().len() <= MOST_PACKAGE_BYTES);
                let package = request.package;
                let (bytes, content_type) = (package.bytes(), package.content_type());
                check(request.parts, request.to, bytes, content_type);
            }
        }
    }
}

/// Writes and reads a message made of these values.
fn check(parts: Vec<PartRequest>, to: Option<Receivers>, package: &[u8], content_type: &MediaType) {
    let id = FileId::from_bytes([7; FileId::BYTES]);
    let parts = parts.into_iter().map(|part| {
        let samples = part
            .stated
            .waveform
            .as_ref()
            .map_or(1, |waveform| waveform.samples().len());
        assert!((1..=Waveform::MOST).contains(&samples));
        Part {
            file: id,
            name: part.name,
            filename: FileName::of_id(id),
            content_type: MediaType::octet_stream(),
            length: 3,
            sha256: Sha256([7; 32]),
            stated: part.stated,
        }
    });
    let Some(to) = to.or_else(|| Receivers::read(["bob"]).ok()) else {
        return;
    };
    let message = Message {
        from: None,
        to,
        client_id: None,
        parts: parts.collect(),
    };
    assert!((1..=MOST_RECEIVERS).contains(&message.to.iter().len()));
    let kept = serde_json::to_string(&message).unwrap_or_default();
    let read: Result<Message, _> = serde_json::from_str(&kept);
    assert_eq!(read.ok().as_ref(), Some(&message), "{kept}");
    let told = Told {
        id,
        created: UnixMillis(1_700_000_000_123),
        message: &message,
        content_type,
        package: Some(package),
    };
    let line = told.wording().map(|wording| wording.line("pending", true));
    let line = line.unwrap_or_default();
    assert!(!line.contains(&b'\n'));
    // A list has it within an array within an object.
    let list = [b"{\"messages\":[", &line[..], b"]}"].concat();
    let told: Value = serde_json::from_slice(&list).unwrap_or_default();
    let told = told.pointer("/messages/0");
    let has_bytes = told.is_some_and(|told| told.get("message_base64").is_some());
    assert!(!has_bytes || !is_json(content_type), "no parser's JSON");
    let told = told.and_then(|told| told.get("parts")?.as_array());
    assert_eq!(told.map(Vec::len), Some(message.parts.len()));
}
