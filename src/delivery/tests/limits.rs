//! The limits of a small journal.

use std::time::Duration;

use super::LIFETIME;
use crate::config::{Durability, JournalConfig};

/// Bodies of up to `log_body_bytes` go into the log.
pub(in crate::delivery) fn limits(log_body_bytes: u32) -> JournalConfig {
    JournalConfig {
        node: 1,
        durability: Durability::Disk,
        max_bytes: 1000,
        max_entries: 20,
        min_free_bytes: 0,
        min_free_inodes: 0,
        log_body_bytes,
        settled_grace: LIFETIME,
        settled_max_bytes: 1000,
        answer_lifetime: LIFETIME,
        max_answers: 100,
        spool_orphan: LIFETIME,
        upload_lifetime: Duration::from_hours(1),
        max_open_uploads: 100,
    }
}
