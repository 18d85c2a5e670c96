//! Reads each well-formed form with our reader and with actix-multipart. Both must find the same
//! files: otherwise a check by one program could see another file than the other program stores.

use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use futures::executor::block_on;
use futures::{TryStreamExt as _, stream};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::form::MOST_PARTS;
use crate::spool::Spool;

const BOUNDARY: &str = "----boundary";

/// A file of a form: its name, its media type and its bytes.
type Sent = (String, &'static str, Vec<u8>);

fn body(files: &[Sent]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, media_type, data) in files {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\
             Content-Type: {media_type}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn read_by_us(body: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("0000000001"), body).unwrap();
    let spool = Spool::open(scratch.path()).unwrap();
    let claimed = spool.claim(b"0000000001", None).unwrap();
    let form = read(
        &claimed,
        BOUNDARY.as_bytes(),
        &Metadata::default(),
        MOST_PARTS,
    );
    let files = form.unwrap().unwrap().files.into_iter();
    files
        .map(|file| {
            let range = file.window.range().unwrap();
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            (
                file.filename.unwrap().to_string(),
                file.content_type.media_type().unwrap().to_string(),
                body[start..end].to_vec(),
            )
        })
        .collect()
}

async fn read_by_actix(
    body: &[u8],
    block_bytes: usize,
) -> Result<Vec<(String, String, Vec<u8>)>, MultipartError> {
    let mut headers = HeaderMap::new();
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&media_type).unwrap());
    let blocks: Vec<_> = body
        .chunks(block_bytes)
        .map(|block| Ok::<_, PayloadError>(Bytes::copy_from_slice(block)))
        .collect();
    let mut parts = Multipart::new(&headers, stream::iter(blocks));
    let mut files = Vec::new();
    while let Some(mut part) = parts.try_next().await? {
        let name = part
            .content_disposition()
            .and_then(|disposition| disposition.get_filename().map(str::to_owned));
        let media_type = part.content_type().unwrap().to_string();
        let mut data = Vec::new();
        while let Some(block) = part.try_next().await? {
            data.extend_from_slice(&block);
        }
        files.push((name.unwrap(), media_type, data));
    }
    Ok(files)
}

/// Bytes that look like a delimiter again and again, but are not one.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let lures = select(vec![
        "\r\n",
        "\r",
        "--",
        "\r\n--",
        "\r\n------boundar",
        "\n------boundar",
    ]);
    let piece = prop_oneof![
        lures.prop_map(|lure| lure.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    let data = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    data.prop_filter("a delimiter", |data| {
        // This includes a lone line feed: we refuse a form that servers read in two ways.
        let line = format!("\n--{BOUNDARY}");
        let framed = [b"\n", data.as_slice()].concat();
        memchr::memmem::find(&framed, line.as_bytes()).is_none()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_and_actix_multipart_find_the_same_files(
        files in prop::collection::vec(
            ("[a-zA-Z0-9äß€😀][a-zA-Z0-9äß€😀 _-]{0,20}\\.[a-z]{3}", select(vec!["image/png", "text/plain", "audio/ogg", "application/json"]), data()),
            1..5,
        ),
        block_bytes in 1..4_000_usize,
    ) {
        let body = body(&files);
        let theirs = block_on(read_by_actix(&body, block_bytes)).unwrap();
        prop_assert_eq!(read_by_us(&body), theirs);
    }
}
