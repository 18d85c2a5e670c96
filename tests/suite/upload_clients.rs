//! Clients of tus as they are published: each sends files in pieces, and goes on after a cut.

use std::path::Path;
use std::process::{Command, Output};

use kit::{Browser, Builder, Client, Site, finish, noise, skip};
use serde_json::{Map, Value, json};

use crate::browser::serve_with;
use crate::upload_routing::file_of;

/// The files that each client sends.
fn contents() -> [(&'static str, Vec<u8>); 3] {
    [
        ("small.txt", b"hello world".to_vec()),
        ("long.bin", noise(1, 1_000_000)),
        ("empty.txt", Vec::new()),
    ]
}

/// Asserts that the upload at this URL is the file with these bytes; returns the file's name.
pub(crate) fn assert_sent(client: &Client, what: &str, url: &str, content: &[u8]) -> String {
    let path = url.find("/uploads/").map(|start| &url[start..]);
    let path = path.unwrap_or_else(|| panic!("{what}: {url}"));
    let got = client.get(&file_of(path));
    assert_eq!(got.status, 200, "{what}: {got:?}");
    assert!(got.body == content, "{what}: other bytes");
    got.header("content-disposition").to_owned()
}

/// The script that sends the files of a directory by tuspy and aiotus.
pub(crate) fn by_python(endpoint: &str, directory: &Path) -> Command {
    let python = std::env::var_os("GRIDSPOOL_HTTP_PYTHON")
        .expect("GRIDSPOOL_HTTP_PYTHON, a Python with HTTP clients; scripts/test brings one");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/send_in_pieces.py");
    let mut command = Command::new(python);
    command.arg(script).arg(endpoint).arg(directory);
    command
}

/// The uploads that the script tells, this many: for each way the file's name and the URL.
pub(crate) fn told_by_python(output: &Output, count: usize) -> Map<String, Value> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let sent: Map<_, _> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sent.len(), count, "{sent:?}");
    sent
}

/// A browser, and the address of a page with tus-js-client, Uppy and a field for a file. `None` if this machine has none
/// of them; then the test of this name is skipped.
pub(crate) fn browser_with_clients(name_of_test: &str) -> Option<(Browser, String)> {
    let packages = std::env::var_os("GRIDSPOOL_NPM_PACKAGES");
    let Some(packages) = packages.filter(|packages| !packages.is_empty()) else {
        skip(
            name_of_test,
            "GRIDSPOOL_NPM_PACKAGES names no packages; scripts/test brings them",
        );
        return None;
    };
    let browser = Browser::start(name_of_test)?;
    let script = |path: &'static str, file: &str| {
        let text = std::fs::read_to_string(Path::new(&packages).join(file)).unwrap();
        (path, text)
    };
    let scripts = vec![
        script("/tus.js", "tus-js-client/dist/tus.min.js"),
        script("/uppy.js", "uppy/dist/uppy.min.js"),
    ];
    let page = "<!doctype html><meta charset=utf-8><input type=file>
        <script src=/tus.js></script><script src=/uppy.js></script>";
    Some((browser, serve_with(page.to_owned(), scripts)))
}

#[test]
fn tuspy_and_aiotus_send_files_at_once_in_pieces_after_a_cut_and_in_parts() {
    let mut site = Site::without_mongodb();
    // aiotus 1.1.0 takes no address without a host, so the site tells its own.
    let host = "proxy_redirect /uploads/ http://$http_host/uploads/;";
    let upstream = "gridspool/upstream.conf";
    site.change_nginx(&[(upstream, "proxy_redirect off;", host)]);
    let scratch = tempfile::tempdir().unwrap();
    for (name, content) in contents() {
        std::fs::write(scratch.path().join(name), content).unwrap();
    }
    let url = format!("{}/uploads", site.url());
    let output = finish(&mut by_python(&url, scratch.path()));
    for (what, told) in &told_by_python(&output, 10) {
        let (name, url) = (told[0].as_str().unwrap(), told[1].as_str().unwrap());
        let content = contents().into_iter().find(|(sent, _)| *sent == name);
        let kept_as = assert_sent(&site.client(), what, url, &content.unwrap().1);
        assert!(
            kept_as.contains(name) || what.contains("at once"),
            "{what}: {kept_as}"
        );
    }
}

