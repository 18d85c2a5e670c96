//! Finds the files that a message refers to. The sender must be able to read them, or must have
//! uploaded or received them. A file's bytes are read only after that is known, and once for a
//! message.

use std::collections::HashMap;

use actix_web::web;
use futures::FutureExt as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::messages::Reader;
use crate::delivery::Usable;
use crate::file::{FileId, FileKey};
use crate::http::{Node, Problem};
use crate::message::{Part, Source};
use crate::token::{Grant, Scope};

/// The most files of one message that are looked up at the same time.
const AT_ONCE: usize = 8;

/// Finds the files that a message refers to, in their order.
///
/// # Errors
/// A problem, if one of them does not exist or the sender may not use it.
pub(in crate::http) async fn find(
    node: web::Data<Node>,
    grant: Grant,
    sources: Vec<Source>,
) -> Result<Vec<Part>, Problem> {
    let grant = grant.with_file_read_by(|text| node.delivery.key(text));
    let reader = Reader::of(grant.clone());
    let mut places = HashMap::new();
    let mut distinct = Vec::new();
    for source in &sources {
        places.entry(*source).or_insert_with(|| {
            distinct.push(*source);
            distinct.len() - 1
        });
    }
    let find_one = |source| find_one(&node, &grant, &reader, source).boxed();
    let found: Vec<_> = distinct.into_iter().map(find_one).collect();
    let found = stream::iter(found).buffered(AT_ONCE);
    let found: Vec<_> = found.try_collect().await?;
    let all = sources.iter().map(|source| found.get(*places.get(source)?));
    let all: Option<Vec<_>> = all.map(Option::<&Part>::cloned).collect();
    all.ok_or_else(Problem::internal)
}

async fn find_one(
    node: &Node,
    grant: &Grant,
    reader: &Reader,
    source: Source,
) -> Result<Part, Problem> {
    let found = match source {
        // This file comes with the message.
        Source::Form(_) => None,
        Source::File(file) => uploaded(node, grant, file).await?,
        Source::Part { message, number } => part(node, reader, message, number).await?,
    };
    found.ok_or_else(Problem::no_such_part)
}

async fn uploaded(node: &Node, grant: &Grant, id: FileId) -> Result<Option<Part>, Problem> {
    let usable = if grant.allows_on(Scope::Download, &FileKey::Id(id)) {
        Usable::Any
    } else if let Some(subject) = grant.subject() {
        Usable::of(subject)
    } else {
        return Ok(None);
    };
    let found = node.delivery.outline(id, usable).await?;
    Ok(found.map(|outline| outline.part))
}

async fn part(
    node: &Node,
    reader: &Reader,
    message: FileId,
    number: u32,
) -> Result<Option<Part>, Problem> {
    let found = node.delivery.message(message).await?;
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let part = found.and_then(|found| {
        let part = found.message.part(number)?;
        let may_use = reader.forwards(&found, &FileKey::Id(part.file));
        may_use.then(|| part.clone())
    });
    Ok(part)
}
