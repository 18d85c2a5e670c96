//! Chromium in front of a site: it sends a form, and shows what it sent.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use kit::{Browser, Builder, Routes, Uploaded, media, noise};
use serde_json::{Value, json};

/// Serves one page for every request, and returns its address. Page and site have the same site but
/// another origin, like the page of a platform.
fn serve(page: String) -> String {
    serve_with(page, Vec::new())
}

/// Serves a page that has these scripts, each with its path.
pub(crate) fn serve_with(page: String, scripts: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            // A browser opens connections that it may never use.
            let read = stream.read(&mut head).unwrap_or(0);
            if read > 0 {
                let asked = String::from_utf8_lossy(&head[..read]);
                let path = asked.split(' ').nth(1).unwrap_or_default();
                let script = scripts.iter().find(|(script, _)| *script == path);
                let (kind, text) = match script {
                    Some((_, text)) => ("text/javascript", text),
                    None => ("text/html", &page),
                };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nConnection: close"
                );
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).unwrap_or_default();
            }
        }
    });
    format!("http://{address}/")
}

#[test]
fn a_form_with_three_files_and_texts_arrives_from_a_browser_byte_for_byte() {
    let Some(browser) = Browser::start("a form from a browser") else {
        return;
    };
    let site = Builder::default().nginx("--origin", "localhost");
    let site = site.start_without_mongodb();
    let scratch = tempfile::tempdir().unwrap();
    let sent = [
        ("Grüße \"☃\" 100% 1.png", "image/png", media::png(16, 9)),
        ("noise", "application/octet-stream", noise(1, 3_000_000)),
        ("empty.txt", "text/plain", Vec::new()),
    ];
    for (name, _, content) in &sent {
        std::fs::write(scratch.path().join(name), content).unwrap();
    }
    let path = |place: usize| scratch.path().join(sent[place].0).display().to_string();
    browser.open(&serve(format!(
        "<form action='{}/files' method=post enctype=multipart/form-data>
           <input name=caption><textarea name=note></textarea>
           <input type=file name=photo><input type=file name=documents multiple>
           <input type=file name=open><button>send</button>
         </form>",
        site.url()
    )));
    browser.type_into("[name=caption]", "am Meer, größer");
    browser.type_into("[name=note]", "two\nlines");
    browser.type_into("[name=photo]", &path(0));
    browser.type_into("[name=documents]", &format!("{}\n{}", path(1), path(2)));
    browser.click("button");
    let answer = browser.shown();
    let files = answer["files"].as_array().unwrap();
    assert_eq!(files.len(), sent.len(), "{answer}");
    for (file, (name, content_type, content)) in files.iter().zip(&sent) {
        assert_eq!(file["filename"], *name);
        assert_eq!(file["content_type"], *content_type);
        assert_eq!(file["length"], content.len());
        let texts = json!({ "caption": "am Meer, größer", "note": "two\r\nlines" });
        assert_eq!(file["metadata"], texts);
        let got = site.client().get(file["url"].as_str().unwrap());
        assert!(got.body == *content, "{name}: other bytes");
    }
    assert_eq!(site.entries("incoming"), 3);

    // An old page with forms that state a charset of their own.
    browser.open(&serve(format!(
        "<form action='{}/files' method=post enctype=multipart/form-data accept-charset=windows-1252>
           <input type=hidden name=_charset_><input name=größe><input type=file name=photo>
           <button>send</button>
         </form>",
        site.url()
    )));
    std::fs::write(scratch.path().join("größe.png"), media::png(16, 9)).unwrap();
    browser.type_into("[name=größe]", "größer als 5 €");
    let path = scratch.path().join("größe.png").display().to_string();
    browser.type_into("[name=photo]", &path);
    browser.click("button");
    let answer = browser.shown();
    let texts = json!({ "größe": "größer als 5 €" });
    assert_eq!(answer["files"][0]["metadata"], texts, "{answer}");
    assert_eq!(answer["files"][0]["filename"], "größe.png");

    // A script of another origin, with the header fields of upload libraries: Dropzone, and clients of
    // tus.
    let ask = |headers: &[(&str, &str)]| {
        let headers: Value = headers.iter().copied().collect();
        browser.run(ASK, &json!([format!("{}/files", site.url()), headers]))
    };
    browser.open(&serve("<body>".to_owned()));
    let taken = ask(&[
        ("Cache-Control", "no-cache"),
        ("X-Requested-With", "XMLHttpRequest"),
        ("X-Of-The-Page", "a"),
    ]);
    assert_eq!(taken["status"], 201, "{taken}");
    let refused = ask(&[("Tus-Resumable", "1.0.0"), ("Upload-Length", "7")]);
    assert_eq!(refused["status"], 400, "{refused}");
    let text = refused["text"].as_str().unwrap();
    assert!(text.contains("tus is spoken at /uploads"), "{text}");
}

