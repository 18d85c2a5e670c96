//! The benchmark. It does the same work through gridspool, through nginx alone (the limit) and the
//! plain way, in turns and on one machine. `scripts/bench` runs it and explains its options.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::exit,
    reason = "a measurement that cannot go on ends the run"
)]

mod appends;
mod block;
mod broken;
mod burst;
mod case;
mod commits;
mod crowd;
mod disk;
mod downloads;
mod files;
mod fresh;
mod inboxes;
mod keyed;
mod load;
mod messages;
mod mix;
mod mongo;
mod nginx;
mod options;
mod other;
mod pace;
mod plain;
mod process;
mod rawread;
mod recipe;
mod report;
mod rivals;
mod sampling;
mod sidecar;
mod slow;
mod stage;
mod stats;
mod steps;
mod together;
mod uploads;
mod wire;

use std::process::ExitCode;

use options::Options;
use process::Cleaner;
use report::Report;
use stage::Stage;

/// The sidecar has the same allocator, so the CPU seconds of both can be compared.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [word, socket, uri, written, read] = words.as_slice()
        && word == stage::PLAIN
    {
        plain::serve(socket, uri, (written, read)).expect("the plain server");
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::parse(words) else {
        eprintln!("bench: wrong arguments: see scripts/bench --help");
        return ExitCode::from(64);
    };
    let _cleaner = Cleaner;
    process::clean_up_on_signals();
    let json = options.json.clone();
    let mut stage = Stage::set(options);
    let mut report = Report::new(&stage, json);
    uploads::run(&mut stage, &mut report);
    keyed::run(&mut stage, &mut report);
    appends::run(&mut stage, &mut report);
    downloads::run(&mut stage, &mut report);
    fresh::run(&mut stage, &mut report);
    together::run(&mut stage, &mut report);
    messages::run(&mut stage, &mut report);
    burst::run(&mut stage, &mut report);
    mix::run(&mut stage, &mut report);
    slow::run(&mut stage, &mut report);
    broken::run(&mut stage, &mut report);
    commits::run(&mut stage, &mut report);
    pace::run(&mut stage, &mut report);
    print!("{}", report.text());
    ExitCode::SUCCESS
}
