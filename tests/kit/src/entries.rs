//! The entries of a site's journal: counts and damages them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::{Site, wait_until};

/// The states of entries, as the status names them.
const ROOMS: [&str; 5] = ["incoming", "deferred", "hold", "settled", "deleted"];

impl Site {
    /// Entries in a room, as the status tells it.
    pub fn entries(&self, room: &str) -> u64 {
        self.status()["journal"]["rooms"][room]["entries"]
            .as_u64()
            .expect("a count")
    }

    /// Waits until nothing is pending and no commit runs.
    pub fn wait_until_committed(&self) {
        wait_until("all is committed", || {
            let rooms = ["incoming", "deferred", "deleted"];
            rooms.iter().all(|room| self.entries(room) == 0)
                && self.status()["commit"]["in_flight"] == 0
        });
    }

    /// Waits until every accepted file has left the journal, and the spool is empty.
    pub fn wait_until_empty(&self) {
        self.wait_until_committed();
        for room in ROOMS {
            wait_until(&format!("{room} is empty"), || self.entries(room) == 0);
        }
        for directory in ["journal/body", "journal/corrupt", "spool"] {
            wait_until(&format!("{directory} is empty"), || {
                self.names(directory).is_empty()
            });
        }
    }

    /// Asserts that the journal has no entry, and no body.
    pub fn assert_nothing_is_kept(&self, case: &str) {
        for room in ROOMS {
            assert_eq!(self.entries(room), 0, "{case}: {room}");
        }
        for directory in ["journal/body", "journal/corrupt"] {
            assert_eq!(self.names(directory), Vec::<String>::new(), "{case}");
        }
    }

    /// Why a deferred or held entry waits, as an admin sees it.
    pub fn reason_of(&self, id: &str) -> String {
        let (status, one) = self.ask_admin("GET", &format!("/waiting/{id}"));
        assert_eq!(status, 200, "{one}");
        one
    }

    /// Flips one bit of the first record of a file in the journal's log.
    pub fn damage_record(&self, id: &str) {
        let bytes: Vec<_> = (0..id.len() / 2)
            .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).expect("an id"))
            .collect();
        for name in self.names("journal/wal") {
            let path = self.data_dir().join("journal/wal").join(name);
            let log = std::fs::read(&path).expect("the log");
            if let Some(at) = log.windows(bytes.len()).position(|part| part == bytes) {
                let file = File::options().write(true).open(&path).expect("the log");
                let other = [log[at] ^ 1];
                file.write_all_at(&other, at.try_into().expect("a place"))
                    .expect("a write");
                return;
            }
        }
        panic!("no record of {id}");
    }
}
