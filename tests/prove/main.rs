//! The proof: real nginx, sidecar and mongod under load, a ledger of the answers that clients got,
//! faults at random moments, and then a comparison of everything with the ledger. `scripts/prove` runs
//! it and explains its options.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a run that cannot go on ends"
)]

mod by_key;
mod clock;
mod faults;
mod ground;
mod joined;
mod ledger;
mod live;
mod load;
mod messages;
mod mongo;
mod options;
mod other_format;
mod pieces;
mod points;
mod random;
mod request;
mod scene;
mod stage;
mod tally;
mod uploads;
mod verify;
mod verify_bucket;
mod verify_messages;
mod verify_uploads;
mod ways;
mod whole;
mod wires;

use std::process::ExitCode;
use std::time::Instant;

use faults::Fault;
use options::Options;
use random::Random;
use stage::Stage;

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("prove: wrong arguments: see scripts/prove --help");
        return ExitCode::from(64);
    };
    println!("seed {}", options.seed);
    let begun = Instant::now();
    let mut random = Random::new(options.seed);
    let mut stage = Stage::set(&options);
    let mut done = 0;
    while done < options.cycles
        && begun.elapsed() < options.most
        && (stage.tally.violations() == 0 || options.goes_on)
    {
        let faults = options.look_after.get().min(options.cycles - done);
        stage.round(&options, &mut random, faults);
        done += faults;
        eprintln!(
            "prove: {done} of {} cycles, {} s: {}",
            options.cycles,
            begun.elapsed().as_secs(),
            stage.tally.line()
        );
    }
    println!("{}", stage.tally.report(begun.elapsed()));
    if let Some(points) = &stage.servers.points {
        println!("{}", points.line());
    }
    if stage.tally.violations() == 0 {
        ExitCode::SUCCESS
    } else {
        println!("seed {}: VIOLATED", options.seed);
        ExitCode::FAILURE
    }
}

/// All faults that a word of the command line can name.
fn fault_named(name: &str) -> Option<Fault> {
    Fault::ALL.into_iter().find(|fault| fault.name() == name)
}
