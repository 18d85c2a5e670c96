//! Splits forms with known parts.

use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use super::*;

const BOUNDARY: &[u8] = b"xYz";

const BLOCK_BYTES: usize = 128 * 1024;

thread_local! {
    /// One file serves all cases of a test, because making files takes time.
    static FILE: File = tempfile::tempfile().unwrap();
}

fn split_bytes(body: &[u8]) -> Result<Vec<Part>, FormError> {
    split_bytes_by(body, BLOCK_BYTES)
}

fn split_bytes_by(body: &[u8], block_bytes: usize) -> Result<Vec<Part>, FormError> {
    FILE.with(|file| {
        file.write_all_at(body, 0).unwrap();
        let scan = Scan::by(file, body.len().try_into().unwrap(), block_bytes);
        Parts::read_by(scan, BOUNDARY)?.collect()
    })
}

/// Returns the bytes of each part, by its window.
fn data_of(body: &[u8]) -> Vec<Vec<u8>> {
    let parts = split_bytes(body).unwrap();
    let range = |part: &Part| {
        let range = part.data.range().unwrap();
        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
    };
    parts
        .iter()
        .map(|part| body[range(part)].to_vec())
        .collect()
}

/// Makes a form of these heads and bytes.
fn form(preamble: &[u8], parts: &[(&[u8], &[u8])], epilogue: &[u8]) -> Vec<u8> {
    let mut body = preamble.to_vec();
    for (head, data) in parts {
        body.extend_from_slice(b"--xYz\r\n");
        body.extend_from_slice(head);
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--");
    body.extend_from_slice(epilogue);
    body
}

#[test]
fn parts_are_found_with_their_heads_and_bytes() {
    let body = form(
        b"",
        &[(b"A: 1\r\nB: 2\r\n", b"one"), (b"C: 3\r\n", b"")],
        b"\r\n",
    );
    let parts = split_bytes(&body).unwrap();
    assert_eq!(parts[0].head, b"A: 1\r\nB: 2\r\n");
    assert_eq!(parts[1].head, b"C: 3\r\n");
    assert_eq!(data_of(&body), [b"one".to_vec(), b"".to_vec()]);
}

#[test]
fn preamble_and_epilogue_are_nobodys() {
    let body = form(
        b"--xY\r\npreamble\r\n",
        &[(b"A: 1\r\n", b"one")],
        b" \t\r\n--xY\r\nmore",
    );
    assert_eq!(data_of(&body), [b"one".to_vec()]);
    assert_eq!(
        data_of(b"\r\n--xYz\r\n\r\none\r\n--xYz--\n"),
        [b"one".to_vec()]
    );
}

#[test]
fn what_may_be_a_part_is_no_preamble_and_no_epilogue() {
    let long = vec![b'x'; 9000];
    let head = b"content-DISPOSITION: form-data; name=f\r\n\r\nlost";
    let part = form(b"", &[(b"A: 1\r\n", b"lost")], b"");
    let strays: [&[u8]; 11] = [
        b"x",
        b"\n",
        b"\n\n",
        b"\r",
        b"\xef\xbb\xbf",
        b" ",
        b"-",
        b"xYz\r\n",
        b"-xYz\r\n\r\nlost\r\n",
        &[head, &b"\r\n"[..]].concat(),
        &[&long[..], b"\r\n"].concat(),
    ];
    for stray in strays {
        assert_malformed(&form(stray, &[(b"A: 1\r\n", b"one")], b""));
    }
    let behind: [&[u8]; 8] = [
        b"\r\n--xYz\r\nmore",
        b"\r\n--xYz--",
        b"\n--xYz--",
        b"\r\nxYz",
        b"x",
        &[b"\r\n", &part[..]].concat(),
        &[b"\r\n", &head[..]].concat(),
        &[b"\r\n", &long[..]].concat(),
    ];
    for behind in behind {
        assert_malformed(&form(b"", &[(b"A: 1\r\n", b"one")], behind));
    }
}

#[test]
fn a_delimiter_that_is_one_but_for_what_stands_before_it_is_no_data() {
    for data in [
        &b"one--xYz\r\nA: 2\r\n\r\ntwo"[..],
        b"one\n--xYz\r\nA: 2\r\n\r\ntwo",
        b"one\n--xYz\nA: 2\n\ntwo",
        b"one\r--xYz \t\r\nA: 2\r\n\r\ntwo",
        b"one--xYz--\r\ntwo",
        b"one\n--xYz-- \n",
        b"one--xYz",
        b"--xYz",
    ] {
        assert_malformed(&form(b"", &[(b"A: 1\r\n", data)], b""));
        let head = [b"B: ", data, b"\r\n"].concat();
        assert!(split_bytes(&form(b"", &[(&head, b"one")], b"")).is_err());
    }
}

#[test]
fn a_boundary_of_hyphens_is_found_as_any_other() {
    let split = |body: &[u8], boundary| {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(body, 0).unwrap();
        let parts = Parts::of(&file, body.len().try_into().unwrap(), boundary)?;
        parts.collect::<Result<Vec<_>, _>>()
    };
    for (boundary, delimiter) in [("-", "---"), ("--", "----"), ("----b", "------b")] {
        let body = format!("{delimiter}\r\nA: 1\r\n\r\none\r\n{delimiter}--");
        assert_eq!(
            split(body.as_bytes(), boundary.as_bytes()).unwrap().len(),
            1
        );
        let stray = split(format!("-{body}").as_bytes(), boundary.as_bytes());
        assert!(stray.is_err(), "{boundary}: {stray:?}");
    }
}

#[test]
fn a_form_may_have_no_parts() {
    assert_eq!(split_bytes(b"--xYz--").unwrap(), []);
}

#[test]
fn one_line_break_may_end_an_empty_head_or_empty_bytes() {
    assert_eq!(data_of(b"--xYz\r\n\r\none\r\n--xYz--"), [b"one".to_vec()]);
    assert_eq!(data_of(b"--xYz\r\nA: 1\r\n\r\n--xYz--"), [b"".to_vec()]);
    assert_eq!(
        data_of(b"--xYz \t\r\nA: 1\r\n\r\n\r\n--xYz--\r\n"),
        [b"".to_vec()]
    );
}

#[test]
fn a_boundary_within_a_line_is_data() {
    let data = b"a--xYzb\r\n-xYz \r\n--xY\r\n\r--xYz b\n--xYz-\r\n-";
    assert_eq!(
        data_of(&form(b"", &[(b"A: 1\r\n", data)], b"")),
        [data.to_vec()]
    );
}

#[test]
fn a_delimiter_is_found_wherever_a_block_ends_in_it() {
    for shift in 0..20 {
        let data = vec![b'\r'; BLOCK_BYTES - 30 + shift];
        let body = form(b"", &[(b"A: 1\r\n", &data), (b"", b"two")], b"");
        assert_eq!(data_of(&body), [data, b"two".to_vec()], "{shift}");
    }
}

#[test]
fn what_breaks_off_or_goes_on_is_malformed() {
    for body in [
        &b""[..],
        b"xYz",
        b"--xYz",
        b"--xYz\r\n",
        b"--xYz\r\nA: 1\r\n",
        b"--xYz\r\nA: 1\r\n\r\none",
        b"--xYz\r\nA: 1\r\n\r\none\r\n--xYz",
        b"--xYz\r\nA: 1\r\n\r\none\r\n--xYz-",
        b"--xYz\r\nA: 1\r\n\r\none\r\n--xYza\r\n",
        b"--xYz\nA: 1\n\none\n--xYz--\n",
        b"--xYz\r\nA: 1\r\n--xYz\r\n\r\none\r\n--xYz--",
        b"--xYz\r\n--xYz\r\nA: 1\r\n\r\none\r\n--xYz--",
    ] {
        assert_malformed(body);
    }
}

fn assert_malformed(body: &[u8]) {
    let refused = split_bytes(body);
    let text = String::from_utf8_lossy(body);
    assert!(
        matches!(refused, Err(FormError::Malformed(_))),
        "{text:?}: {refused:?}"
    );
}

#[test]
fn more_than_is_taken_is_too_large() {
    let of_parts = |count| form(b"", &vec![(&b"A: 1\r\n"[..], &b"x"[..]); count], b"");
    assert_eq!(
        split_bytes(&of_parts(MOST_PARTS)).unwrap().len(),
        MOST_PARTS
    );
    let many = split_bytes(&of_parts(MOST_PARTS + 1));
    assert!(matches!(many, Err(FormError::TooLarge(_))), "{many:?}");
    let head = [b"A: ", &[b'a'; 9000][..], b"\r\n"].concat();
    let long = split_bytes(&form(b"", &[(&head, b"x")], b""));
    assert!(matches!(long, Err(FormError::TooLarge(_))), "{long:?}");
}

/// Bytes that are mostly pieces of delimiters.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n--".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"--xYz".to_vec()),
        Just(b"xY".to_vec()),
        Just(b"-".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..5),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Similar bytes without anything that may be a delimiter: a sender has to avoid those.
fn harmless() -> impl Strategy<Value = Vec<u8>> {
    nasty().prop_map(|bytes| {
        let mut line = [b"\r\n", &bytes[..], b"\r\n"].concat();
        let is_bad = |line: &[u8], at: usize| {
            line[at..].starts_with(b"--xYz")
                && (line[..at].ends_with(b"\r\n") || ends_line(&line[at + 5..]))
        };
        while let Some(at) = (0..line.len()).find(|&at| is_bad(&line, at)) {
            line[at] = b'.';
        }
        line[2..line.len() - 2].to_vec()
    })
}

/// Similar bytes without the boundary.
fn edge() -> impl Strategy<Value = Vec<u8>> {
    nasty().prop_map(|mut bytes| {
        while let Some(at) = memchr::memmem::find(&bytes, BOUNDARY) {
            bytes[at] = b'.';
        }
        bytes
    })
}

/// Returns whether a delimiter's line may go on with these bytes.
fn ends_line(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(b"--").unwrap_or(rest);
    let end = rest.iter().find(|byte| !b" \t".contains(byte));
    matches!(end, None | Some(b'\r' | b'\n'))
}

/// Bytes that are mostly a form.
fn almost_a_form() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b"\r\n--xYz\r\nA: 1\r\n\r\n".to_vec()),
        2 => Just(b"\r\n--xYz \t\r\n\r\n".to_vec()),
        1 => Just(b"\r\n--xYz\r\n".to_vec()),
        1 => Just(b"\r\n\r\n".to_vec()),
        1 => Just(b"\r\n--xYz--".to_vec()),
        6 => nasty(),
    ];
    let pieces = proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    (any::<bool>(), pieces).prop_map(|(is_at_start, body)| {
        let body = [&body[..], b"\r\n--xYz--"].concat();
        body[if is_at_start && body.starts_with(b"\r\n") {
            2
        } else {
            0
        }..]
            .to_vec()
    })
}

