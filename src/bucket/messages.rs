//! The port for messages: each question to the bucket, by the file that answers it.

use std::collections::{BTreeMap, HashSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Bucket;
use super::links::About;
use crate::file::{FileId, UnixMillis};
use crate::message::links::{Linked, Linking, Reason, Removed, Removing, Unlinked, Unlinking};
use crate::message::{Message, Receivers};
use crate::store::{
    Cause, DyingPage, ExpiredPage, MessageInStore, Messages, OwnerlessDelete, StoreError,
    StoredPart, SweepPlace,
};

impl Messages for Bucket {
    fn link(&self, file: FileId, message: FileId) -> BoxFuture<'_, Result<Linked, StoreError>> {
        let about = About {
            file,
            message: Some(message),
            cause: Cause::Unlinked,
        };
        self.go(about, Linking::Add, Linking::ask, Linking::next)
            .boxed()
    }

    fn unlink(
        &self,
        file: FileId,
        message: FileId,
        reason: Reason,
    ) -> BoxFuture<'_, Result<Unlinked, StoreError>> {
        let about = About {
            file,
            message: Some(message),
            cause: Cause::Unlinked,
        };
        let first = Unlinking::Take(reason);
        self.go(about, first, Unlinking::ask, Unlinking::next)
            .boxed()
    }

    fn expired<'a>(
        &'a self,
        after: Option<&'a SweepPlace>,
        most: u32,
    ) -> BoxFuture<'a, Result<ExpiredPage, StoreError>> {
        self.find_expired(after, most).boxed()
    }

    fn begin_expiry(&self, file: FileId) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.mark_expired(file).boxed()
    }

    fn remove_dying(
        &self,
        file: FileId,
        cause: Cause,
    ) -> BoxFuture<'_, Result<Removed, StoreError>> {
        let about = About {
            file,
            message: None,
            cause,
        };
        self.go(about, Removing::LookFirst, Removing::ask, Removing::next)
            .boxed()
    }

    fn begin_delete(&self, message: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>> {
        self.mark_dying(message).boxed()
    }

    fn begin_ownerless_delete(
        &self,
        owner: u16,
        file: FileId,
    ) -> BoxFuture<'_, Result<OwnerlessDelete, StoreError>> {
        self.mark_settled_as_dying(owner, file).boxed()
    }

    fn count_ownerless_delete(&self, owner: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        self.count_delete_of(owner).boxed()
    }

    fn state_settled(
        &self,
        node: u16,
        before: UnixMillis,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.state_settled_before(node, before).boxed()
    }

    fn take_over_numbers(
        &self,
        numbers: Vec<u16>,
        by: u16,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.note_rescuer(numbers, by).boxed()
    }

    fn taken_over(&self) -> BoxFuture<'_, Result<BTreeMap<u16, u16>, StoreError>> {
        self.find_rescued().boxed()
    }

    fn removed(&self, files: Vec<FileId>) -> BoxFuture<'_, Result<HashSet<FileId>, StoreError>> {
        self.dying_or_entombed(files).boxed()
    }

    fn leave<'a>(
        &'a self,
        message: FileId,
        receivers: &'a Receivers,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.leave_all(message, receivers).boxed()
    }

    fn dying<'a>(
        &'a self,
        after: Option<&'a SweepPlace>,
        most: u32,
    ) -> BoxFuture<'a, Result<DyingPage, StoreError>> {
        self.find_dying(after, most).boxed()
    }

    fn discard(&self, file: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.discard_file(file).boxed()
    }

    fn part(&self, id: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>> {
        self.find_part(id).boxed()
    }

    fn message(&self, id: FileId) -> BoxFuture<'_, Result<MessageInStore, StoreError>> {
        self.find_message(id).boxed()
    }
}
