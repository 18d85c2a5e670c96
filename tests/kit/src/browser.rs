//! A headless Chromium of the test's own, driven by chromedriver (`WebDriver`).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Request;

use crate::process::{Process, free_port};
use crate::{eventually, skip};

/// The key of an element's reference (`WebDriver` §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

#[derive(Debug)]
pub struct Browser {
    agent: Agent,
    session: String,
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser; `None` if it is not installed: then the test is reported as skipped.
    pub fn start(test: &str) -> Option<Self> {
        for program in ["chromium", "chromedriver"] {
            let version = Command::new(program).arg("--version").output();
            if !version.is_ok_and(|told| told.status.success()) {
                skip(test, &format!("{program} is not installed"));
                return None;
            }
        }
        let profile = tempfile::tempdir().expect("a profile");
        let port = free_port();
        let driver = Process::spawn(
            Command::new("chromedriver")
                .arg(format!("--port={port}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_mins(2)))
            .build()
            .new_agent();
        let base = format!("http://127.0.0.1:{port}");
        eventually("chromedriver answers", || {
            agent.get(format!("{base}/status")).call().ok()
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags(profile.path()) },
            "timeouts": { "script": 60_000 },
        }}});
        let made = ask(&agent, "POST", &format!("{base}/session"), &wanted);
        let id = made["sessionId"].as_str().expect("a session");
        Some(Self {
            session: format!("{base}/session/{id}"),
            agent,
            _driver: driver,
            _profile: profile,
        })
    }

    /// Loads a page.
    pub fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script in the page; returns the value that the script passes to its last argument, a
    /// function.
    pub fn run(&self, script: &str, arguments: &Value) -> Value {
        let script = json!({ "script": script, "args": arguments });
        self.ask("POST", "/execute/async", &script)
    }

    /// Types into the first element of a CSS selector; into a file input it types paths.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        let path = format!("/element/{element}/value");
        self.ask("POST", &path, &json!({ "text": text }));
    }

    /// Clicks on an element. The next page may still be loading.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// The JSON that the browser shows, once it shows some.
    pub fn shown(&self) -> Value {
        let script = json!({ "script": "return document.body.innerText", "args": [] });
        eventually("the browser shows JSON", || {
            // A page that is being replaced does not answer.
            let (status, text) = command(&self.agent, "POST", &self.url("/execute/sync"), &script);
            let shown = (status == 200).then(|| text["value"].as_str().map(str::to_owned));
            serde_json::from_str(&shown??)
                .inspect_err(|_| eprintln!("the browser shows {text}"))
                .ok()
        })
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({ "using": "css selector", "value": selector });
        let found = self.ask("POST", "/element", &found);
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        ask(&self.agent, method, &self.url(path), body)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.session)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // This ends Chromium; the driver is ended by its process id.
        if self.agent.delete(&self.session).call().is_err() {
            eprintln!("the browser could not be ended");
        }
    }
}

fn flags(profile: &Path) -> Vec<String> {
    let profile = format!("--user-data-dir={}", profile.display());
    [
        &profile,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--mute-audio",
        "--autoplay-policy=no-user-gesture-required",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Runs a command that must succeed; returns its value.
fn ask(agent: &Agent, method: &str, url: &str, body: &Value) -> Value {
    let (status, mut answer) = command(agent, method, url, body);
    assert_eq!(status, 200, "{method} {url} {body}: {answer}");
    answer["value"].take()
}

/// Runs a command; returns the status and the JSON of the answer.
fn command(agent: &Agent, method: &str, url: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = Request::builder().method(method).uri(url).body(text);
    let mut answer = agent.run(request.expect("a request")).expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    let json = serde_json::from_str(&text).expect("JSON");
    (answer.status().as_u16(), json)
}
