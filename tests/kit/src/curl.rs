//! curl, as users run it.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::answer::{Answer, headers_of};
use crate::finish;

/// The answer that curl received.
#[derive(Debug)]
pub struct Fetched {
    pub answer: Answer,
    /// `1.1` or `2`.
    pub version: String,
}

/// Runs curl with these arguments, in a directory where `body` is a file of that name, and its
/// standard input too: `-T -` sends it without knowing its length.
pub fn curl(body: (&str, &[u8]), arguments: &[&str]) -> Fetched {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join(body.0);
    std::fs::write(&path, body.1).expect("a file to send");
    let told = run(scratch.path(), &path, arguments);
    let mut told = told.split(' ');
    let mut next = || told.next().expect("curl's words").to_owned();
    let (status, version) = (next(), next());
    let lines = String::from_utf8(read(&scratch, "head.out")).expect("a text");
    // The last of several heads, such as that of a 100, is the answer's.
    let head = lines.trim_end().rsplit("\r\n\r\n").next().expect("a head");
    let (_, headers) = head.split_once("\r\n").unwrap_or_default();
    Fetched {
        answer: Answer {
            status: status.parse().expect("a status"),
            headers: headers_of(headers),
            body: read(&scratch, "body.out"),
        },
        version,
    }
}

/// Returns status and version, as curl reports them.
fn run(directory: &Path, input: &Path, arguments: &[&str]) -> String {
    let output = finish(
        Command::new("curl")
            .args(["-sSk", "-D", "head.out", "-o", "body.out"])
            .args(["-w", "%{http_code} %{http_version}"])
            .args(arguments)
            .current_dir(directory)
            .stdin(File::open(input).expect("a file to send")),
    );
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("a text")
}

fn read(scratch: &TempDir, name: &str) -> Vec<u8> {
    // Without a body curl makes no file.
    std::fs::read(scratch.path().join(name)).unwrap_or_default()
}
