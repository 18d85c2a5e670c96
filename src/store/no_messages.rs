//! A store without messages, for tests of all else.

use std::collections::{BTreeMap, HashSet};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use super::{
    Cause, DyingPage, ExpiredPage, MessageInStore, Messages, OwnerlessDelete, StoreError,
    StoredPart, SweepPlace,
};
use crate::file::{FileId, UnixMillis};
use crate::message::links::{Linked, Reason, Removed, Unlinked};
use crate::message::{Message, Receivers};

/// No message and no linked file is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoMessages;

impl Messages for NoMessages {
    fn link(&self, _: FileId, _: FileId) -> BoxFuture<'_, Result<Linked, StoreError>> {
        ready(Ok(Linked::Absent)).boxed()
    }

    fn unlink(
        &self,
        _: FileId,
        _: FileId,
        _: Reason,
    ) -> BoxFuture<'_, Result<Unlinked, StoreError>> {
        ready(Ok(Unlinked::Absent)).boxed()
    }

    fn expired<'a>(
        &'a self,
        _: Option<&'a SweepPlace>,
        _: u32,
    ) -> BoxFuture<'a, Result<ExpiredPage, StoreError>> {
        let page = ExpiredPage {
            files: Vec::new(),
            next: None,
        };
        ready(Ok(page)).boxed()
    }

    fn begin_expiry(&self, _: FileId) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(false)).boxed()
    }

    fn remove_dying(&self, _: FileId, _: Cause) -> BoxFuture<'_, Result<Removed, StoreError>> {
        ready(Ok(Removed::Absent)).boxed()
    }

    fn begin_delete(&self, _: FileId) -> BoxFuture<'_, Result<Option<Message>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    fn begin_ownerless_delete(
        &self,
        _: u16,
        _: FileId,
    ) -> BoxFuture<'_, Result<OwnerlessDelete, StoreError>> {
        ready(Ok(OwnerlessDelete::Unsettled)).boxed()
    }

    fn count_ownerless_delete(&self, _: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn state_settled(&self, _: u16, _: UnixMillis) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0)).boxed()
    }

    fn removed(&self, _: Vec<FileId>) -> BoxFuture<'_, Result<HashSet<FileId>, StoreError>> {
        ready(Ok(HashSet::new())).boxed()
    }

    fn take_over_numbers(&self, _: Vec<u16>, _: u16) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn taken_over(&self) -> BoxFuture<'_, Result<BTreeMap<u16, u16>, StoreError>> {
        ready(Ok(BTreeMap::new())).boxed()
    }

    fn leave<'a>(&'a self, _: FileId, _: &'a Receivers) -> BoxFuture<'a, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn dying<'a>(
        &'a self,
        _: Option<&'a SweepPlace>,
        _: u32,
    ) -> BoxFuture<'a, Result<DyingPage, StoreError>> {
        let page = DyingPage {
            dying: Vec::new(),
            next: None,
        };
        ready(Ok(page)).boxed()
    }

    fn discard(&self, _: FileId) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn part(&self, _: FileId) -> BoxFuture<'_, Result<Option<StoredPart>, StoreError>> {
        ready(Ok(None)).boxed()
    }

    fn message(&self, _: FileId) -> BoxFuture<'_, Result<MessageInStore, StoreError>> {
        ready(Ok(MessageInStore::Absent)).boxed()
    }
}