/// Sends the chosen file by tus-js-client, and returns the address of the upload and of the file.
pub(crate) const BY_TUS: &str = "
    const [endpoint, options, done] = arguments;
    const file = document.querySelector('input').files[0];
    const metadata = { filename: file.name, filetype: file.type };
    const fail = error => done({ error: String(error) });
    const make = more => {
      const upload = new tus.Upload(file, { endpoint, metadata, retryDelays: null, ...options, ...more,
        onError: fail,
        onSuccess: ({ lastResponse }) =>
          done({ url: upload.url, file: lastResponse.getHeader('Content-Location') }) });
      return upload;
    };
    if (!options.isResumed) return make({}).start();
    const first = make({ onChunkComplete: async () => {
      await first.abort();
      const again = make({});
      const before = (await again.findPreviousUploads()).find(one => one.uploadUrl === first.url);
      if (!before) return fail('it is not found again');
      again.resumeFromPreviousUpload(before);
      again.start();
    } });
    first.start();";

/// Sends the chosen file by Uppy, and returns the address of the upload.
pub(crate) const BY_UPPY: &str = "
    const [endpoint, options, done] = arguments;
    const file = document.querySelector('input').files[0];
    const uppy = new Uppy.Uppy().use(Uppy.Tus, { endpoint, retryDelays: [0], ...options });
    uppy.addFile({ name: file.name, type: file.type, data: file });
    let isPaused = false;
    uppy.on('upload-progress', (_, { bytesUploaded }) => {
      if (!options.isResumed || isPaused || bytesUploaded < options.chunkSize) return;
      isPaused = true;
      uppy.pauseAll();
      setTimeout(() => uppy.resumeAll());
    });
    uppy.upload().then(({ successful, failed }) =>
      done(failed.length ? { error: String(failed[0].error) } : { url: successful[0].uploadURL }),
      error => done({ error: String(error) }));";

#[test]
fn tus_js_client_and_uppy_send_files_from_a_browser_at_once_in_pieces_after_a_cut_and_in_parts() {
    let Some((browser, page)) = browser_with_clients("tus-js-client and Uppy in a browser") else {
        return;
    };
    let site = Builder::default().nginx("--origin", "localhost");
    let site = site.start_without_mongodb();
    let scratch = tempfile::tempdir().unwrap();
    let endpoint = format!("{}/uploads", site.url());
    let piece = json!({ "chunkSize": 300_000 });
    let in_pieces = |option: &str, value: Value| json!({ "chunkSize": 300_000, option: value });
    for (name, content) in contents() {
        let path = scratch.path().join(name);
        std::fs::write(&path, &content).unwrap();
        let mut ways = vec![
            (BY_TUS, json!({})),
            (BY_TUS, piece.clone()),
            (BY_UPPY, json!({})),
            (BY_UPPY, piece.clone()),
        ];
        if !content.is_empty() {
            ways.push((BY_TUS, in_pieces("uploadLengthDeferred", json!(true))));
            ways.push((BY_TUS, in_pieces("uploadDataDuringCreation", json!(true))));
            ways.push((BY_TUS, in_pieces("overridePatchMethod", json!(true))));
        }
        if content.len() > 300_000 {
            ways.push((BY_TUS, json!({ "parallelUploads": 3 })));
            ways.push((BY_TUS, in_pieces("isResumed", json!(true))));
            ways.push((BY_UPPY, in_pieces("isResumed", json!(true))));
        }
        for (script, options) in ways {
            let by = if script == BY_TUS {
                "tus-js-client"
            } else {
                "Uppy"
            };
            let what = format!("{by}, {name}, {options}");
            browser.open(&page);
            browser.type_into("input", path.to_str().unwrap());
            let sent = browser.run(script, &json!([endpoint, options]));
            let url = sent["url"].as_str();
            let url = url.unwrap_or_else(|| panic!("{what}: {sent}"));
            let kept_as = assert_sent(&site.client(), &what, url, &content);
            assert!(kept_as.contains(name), "{what}: {kept_as}");
            // The page learns the file's address from the last append.
            if let Some(file) = sent["file"].as_str() {
                assert!(
                    url.ends_with(&file.replace("/files/", "/uploads/")),
                    "{sent}"
                );
            }
        }
    }
}
