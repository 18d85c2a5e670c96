//! A site with response filters in its `http` block: none of them may touch files.

use kit::{Answer, Builder, Client, Mongo, Uploaded};

/// Directives that sites use for their pages.
const FILTERS: &str = "server_tokens off; gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; \
    gzip_static always; gunzip on; charset koi8-r; override_charset on; charset_types *; ssi on; ssi_types *; \
    add_before_body /before; add_after_body /after; addition_types *; sub_filter a b; \
    sub_filter_once off; sub_filter_types *; expires 30d; etag off; open_file_cache max=100; \
    if_modified_since before; proxy_intercept_errors on; add_header X-Site yes always; \
    add_trailer X-Trailer yes always;";

const TEXT: &[u8] = b"<html><!--# echo var=\"request_uri\" --> aaaa bbbb aaaa bbbb</html>\n";

/// Sends a browser's request.
fn ask(client: &Client, path: &str, more: &[(&str, &str)]) -> Answer {
    let accept = [("Accept-Encoding", "gzip, deflate, br")];
    client.get_with(path, &[&accept[..], more].concat())
}

#[test]
fn filters_of_the_http_block_leave_files_and_answers_as_they_are() {
    let mongo = Mongo::start();
    mongo.hide_from_sidecars();
    let mut site = Builder::without_log()
        .set("settled_grace_seconds", 0)
        .start(&mongo);
    let client = site.client();
    let large = TEXT.repeat(1000);
    let files = [TEXT, &large].map(|body| {
        let headers = [("Content-Type", "text/html")];
        (
            body,
            Uploaded::read(&client.put_with("/files/a.html", &headers, body)),
        )
    });
    let look = || {
        let mut seen = Vec::new();
        for (body, file) in &files {
            let whole = ask(&client, &file.path, &[]);
            assert!(whole.body == *body, "{whole:?}");
            assert_eq!(whole.header("etag"), file.etag);
            assert_eq!(whole.header("content-length"), body.len().to_string());
            assert_eq!(whole.header("accept-ranges"), "bytes");
            let part = ask(
                &client,
                &file.path,
                &[("Range", "bytes=5-24"), ("If-Range", &file.etag)],
            );
            assert_eq!((part.status, &*part.body), (206, &body[5..25]));
            let date = whole.header("last-modified").to_owned();
            let same = ask(&client, &file.path, &[("If-Modified-Since", &date)]);
            assert_eq!(same.status, 304);
            seen.extend([
                whole,
                part,
                same,
                ask(&client, &format!("{}/meta", file.path), &[]),
            ]);
        }
        seen.push(ask(&client, "/files/a", &[]));
        let heads = seen.into_iter().map(|answer| {
            assert!(!answer.headers.contains_key("x-site"), "{answer:?}");
            (answer.status, answer.lasting_headers(), answer.body)
        });
        heads.collect::<Vec<_>>()
    };
    for is_pending in [true, false] {
        if !is_pending {
            mongo.heal();
            site.wait_until_empty();
            // Twice, so that nginx has them in its cache.
            for (_, file) in &files {
                client.get(&file.path);
            }
        }
        let plain = look();
        site.change_nginx(&[("nginx.conf", "server_tokens off;", FILTERS)]);
        let filtered = look();
        assert!(plain == filtered, "{plain:?}\n{filtered:?}");
        site.change_nginx(&[("nginx.conf", FILTERS, "server_tokens off;")]);
    }
}
