//! A store without messages.

use futures::future::BoxFuture;

use super::OneFile;
use crate::file::FileId;
use crate::message::links::{Linked, Removed, Unlinked};
use crate::message::{Message, Receivers};
use crate::store::{
    Cause, DyingPage, DyingPlace, MessageInStore, Messages, StoreError, StoredPart,
};

impl Messages for OneFile {
    fn link(&self, _: FileId, _: FileId) -> BoxFuture<'_, Result<Linked, StoreError>> {
        unimplemented!("no messages")
    }

    fn unlink(&self, _: FileId, _: FileId) -> BoxFuture<'_, Result<Unlinked, StoreError>> {
        unimplemented!("no messages")
    }

    fn remove_dying(&self, _: FileId, _: Cause) -> BoxFuture<'_, Result<Removed, StoreError>> {
        unimplemented!("no messages")
    }

    fn begin_delete(&self, _: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>> {
        unimplemented!("no messages")
    }

    fn leave<'a>(&'a self, _: FileId, _: &'a Receivers) -> BoxFuture<'a, Result<(), StoreError>> {
        unimplemented!("no messages")
    }

    fn dying<'a>(
        &'a self,
        _: Option<&'a DyingPlace>,
        _: u32,
    ) -> BoxFuture<'a, Result<DyingPage, StoreError>> {
        unimplemented!("no messages")
    }

    fn discard(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        unimplemented!("no messages")
    }

    fn part(&self, _: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>> {
        unimplemented!("no messages")
    }

    fn message(&self, _: FileId) -> BoxFuture<'_, Result<MessageInStore, StoreError>> {
        unimplemented!("no messages")
    }
}