/// Returns heads and bytes of the parts of a form, found by checking each offset against RFC 2046;
/// `None` if the form is malformed.
fn naive(body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let find =
        |from: usize, what: &[u8]| (from..body.len()).find(|at| body[*at..].starts_with(what));
    let dashes = find(0, BOUNDARY)?.checked_sub(2)?;
    if !body[dashes..].starts_with(b"--xYz") || dashes > 0 && !body[..dashes].ends_with(b"\r\n") {
        return None;
    }
    let mut at = dashes + 5;
    let mut parts = Vec::new();
    while !body[at..].starts_with(b"--") {
        while matches!(body.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        // The line's own end may be the empty head's, and the empty head's the next delimiter's.
        let empty_line = find(at, b"\r\n\r\n").filter(|_| body[at..].starts_with(b"\r\n"))?;
        let next = find(empty_line + 2, b"\r\n--xYz")?;
        if find(at, b"\r\n--xYz")? < next {
            return None;
        }
        let is_stray = |at: usize| body[at..].starts_with(b"--xYz") && ends_line(&body[at + 5..]);
        if (at..next).any(is_stray) {
            return None;
        }
        let data = empty_line + 4;
        let head = body[at + 2..(empty_line + 2).max(at + 2)].to_vec();
        parts.push((head, body[data..next.max(data)].to_vec()));
        at = next + 7;
    }
    let is_end = ends_line(&body[at..]) && find(at, BOUNDARY).is_none();
    is_end.then_some(parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_parts_come_back_as_they_were_put_in(
        preamble in edge(),
        data in proptest::collection::vec(harmless(), 0..5),
        epilogue in edge(),
    ) {
        let preamble = if preamble.is_empty() { preamble } else { [preamble, b"\r\n".to_vec()].concat() };
        let parts: Vec<_> = data.iter().map(|data| (&b"A: 1\r\n"[..], &data[..])).collect();
        let epilogue = [b"\r\n".to_vec(), epilogue].concat();
        prop_assert_eq!(data_of(&form(&preamble, &parts, &epilogue)), data);
    }

    #[test]
    fn any_bytes_give_windows_within_them_or_an_error(body in nasty()) {
        let body = [b"--xYz\r\n\r\n".to_vec(), body].concat();
        if let Ok(parts) = split_bytes(&body) {
            let mut end = 0;
            for part in parts {
                let range = part.data.range().unwrap();
                prop_assert!(range.start >= end && range.end <= u64::try_from(body.len()).unwrap());
                end = range.end;
            }
        }
    }

    #[test]
    fn any_body_is_split_as_a_naive_search_splits_it_wherever_reads_end(
        body in almost_a_form(),
        block_bytes in 7..40_usize,
    ) {
        let parts = split_bytes_by(&body, block_bytes).ok();
        let parts = parts.map(|parts| {
            let bytes = |part: &Part| {
                let range = part.data.range().unwrap();
                body[range.start.try_into().unwrap()..range.end.try_into().unwrap()].to_vec()
            };
            parts.iter().map(|part| (part.head.clone(), bytes(part))).collect()
        });
        prop_assert_eq!(parts, naive(&body), "{:?}", String::from_utf8_lossy(&body));
    }
}
