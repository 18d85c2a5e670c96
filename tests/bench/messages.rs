//! Messages. These rows compare sending them with sending the same bytes as a form of files,
//! reading them with reading small files, and receivers' lists with one indexed find by a driver.

use std::path::Path;
use std::process::Command;

use crate::block::Body;
use crate::case::{Case, Goal, MEMORY, MOST_MEMORY, P99, RATE};
use crate::files::{committed, nothing_stays, wait_until_committed};
use crate::inboxes::{Inboxes, MESSAGES_OF_EACH, name_of};
use crate::load::{Limit, Load};
use crate::mongo::{DATABASE, RIVALS};
use crate::report::Report;
use crate::sampling::peak_mib;
use crate::sidecar::NO_MONGODB;
use crate::stage::Stage;
use crate::stats::Sample;
use crate::uploads::SMALL;
use crate::wire::Request;

const KIB: u64 = 1024;
const WORDS: usize = 2 * 1024;
const CLIP: u64 = 30 * KIB;
const IMAGE: u64 = 300 * KIB;

/// The number of clients that send, and of clients that read.
const SENDERS: usize = 16;
const READERS: usize = 32;

/// The contestant that sends and lists messages the usual way in Python.
const RECIPE: &str = "recipe";

/// The number of messages on a page of a list.
const PAGE: u64 = 50;

/// Adds all rows of messages to the report.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    let (sent, read, listed) = ("message, sent", "message, hot", "list of a receiver");
    if stage.options.wants(sent) {
        report.add(sends(stage, sent));
    }
    if stage.options.wants(read) {
        report.add(reads(stage, read));
    }
    if stage.options.wants(listed) {
        report.add(lists(stage, listed));
    }
}

/// Makes the same form for both addresses: words in JSON, a clip and an image.
fn form(path: &str, number: u64) -> Request {
    let head = "--benchboundary\r\nContent-Disposition: form-data; name=";
    let words = format!("{{\"text\":\"{}\"}}", "w".repeat(WORDS - 11));
    let before = [
        format!("{head}\"to\"\r\n\r\nbob\r\n").as_bytes(),
        format!("{head}\"message\"; filename=\"m.json\"\r\nContent-Type: application/json\r\n\r\n")
            .as_bytes(),
        words.as_bytes(),
        format!("\r\n{head}\"clip\"; filename=\"a.ogg\"\r\nContent-Type: audio/ogg\r\n\r\n")
            .as_bytes(),
        &Body::of(number, CLIP).to_vec(),
        format!("\r\n{head}\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n")
            .as_bytes(),
    ]
    .concat();
    Request::multipart(path, &before, Body::of(number + 1, IMAGE))
}

/// Measures promises of messages, without MongoDB and beside running commits.
fn sends(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let uri = stage.mongo.uri();
    for _ in 0..stage.options.repeat {
        for (contestant, path, uri) in [
            ("message", "/messages", NO_MONGODB),
            ("form", "/files", NO_MONGODB),
            ("message, committing", "/messages", &*uri),
            ("form, committing", "/files", &*uri),
        ] {
            case.round(contestant, || {
                stage.with_sidecar(uri, &[], |stage| {
                    let address = stage.gridspool.address();
                    send(stage, address, |number| form(path, number))
                })
            });
        }
        recipe_sends(stage, &mut case);
        // The plain server knows no forms, so one file has the bytes of all parts.
        let address = stage.before_plain.address();
        let bytes = u64::try_from(WORDS).expect("small") + CLIP + IMAGE;
        case.round("plain, one file", || {
            let sample = send(stage, address, |number| {
                Request::put(&format!("/files/{number}"), Body::of(number, bytes))
            });
            stage.mongo.forget(RIVALS);
            sample
        });
    }
    case.compare("message", "form", RATE, Goal::AtLeast(0.6));
    let committing = ("message, committing", "form, committing");
    case.compare(committing.0, committing.1, RATE, Goal::None);
    for theirs in ["plain, one file", RECIPE] {
        case.compare("message, committing", theirs, RATE, Goal::None);
    }
    case.judge("message, committing", MEMORY, MOST_MEMORY);
    case
}

/// The same form to the recipe, which commits before it answers.
fn recipe_sends(stage: &mut Stage, case: &mut Case) {
    case.round(RECIPE, || {
        stage.begin_recipe()?;
        let sample = match &stage.recipe {
            Some(recipe) => send(stage, recipe.nginx.address(), |number| {
                form("/messages", number)
            }),
            None => Err("it does not run".to_owned()),
        };
        stage.end_recipe();
        stage.mongo.forget(RIVALS);
        sample
    });
}

fn send(
    stage: &Stage,
    address: std::net::SocketAddr,
    requests: impl Fn(u64) -> Request + Sync,
) -> Result<Sample, String> {
    let load = Load {
        address,
        connections: SENDERS,
        limit: Limit::Seconds(stage.options.of(1.0, 3.0)),
        requests: &requests,
    };
    let sample = stage.measure(|| Ok(load.run()?.sample()))?;
    Ok(sample.with(MEMORY.name, peak_mib(&stage.sidecar.ids())))
}

