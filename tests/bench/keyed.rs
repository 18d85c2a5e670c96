//! Uploads under an idempotency key, through one of three nodes: a majority of them promises it the key. The
//! row compares them with the same uploads without a key.

use crate::block::Body;
use crate::case::{Case, Goal, Metric, RATE};
use crate::load::{Limit, Load};
use crate::report::Report;
use crate::stage::Stage;
use crate::stats::Sample;
use crate::uploads::SMALL;
use crate::wire::Request;

const P50: Metric = Metric::new("p50", " ms p50");

/// The cost of the key.
const MORE: Metric = Metric::new("more", " ms of p50 more than without a key");

/// Adds the rows to the report: the latency of one client, and the rate of many.
pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    for connections in [1, SMALL.connections] {
        let work = format!("keyed upload of {}, {connections} at once", SMALL.name);
        if stage.options.wants(&work) {
            report.add(keyed(stage, &work, connections));
        }
    }
}

fn keyed(stage: &mut Stage, work: &str, connections: usize) -> Case {
    let mut case = Case::new(work);
    stage.begin_with(stage.others.len()).expect("three nodes");
    for round in 0..stage.options.of(3, 9) {
        case.round("unkeyed", || send(stage, connections, |_, request| request));
        let without = case.series("unkeyed", P50).last().copied();
        case.round("keyed", || {
            let with_key =
                |number: u64, request: Request| request.under_key(&format!("{round}-{number}"));
            let sample = send(stage, connections, with_key)?;
            let more = sample
                .value(P50.name)
                .zip(without)
                .map(|(with, without)| with - without);
            Ok(sample.with(MORE.name, more.ok_or("nothing to compare with")?))
        });
    }
    stage.end_others();
    stage.end();
    if connections > 1 {
        limit(stage, &mut case, connections);
    }
    if connections == 1 {
        case.judge("keyed", MORE, Goal::AtMost(1.0));
        case.compare("keyed", "unkeyed", RATE, Goal::None);
    } else {
        case.compare("keyed", "unkeyed", RATE, Goal::AtLeast(0.85));
        case.compare("keyed, alone", "unkeyed, alone", RATE, Goal::None);
        case.compare("keyed", "unkeyed", P50, Goal::None);
    }
    case
}

/// The same at a node without others: no votes are asked for. Votes can only cost more.
fn limit(stage: &mut Stage, case: &mut Case, connections: usize) {
    stage.begin_with(0).expect("a node");
    for round in 0..stage.options.of(3, 9) {
        case.round("unkeyed, alone", || {
            send(stage, connections, |_, request| request)
        });
        case.round("keyed, alone", || {
            send(stage, connections, |number, request| {
                request.under_key(&format!("{round}-{number}"))
            })
        });
    }
    stage.end();
}

fn send(
    stage: &Stage,
    connections: usize,
    keyed: impl Fn(u64, Request) -> Request + Sync,
) -> Result<Sample, String> {
    stage.measure(|| {
        let load = Load {
            address: stage.gridspool.address(),
            connections,
            limit: Limit::Seconds(stage.options.of(1.0, 2.0)),
            requests: &|number| {
                let body = Body::of(number, SMALL.bytes);
                keyed(number, Request::put(&format!("/files/{number}"), body))
            },
        };
        Ok(load.run()?.sample())
    })
}
