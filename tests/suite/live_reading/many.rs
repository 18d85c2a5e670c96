//! Hundreds of readers of one upload: each costs the sidecar a connection and a cursor.

use kit::{Builder, noise, wait_until};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::Reader;
use crate::upload_routing::{append, begin};

/// Half of them read all that comes at once, half take next to nothing.
const READERS: usize = 300;

/// The bound on the growth of the sidecar's memory for each reader: a connection with a few pieces. A copy
/// of what a reader still has to get would be eighty times as much.
const GROWTH_KIB: u64 = 96;

const CONTENT_BYTES: usize = 8 * 1024 * 1024;

/// The bytes that an eager reader asks for.
const EAGER_BYTES: usize = 1024 * 1024;

#[test]
fn hundreds_of_readers_of_one_upload_cost_a_cursor_each() {
    let site = Builder::default().set("workers", 1).start_without_mongodb();
    let client = site.client();
    let content = noise(1, CONTENT_BYTES);
    let path = begin(&client, content.len());
    let (first, rest) = content.split_at(EAGER_BYTES / 2);
    assert_eq!(append(&client, &path, 0, first).status, 204);
    let part = format!("Range: bytes=0-{}\r\n", EAGER_BYTES - 1);
    let begin_part = || {
        let mut reader = Reader::begin(&site, &path, &part);
        reader.wait_for(first);
        reader
    };
    drop(begin_part());
    let readers = || site.status()["live"]["readers"].clone();
    wait_until("it has left", || readers() == 0);
    let (peak, handles) = (site.sidecar_peak_kib(), site.sidecar_handles());
    let mut eager: Vec<_> = (0..READERS / 2).map(|_| begin_part()).collect();
    let lazy: Vec<_> = (0..READERS / 2)
        .map(|_| {
            let lazy = Reader::begin(&site, &path, "");
            // The kernel keeps what is sent, too.
            set_socket_recv_buffer_size(&lazy.stream, 4096).unwrap();
            lazy
        })
        .collect();
    wait_until("all of them read", || readers() == READERS);
    // All of them share one file.
    assert!(site.sidecar_handles() <= handles + READERS + 10);
    assert_eq!(append(&client, &path, first.len(), rest).status, 204);
    for reader in &mut eager {
        reader.wait_for(&content[..EAGER_BYTES]);
    }
    let grown = site.sidecar_growth_kib(peak);
    let most = u64::try_from(READERS).unwrap() * GROWTH_KIB;
    assert!(grown <= most, "{grown} KiB");

    drop((eager, lazy));
    wait_until("nothing of them is left", || {
        readers() == 0 && site.sidecar_handles() <= handles + 5
    });
}