/// Measures reads of committed messages, in turns with reads of files of 8 KiB.
fn reads(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let count = stage.options.of(200, 1000);
    let files = committed(stage, SMALL, count);
    let sending = Load {
        address: stage.gridspool.address(),
        connections: SENDERS,
        limit: Limit::Count(count),
        requests: &|number| form("/messages", number),
    };
    let sent = sending.run().expect("messages");
    assert_eq!(sent.failures, 0, "{:?}", sent.failure);
    wait_until_committed(stage);
    let messages: Vec<_> = sent.places.into_iter().map(|(_, place)| place).collect();
    let read = |stage: &Stage, places: &[String], limit| {
        let load = Load {
            address: stage.gridspool.address(),
            connections: READERS,
            limit,
            requests: &|number| {
                let number = usize::try_from(number).expect("a 64-bit machine");
                Request::get(&places[number % places.len()])
            },
        };
        stage.measure(|| Ok(load.run()?.sample()))
    };
    let contestants = [("message", &messages), ("file of 8 KiB", &files.places)];
    for (name, places) in contestants {
        // After these reads every cache has the files.
        for _ in 0..2 {
            if let Err(err) = read(stage, places, Limit::Count(count)) {
                case.round(name, || Err(err));
            }
        }
    }
    for _ in 0..stage.options.repeat {
        for (name, places) in contestants {
            let limit = Limit::Seconds(stage.options.of(0.7, 1.5));
            case.round(name, || read(stage, places, limit));
        }
    }
    case.compare("message", "file of 8 KiB", RATE, Goal::AtLeast(0.5));
    stage.end();
    stage.mongo.forget(DATABASE);
    case
}

/// Measures pages of the lists of some receivers among many, one page after the other.
fn lists(stage: &mut Stage, work: &str) -> Case {
    let mut case = Case::new(work);
    let inboxes = Inboxes {
        receivers: stage.options.of(200, 10_000),
        read: stage.options.of(20, 200),
    };
    let all = inboxes.receivers * MESSAGES_OF_EACH;
    crate::case::progress(&format!("{work}: {all} messages are put into MongoDB"));
    inboxes.fill(&stage.mongo);
    inboxes.fill_recipe(&stage.mongo);
    let uri = stage.mongo.uri();
    stage.begin(&uri, &nothing_stays()).expect("a sidecar");
    stage.sidecar.wait_until_up();
    let seconds = stage.options.of(1.0, 5.0);
    let get = |stage: &Stage, address, limit| {
        let load = Load {
            address,
            connections: 1,
            limit,
            requests: &|number| {
                let receiver = name_of(number % inboxes.read);
                Request::get(&format!("/receivers/{receiver}/messages?limit={PAGE}"))
            },
        };
        let sample = stage.measure(|| Ok(load.run()?.sample()))?;
        Ok(sample.with(MEMORY.name, peak_mib(&stage.sidecar.ids())))
    };
    // A node's first list waits for a second, until a sample of the watermark is old enough.
    let own = stage.gridspool.address();
    if let Err(err) = get(stage, own, Limit::Count(inboxes.read)) {
        case.round("gridspool", || Err(err));
    }
    if let Err(err) = stage.begin_recipe() {
        case.round(RECIPE, || Err(err));
    }
    let theirs = stage.recipe.as_ref().map(|recipe| recipe.nginx.address());
    for _ in 0..stage.options.repeat {
        let limit = Limit::Seconds(seconds);
        case.round("gridspool", || get(stage, own, limit));
        case.round("pymongo, one find", || find(&uri, inboxes.read, seconds));
        if let Some(theirs) = theirs {
            case.round(RECIPE, || get(stage, theirs, limit));
        }
    }
    case.compare("gridspool", "pymongo, one find", P99, Goal::AtMost(3.0));
    for metric in [P99, RATE] {
        case.compare("gridspool", RECIPE, metric, Goal::None);
    }
    case.judge("gridspool", MEMORY, MOST_MEMORY);
    stage.end_recipe();
    stage.end();
    for name in [DATABASE, RIVALS] {
        stage.mongo.forget(name);
    }
    case
}

/// Measures finds of such a page's entries by pymongo, in a process of its own.
fn find(uri: &str, receivers: u64, seconds: f64) -> Result<Sample, String> {
    let python = std::env::var_os("GRIDSPOOL_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(kit::CHECKOUT).join("tests/bench/find_with_pymongo.py");
    let numbers = [receivers, PAGE].map(|number| number.to_string());
    let output = Command::new(python)
        .arg(script)
        .args([uri, DATABASE])
        .args(numbers)
        .arg(seconds.to_string())
        .output()
        .map_err(|err| format!("python: {err}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|err| format!("pymongo's answer: {err}"))?;
    let number = |name: &str| said[name].as_f64().unwrap_or_default();
    let sample = Sample::default().with("requests", number("finds"));
    Ok(sample
        .with("seconds", number("seconds"))
        .with("rate", number("finds") / number("seconds"))
        .with("p99", number("p99_ms")))
}
