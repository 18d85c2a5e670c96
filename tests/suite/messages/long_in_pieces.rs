//! A long message in pieces: its sender's quota, its parts, and its end when it stands still.

use kit::{Builder, Client, Keys, noise, wait_until};

use super::{FORM, sent, taken, text};
use crate::draft_uploads::{BEGINS, LAST, PARTIAL};

const PIECE: usize = 4 << 20;

/// Begins a message of this length; returns the answer.
fn begin(client: &Client, bearer: &str, length: usize) -> kit::Answer {
    let length = length.to_string();
    let token = ("Authorization", bearer);
    client.post(
        "/messages",
        &[FORM, BEGINS, ("Upload-Length", &length), token],
        b"",
    )
}

#[test]
fn a_long_message_in_pieces_counts_for_its_sender_until_it_is_committed_or_stands_still() {
    let keys = Keys::make();
    let builder = keys.guard(Builder::without_log());
    let builder = builder.set("subject_pending_bytes", 30_000_000);
    let mut site = builder.start_without_mongodb();
    let client = site.client();
    let of = |subject: &str| keys.bearer(&["--scope", "message", "--sub", subject]);
    let (alice, carol) = (of("alice"), of("carol"));
    let picture = noise(2, 20_000_000);
    let body = sent("m 1", &noise(1, 30_000), &picture);
    let begun = begin(&client, &alice, body.len());
    assert_eq!(begun.status, 201, "{begun:?}");
    // Its whole length counts from now on.
    begin(&client, &alice, 15_000_000).assert_problem(429, "too-much-pending");
    assert_eq!(begin(&client, &carol, 15_000_000).status, 201);
    let append = |path: &str, bearer: &str, at: usize, word, piece: &[u8]| {
        let at = at.to_string();
        let token = ("Authorization", bearer);
        client.patch(path, &[PARTIAL, ("Upload-Offset", &at), word, token], piece)
    };
    let path = begun.header("location").to_owned();
    let last = (body.len() - 1) / PIECE;
    for (number, piece) in body.chunks(PIECE).enumerate() {
        let word = if number == last { LAST } else { BEGINS };
        let answer = append(&path, &alice, number * PIECE, word, piece);
        if number == last {
            let part = &taken(&answer)["parts"][1];
            let read = client.get_with(text(part, "url"), &[("Authorization", &alice)]);
            assert!(read.body == picture);
        } else {
            assert_eq!(answer.status, 204, "{answer:?}");
        }
    }
    begin(&client, &alice, 15_000_000).assert_problem(429, "too-much-pending");
    // One that stands still ends, and no longer counts.
    site.reconfigure(|builder| builder.set("upload_lifetime_seconds", 1));
    site.kill_sidecar();
    site.start_sidecar();
    begin(&client, &alice, 15_000_000).assert_problem(429, "too-much-pending");
    let begun = begin(&client, &alice, 8_000_000);
    assert_eq!(begun.status, 201, "{begun:?}");
    wait_until("it has ended", || {
        begin(&client, &alice, 8_000_000).status == 201
    });
}
