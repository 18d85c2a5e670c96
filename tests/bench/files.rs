//! Files that exist before a measurement: uploaded to every contestant, or committed and not read
//! yet.

use crate::block::Body;
use crate::load::{Limit, Load};
use crate::process::eventually;
use crate::stage::Stage;
use crate::uploads::Size;
use crate::wire::Request;

/// Files of one size. Every contestant has each of them.
pub(crate) struct Files {
    pub(crate) size: Size,
    /// The paths through gridspool and the plain server, by the number of the file.
    pub(crate) places: Vec<String>,
}

impl Files {
    /// Returns the path of the last file.
    fn last(&self) -> &str {
        self.places.last().expect("a file")
    }
}

/// Uploads files through gridspool and to nginx alone.
pub(crate) fn uploaded(stage: &Stage, size: Size, count: u64) -> Files {
    let upload = |address| {
        let load = Load {
            address,
            connections: size.connections,
            limit: Limit::Count(count),
            requests: &|number| {
                Request::put(&format!("/files/{number}"), Body::of(number, size.bytes))
            },
        };
        let outcome = load.run().expect("uploads before downloads");
        assert_eq!(outcome.failures, 0, "{:?}", outcome.failure);
        outcome.places
    };
    upload(stage.alone.address());
    let places = upload(stage.gridspool.address());
    let places = places.into_iter().map(|(_, place)| place).collect();
    Files { size, places }
}

/// Uploads files and waits until they are in MongoDB and no longer in the journal.
pub(crate) fn committed(stage: &mut Stage, size: Size, count: u64) -> Files {
    let uri = stage.mongo.uri();
    stage.begin(&uri, &nothing_stays()).expect("a sidecar");
    let files = uploaded(stage, size, count);
    wait_until_committed(stage);
    files
}

/// Waits until all uploads are in MongoDB and no longer in the journal.
pub(crate) fn wait_until_committed(stage: &Stage) {
    eventually("all is committed and has left the journal", || {
        let now = stage.sidecar.progress();
        (now.pending + now.settled == 0).then_some(())
    });
    stage.disk.settle();
}

/// Returns settings that make bodies leave the journal as soon as they are committed.
pub(crate) fn nothing_stays() -> [(&'static str, String); 2] {
    ["settled-grace-seconds", "settled-max-bytes"].map(|name| (name, "0".to_owned()))
}

/// Makes nginx and the sidecar forget all files that they have read, except for the last one.
pub(crate) fn forget_reads(stage: &mut Stage, files: &Files) {
    stage.empty_cache();
    stage.sidecar.stop();
    let uri = stage.mongo.uri();
    let started = stage.sidecar.start(&uri, &nothing_stays());
    started.expect("a sidecar");
    stage.sidecar.wait_until_up();
    // The first request opens the connections to the sidecar and to MongoDB that then stay open.
    let load = Load {
        address: stage.gridspool.address(),
        connections: files.size.connections,
        limit: Limit::Count(1),
        requests: &|_| Request::get(files.last()),
    };
    let outcome = load.run().expect("a download");
    assert_eq!(outcome.failures, 0, "{:?}", outcome.failure);
}