/// Sends a body from a script, and returns the parts of the answer that the script may read.
const ASK: &str = "
    const [url, headers, done] = arguments;
    const request = new XMLHttpRequest();
    request.open('POST', url);
    for (const name in headers) request.setRequestHeader(name, headers[name]);
    request.onload = () => done({ status: request.status, text: request.responseText });
    request.onerror = () => done({ error: 'the browser does not send it' });
    request.send(new Blob(['content']));";

/// Shows a medium. Returns the size of a picture; for sound and film, the loaded ranges after a jump to
/// the middle, once it plays from there.
const SHOW: &str = "
    const [kind, url, done] = arguments;
    const element = document.createElement(kind);
    element.onerror = () => done({ error: String(element.error && element.error.message) });
    element.onload = () => done({ width: element.naturalWidth, height: element.naturalHeight });
    element.onloadedmetadata = () => {
      const middle = element.duration / 2;
      element.onseeked = () => element.play().catch(error => done({ error: String(error) }));
      element.ontimeupdate = () => {
        if (element.currentTime <= middle) return;
        element.ontimeupdate = null;
        const loaded = [];
        for (let count = 0; count < element.buffered.length; count++)
          loaded.push([element.buffered.start(count), element.buffered.end(count)]);
        done({ duration: element.duration, loaded });
      };
      element.currentTime = middle;
    };
    element.src = url;
    document.body.append(element);";

/// Plays the medium that fills a tab, and returns its position.
const PLAY: &str = "
    const [done] = arguments;
    const element = document.querySelector('video, audio');
    const fail = error => done({ error: String(error && error.message) });
    element.onerror = () => fail(element.error);
    const tell = () => { if (element.currentTime > 0) done({ played: true }); };
    element.ontimeupdate = tell;
    if (element.error) fail(element.error);
    else element.play().then(tell, fail);";

/// Seconds of sound and film: more than a browser loads before it is told to jump.
const SECONDS: u16 = 200;

/// Asserts that a film or a sound was loaded from its middle on, and that the part between its
/// beginning and its middle was not.
fn assert_played_from_the_middle(shown: &Value) {
    let duration = shown["duration"].as_f64();
    assert_eq!(duration.map(f64::round), Some(SECONDS.into()), "{shown}");
    let middle = f64::from(SECONDS / 2);
    let bounds = |part: &Value| [0, 1].map(|place| part[place].as_f64().unwrap());
    let mut parts = shown["loaded"].as_array().unwrap().iter().map(bounds);
    let [start, _] = parts
        .find(|&[start, end]| start <= middle && middle <= end)
        .unwrap_or_else(|| panic!("{shown}"));
    assert!(start > 0.0, "{shown}");
}

#[test]
fn a_browser_shows_plays_and_jumps_within_pending_and_committed_files() {
    let Some(browser) = Browser::start("pictures, sound and film in a browser") else {
        return;
    };
    let routes = Routes::start();
    let client = routes.site.client();
    let upload = |content_type: &str, body: &[u8]| {
        let headers = [("Content-Type", content_type)];
        Uploaded::read(&client.post("/files", &headers, body)).path
    };
    let picture = upload("image/png", &media::png(160, 90));
    let sound = upload("audio/wav", &media::wav(SECONDS));
    let film = upload("video/webm", &media::webm(SECONDS, 200_000));
    let page = |name: &str| serve("<body>".to_owned()).replace("127.0.0.1", name);
    let (own, strange) = (page("app.example.localhost"), page("app.other.localhost"));
    let files = routes
        .site
        .url()
        .replace("127.0.0.1", "files.example.localhost");
    let mut round = 0;
    routes.both(|_| {
        // Another name keeps the browser's own cache out.
        round += 1;
        let show = |kind: &str, path: &str| {
            let url = format!("{files}{path}/{round}");
            browser.run(SHOW, &json!([kind, url]))
        };
        browser.open(&strange);
        let hidden = show("img", &picture);
        assert!(
            hidden["error"].is_string(),
            "a page of another site: {hidden}"
        );
        browser.open(&own);
        assert_eq!(show("img", &picture), json!({ "width": 160, "height": 90 }));
        assert_played_from_the_middle(&show("audio", &sound));
        assert_played_from_the_middle(&show("video", &film));
        // In a tab of their own, as after a click on a link; the second time from the browser's cache.
        for path in [&sound, &film] {
            for _ in 0..2 {
                browser.open(&format!("{files}{path}/alone-{round}"));
                assert_eq!(browser.run(PLAY, &json!([])), json!({ "played": true }));
            }
        }
    });
}
