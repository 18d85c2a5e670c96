//! The head of a request that appends to an upload, in both dialects.

use actix_web::http::header::HeaderMap;

use super::dialect::Dialect;
use super::{HeadError, digest, resumable, tus, whole};
use crate::intake::Append;
use crate::journal::Completion;

/// Reads the head of an append with a body of this length, as far as that is known.
///
/// # Errors
/// When the head is not one of an append.
pub(in crate::http) fn read(
    headers: &HeaderMap,
    dialect: Dialect,
    content: Option<u64>,
) -> Result<Append, HeadError> {
    match dialect {
        Dialect::Tus => {
            tus::check_version(headers)?;
            whole::check_coding(headers)?;
            Ok(Append {
                offset: tus::offset(headers)?,
                completion: Completion {
                    declared: tus::length_told_late(headers, content)?,
                    ..Completion::default()
                },
                digests: tus::checksum(headers)?,
            })
        }
        Dialect::Draft => {
            whole::check_coding(headers)?;
            let resumable::Append {
                offset,
                ends,
                declared,
            } = resumable::Append::read(headers, content)?;
            Ok(Append {
                offset,
                completion: Completion {
                    declared,
                    ends,
                    stated: digest::of_whole(headers)?,
                },
                digests: digest::of_content(headers)?,
            })
        }
    }
}
