//! Uploads that become the files of a form, or a message: when all bytes are there, they get the answer of
//! a one-shot request.

use actix_web::{HttpResponse, web};

use super::uploads_answer::{self as answers, View};
use super::{created, taken};
use crate::file::FileId;
use crate::http::headers::content_type;
use crate::http::headers::dialect::Dialect;
use crate::http::headers::prefer::Preferences;
use crate::http::{Node, Problem};
use crate::intake::{Sender, Shape, TakenMessage};
use crate::journal::{Becomes, MadeUpload, OpenUpload};

/// Makes of a whole upload what it becomes, and answers with the promise. If it is refused for good, the
/// upload ends.
pub(super) async fn make(
    node: web::Data<Node>,
    preferences: Preferences,
    sender: Sender,
    id: FileId,
    open: OpenUpload,
) -> Result<HttpResponse, Problem> {
    let longest = node.intake.longest(&sender);
    let view = View::of_whole(open.offset, open.metadata.clone());
    match promise(&node, preferences, &sender, id, open).await {
        Ok(answer) => Ok(answers::last(Dialect::Draft, answer, &view, longest)),
        Err(problem) if problem.is_final() => {
            node.intake.end_upload(&sender, id).await?;
            Err(problem.of_whole_upload())
        }
        Err(problem) => Err(problem),
    }
}

async fn promise(
    node: &web::Data<Node>,
    preferences: Preferences,
    sender: &Sender,
    id: FileId,
    open: OpenUpload,
) -> Result<HttpResponse, Problem> {
    let boundary = content_type::boundary_in(&open.content_type);
    let (intake, sender) = (&node.intake, sender.clone());
    if open.becomes == Becomes::Message {
        let (read, find) = (taken::message_reader(boundary), taken::finder(node));
        let message = intake.make_message(sender, (id, open), read, find).await?;
        return taken::answer_message(node.clone(), preferences, message).await;
    }
    let boundary = boundary.ok_or_else(Problem::internal)?;
    let read = taken::form_reader(boundary);
    let form = intake.make_files(sender, (id, open), read).await?;
    taken::answer_form(node.clone(), preferences, form).await
}

/// Gives the answer again that an upload got when it was whole.
pub(super) async fn again(
    node: web::Data<Node>,
    preferences: Preferences,
    made: MadeUpload,
    longest: u64,
) -> Result<HttpResponse, Problem> {
    let files = node.intake.files_of_made(made.files).await?;
    let files = files.ok_or_else(Problem::upload_ended)?;
    let answer = if made.becomes == Becomes::Message {
        taken::answer_message(node, preferences, TakenMessage::before(files)).await?
    } else {
        created::answer(node.into_inner(), preferences, files, Shape::Form).await?
    };
    let view = View::of_whole(made.length, made.metadata);
    Ok(answers::last(Dialect::Draft, answer, &view, longest))
}
