//! Ranges: the same bytes before and after the commit, across the borders of chunks and slices.

use kit::{CHUNK, Client, Routes, Uploaded, noise};

/// The size of a slice in nginx's cache.
const SLICE: usize = 4 * CHUNK;

const LENGTH: usize = 3_000_000;

struct File {
    body: Vec<u8>,
    uploaded: Uploaded,
}

impl File {
    fn upload(client: &Client) -> Self {
        let body = noise(1, LENGTH);
        let uploaded = client.upload(&body);
        Self { body, uploaded }
    }

    /// Asserts that a range gives the bytes from `first` to `last`, inclusive.
    fn assert_part(
        &self,
        client: &Client,
        headers: &[(&str, &str)],
        (first, last): (usize, usize),
    ) {
        let answer = client.get_with(&self.uploaded.path, headers);
        assert_eq!(answer.status, 206, "{headers:?}");
        let range = format!("bytes {first}-{last}/{LENGTH}");
        assert_eq!(answer.header("content-range"), range, "{headers:?}");
        let length = (last - first + 1).to_string();
        assert_eq!(answer.header("content-length"), length, "{headers:?}");
        assert!(answer.body == self.body[first..=last], "{headers:?}");
        assert_eq!(answer.header("etag"), self.uploaded.etag);
        answer.assert_harmless();
    }

    fn assert_whole(&self, client: &Client, headers: &[(&str, &str)]) {
        let answer = client.get_with(&self.uploaded.path, headers);
        assert_eq!(answer.status, 200, "{headers:?}");
        assert!(!answer.headers.contains_key("content-range"), "{headers:?}");
        assert!(answer.body == self.body, "{headers:?}");
        assert_eq!(answer.header("etag"), self.uploaded.etag);
        answer.assert_harmless();
    }

    fn assert_unsatisfiable(&self, client: &Client, headers: &[(&str, &str)]) {
        let answer = client.get_with(&self.uploaded.path, headers);
        answer.assert_problem(416, "range-not-satisfiable");
        let range = format!("bytes */{LENGTH}");
        assert_eq!(answer.header("content-range"), range, "{headers:?}");
    }
}

#[test]
fn every_kind_of_range_gives_its_bytes_on_both_routes() {
    let routes = Routes::start();
    let file = File::upload(&routes.site.client());
    let borders = [CHUNK, 2 * CHUNK, SLICE, 2 * SLICE];
    routes.both(|client| {
        let part = |range: &str, bounds| {
            file.assert_part(client, &[("Range", range)], bounds);
        };
        part("bytes=0-0", (0, 0));
        part("bytes=0-1", (0, 1));
        part("bytes=0-", (0, LENGTH - 1));
        part("bytes=2999000-", (2_999_000, LENGTH - 1));
        part("bytes=-1", (LENGTH - 1, LENGTH - 1));
        part("bytes=-1500000", (LENGTH - 1_500_000, LENGTH - 1));
        part("bytes=-5000000", (0, LENGTH - 1));
        part("bytes=100-99999999999999999", (100, LENGTH - 1));
        part("bytes=2999999-2999999", (LENGTH - 1, LENGTH - 1));
        part("bytes=0-9223372036854775807", (0, LENGTH - 1));
        part("bytes=3000000-,4-5", (4, 5));
        part(
            &format!("bytes={}-{}", SLICE - 1, 2 * SLICE),
            (SLICE - 1, 2 * SLICE),
        );
        for border in borders {
            for (first, last) in [
                (border - 1, border),
                (border, border),
                (border - 1, border - 1),
                (border - CHUNK, border - 1),
            ] {
                part(&format!("bytes={first}-{last}"), (first, last));
            }
        }
        let head = client.ask("HEAD", &file.uploaded.path, &[("Range", "bytes=0-0")]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), LENGTH.to_string());
    });
}

#[test]
fn ranges_that_the_file_does_not_have_or_that_make_no_sense_are_told_so_on_both_routes() {
    let routes = Routes::start();
    let file = File::upload(&routes.site.client());
    routes.both(|client| {
        for range in [
            "bytes=3000000-",
            "bytes=3000000-3000001",
            "bytes=99999999999999999999-",
            "bytes=0-9223372036854775808",
            "bytes=-9223372036854775808",
            "bytes=\t0-1",
            "bytes=-0",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=-",
            "bytes=",
            "bytes=1-2,",
            "bytes=1-2-3",
            "bytes=0x1-2",
        ] {
            file.assert_unsatisfiable(client, &[("Range", range)]);
        }
        let many = format!("bytes=0-1{}", ",5-6".repeat(300));
        for range in ["bytes=0-1,5-6", "bytes=0-,0-,0-", "items=0-1", &many] {
            file.assert_whole(client, &[("Range", range)]);
        }
    });
}

#[test]
fn a_range_holds_only_for_the_content_that_if_range_names() {
    let routes = Routes::start();
    let file = File::upload(&routes.site.client());
    let tag = file.uploaded.etag.as_str();
    let weak = format!("W/{tag}");
    let head = routes.site.client().head(&file.uploaded.path);
    let modified = head.header("last-modified");
    let range = ("Range", "bytes=1044479-1044480");
    let outside = ("Range", "bytes=3000000-");
    routes.both(|client| {
        for good in [tag, modified] {
            let bounds = (1_044_479, 1_044_480);
            file.assert_part(client, &[range, ("If-Range", good)], bounds);
            file.assert_unsatisfiable(client, &[outside, ("If-Range", good)]);
        }
        for bad in [
            "\"x\"",
            &weak,
            "Tue, 14 Nov 2023 22:13:20 GMT",
            "Tue, 14 Nov 2073 22:13:20 GMT",
            "nonsense",
        ] {
            file.assert_whole(client, &[range, ("If-Range", bad)]);
            file.assert_whole(client, &[outside, ("If-Range", bad)]);
        }
        let bounds = (1_044_479, 1_044_480);
        file.assert_part(client, &[range, ("If-Match", tag)], bounds);
    });
}

#[test]
fn any_range_gives_what_a_model_of_the_file_gives() {
    let routes = Routes::start();
    let file = File::upload(&routes.site.client());
    let mut numbers = noise(7, 16 * 150);
    let mut next = |below: usize| {
        let bytes: Vec<_> = numbers.drain(..8).collect();
        usize::from_le_bytes(bytes.try_into().unwrap()) % below
    };
    let ranges: Vec<_> = (0..150)
        .map(|_| {
            let first = next(LENGTH);
            (first, first + next(LENGTH - first))
        })
        .collect();
    routes.both(|client| {
        for &(first, last) in &ranges {
            let range = format!("bytes={first}-{last}");
            file.assert_part(client, &[("Range", &range)], (first, last));
        }
    });
}

#[test]
fn a_range_that_nginx_alone_cannot_read_is_a_problem_on_both_routes() {
    let routes = Routes::start();
    let file = File::upload(&routes.site.client());
    routes.both(|_| {
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close",
            file.uploaded.path
        );
        let answer = routes
            .site
            .raw(format!("{head}\r\nRange: bytes=0-0\t\r\n\r\n").as_bytes());
        answer.assert_problem(416, "range-not-satisfiable");
        let range = format!("bytes */{LENGTH}");
        assert_eq!(answer.header("content-range"), range);
        assert_eq!(
            routes.site.raw(format!("{head}\r\n\r\n").as_bytes()).body,
            file.body
        );
    });
}
