//! The answers to uploads, and the wait before them.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::meta::Description;
use crate::commit::CommitWait;
use crate::delivery::Found;
use crate::file::{FileId, FileKey, FileMeta};
use crate::http::headers::prefer::Preferences;
use crate::http::{Node, Problem};
use crate::intake::Shape;
use crate::journal::{Adopted, Standing};

/// The state of the files of an answer: that of the file with the longest way left.
const STATE: HeaderName = HeaderName::from_static("gridspool-state");

/// The pause between two looks for a file that another node commits.
const PAUSE: Duration = Duration::from_millis(500);

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Answers with the promised files. It waits for the commit first, for as long as the sender
/// prefers, unless so many senders wait that nginx would lack connections for others. Dropping this
/// ends only the wait.
pub(super) async fn answer(
    node: Arc<Node>,
    preferences: Preferences,
    mut adopted: Vec<Adopted>,
    shape: Shape,
) -> Result<HttpResponse, Problem> {
    let (mut answer, _) = begin(node, preferences, &mut adopted).await?;
    let files: Vec<_> = adopted.iter().map(File::new).collect();
    if let ([only], [file]) = (&*adopted, &*files) {
        answer
            .insert_header((header::LOCATION, &*file.url))
            .insert_header((header::ETAG, only.meta().etag()));
    }
    Ok(match (shape, &*files) {
        (Shape::File, [file]) => answer.json(file),
        (_, files) => answer.json(Files {
            first: files.first(),
            files,
        }),
    })
}

/// Does the same for one promised file.
pub(super) async fn file(
    node: Arc<Node>,
    preferences: Preferences,
    adopted: Adopted,
) -> Result<HttpResponse, Problem> {
    answer(node, preferences, vec![adopted], Shape::File).await
}

/// Answers in the same way with a file that the store has.
pub(super) fn stored(id: FileId, meta: &FileMeta) -> HttpResponse {
    let file = File::of(id, meta, Standing::Committed);
    HttpResponse::Created()
        .insert_header((STATE, Standing::Committed.name()))
        .insert_header((header::LOCATION, &*file.url))
        .insert_header((header::ETAG, meta.etag()))
        .json(&file)
}

/// Waits for as long as the sender prefers, and begins the answer. Returns the state of all files
/// together.
pub(super) async fn begin(
    node: Arc<Node>,
    preferences: Preferences,
    adopted: &mut Vec<Adopted>,
) -> Result<(HttpResponseBuilder, Standing), Problem> {
    let mut applied = Vec::new();
    if let Some(seconds) = preferences.wait_seconds
        && let Some(_room) = node.edge.waits.begin()
    {
        let time = Duration::from_secs(seconds);
        *adopted = wait(Arc::clone(&node), std::mem::take(adopted), time).await?;
        applied.push(format!("wait={seconds}"));
    }
    let state = state(adopted);
    let is_early = preferences.respond_async && state == Standing::Pending;
    let mut answer = if is_early {
        applied.insert(0, "respond-async".to_owned());
        HttpResponse::Accepted()
    } else {
        HttpResponse::Created()
    };
    answer.insert_header((STATE, state.name()));
    if !applied.is_empty() {
        answer.insert_header((PREFERENCE_APPLIED, applied.join(", ")));
    }
    Ok((answer, state))
}

/// Waits until all files are committed, or the time is over.
async fn wait(
    node: Arc<Node>,
    adopted: Vec<Adopted>,
    time: Duration,
) -> Result<Vec<Adopted>, Problem> {
    let deadline = Instant::now() + time;
    let begun = web::block({
        let node = Arc::clone(&node);
        move || begin_waiting(&node, adopted)
    });
    let (mut adopted, waits) = begun.await?;
    for (file, wait) in adopted.iter_mut().zip(waits) {
        let completed = async {
            match wait {
                Some(mut wait) => wait.completed().await,
                None if file.standing() == Standing::Pending => {
                    Some(committed_elsewhere(&node, file.id()).await)
                }
                None => None,
            }
        };
        if let Ok(Some(standing)) = timeout_at(deadline, completed).await {
            file.set_standing(standing);
        }
    }
    Ok(adopted)
}

/// Looks into the store until a file of another node is there.
async fn committed_elsewhere(node: &Node, id: FileId) -> Standing {
    loop {
        match node.delivery.find(&FileKey::Id(id)).await {
            Ok(Found::Stored { .. }) => return Standing::Committed,
            Ok(_) => {}
            Err(err) => log::debug!("{id}: whether another node has committed it: {err}"),
        }
        sleep(PAUSE).await;
    }
}

/// Begins to wait for each pending file, and looks up those that were committed before the wait began.
/// Blocks.
fn begin_waiting(
    node: &Node,
    mut adopted: Vec<Adopted>,
) -> (Vec<Adopted>, Vec<Option<CommitWait>>) {
    let begin = |file: &mut Adopted| {
        // The commits of another node are not told here.
        if file.standing() != Standing::Pending || node.intake.is_elsewhere(file.id()) {
            return None;
        }
        let wait = node.commits.wait_for(file.id());
        file.set_standing(node.journal.standing(file.id()));
        (file.standing() == Standing::Pending).then_some(wait)
    };
    let waits = adopted.iter_mut().map(begin).collect();
    (adopted, waits)
}

fn state(adopted: &[Adopted]) -> Standing {
    let has = |standing| adopted.iter().any(|file| file.standing() == standing);
    [Standing::Pending, Standing::Deleted]
        .into_iter()
        .find(|&standing| has(standing))
        .unwrap_or(Standing::Committed)
}

/// A file of an answer.
#[derive(Debug, Serialize)]
struct File<'a> {
    #[serde(flatten)]
    description: Description<'a>,
    url: String,
}

/// The answer to a form. The members of the first file stand at the top too, for clients that send one file.
#[derive(Debug, Serialize)]
struct Files<'a> {
    #[serde(flatten)]
    first: Option<&'a File<'a>>,
    files: &'a [File<'a>],
}

impl<'a> File<'a> {
    fn new(adopted: &'a Adopted) -> Self {
        Self::of(adopted.id(), adopted.meta(), adopted.standing())
    }

    fn of(id: FileId, meta: &'a FileMeta, standing: Standing) -> Self {
        Self {
            url: format!("/files/{id}"),
            description: Description::new(id.to_string(), meta, standing),
        }
    }
}
