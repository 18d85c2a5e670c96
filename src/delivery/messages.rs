//! Finds messages: in the journal, in the store, or on the node that made their id.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{TryFutureExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::recent::Ticket;
use super::{Delivery, DeliveryError};
use crate::file::FileId;
use crate::journal::{Busy, JournalError, KeptMessage, Lookup, Room, Standing};
use crate::message::{Message, Part, Party, Told, Wording};
use crate::peers::{Carried, Unreachable};
use crate::store::{MessageInStore, StoreError, StoredFile, StoredMessage};

/// A message, wherever it is.
#[derive(Debug, Clone)]
pub struct FoundMessage {
    /// The id of its package.
    pub id: FileId,
    /// The sender, the receivers and the parts that were promised.
    pub message: Arc<Message>,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// The words of the message.
    pub wording: Arc<Wording>,
    /// The state of its package.
    pub standing: Standing,
    /// Whether the store gave it, and not a journal.
    is_stored: bool,
}

/// This node's answer about a message.
#[derive(Debug)]
pub enum MessageHere {
    /// This node has it.
    Found(Arc<FoundMessage>),
    /// This node deleted it.
    Deleted,
    /// This node knows nothing of it.
    Absent,
}

impl MessageHere {
    fn found(self) -> Option<Arc<FoundMessage>> {
        match self {
            Self::Found(found) => Some(found),
            Self::Deleted | Self::Absent => None,
        }
    }

    /// Returns `None` if the place that was asked knows nothing of the message.
    fn known(self) -> Option<Self> {
        (!matches!(self, Self::Absent)).then_some(self)
    }
}

/// A message as one node sends it to another.
#[derive(Serialize, Deserialize)]
struct Carry {
    message: Message,
    sub: Option<String>,
    wording: Wording,
    is_pending: bool,
}

impl FoundMessage {
    /// Returns the message in the form that callers get: one line of JSON.
    pub fn line(&self, has_receivers: bool) -> Vec<u8> {
        self.wording.line(self.standing.name(), has_receivers)
    }

    /// Writes the message for another node.
    ///
    /// # Errors
    /// None in practice: each value has a form in JSON.
    pub fn carry(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Carry {
            message: Message::clone(&self.message),
            sub: self.sub.as_deref().map(str::to_owned),
            wording: Wording::clone(&self.wording),
            is_pending: self.standing == Standing::Pending,
        })
    }

    /// Reads a message from another node; `None` if it cannot be read.
    fn carried(id: FileId, text: &str) -> Option<Self> {
        let carry: Carry = serde_json::from_str(text).ok()?;
        Some(Self {
            id,
            message: Arc::new(carry.message),
            sub: carry.sub.map(Into::into),
            wording: Arc::new(carry.wording),
            standing: if carry.is_pending {
                Standing::Pending
            } else {
                Standing::Committed
            },
            is_stored: false,
        })
    }

    /// Returns the same message in another state.
    fn with(self: Arc<Self>, standing: Standing) -> Arc<Self> {
        if self.standing == standing {
            return self;
        }
        Arc::new(Self {
            standing,
            ..Self::clone(&self)
        })
    }

    /// Returns its approximate bytes in memory. The texts of the parts are in its words, too.
    fn memory_bytes(&self, package_bytes: usize) -> usize {
        let words = self.wording.bytes();
        let described = words.saturating_sub(package_bytes);
        let of_receivers = size_of::<Party>() * self.message.to.iter().len();
        words + described + of_receivers + size_of::<Part>() * self.message.parts.len()
    }
}

impl Delivery {
    /// Finds a message, here or elsewhere; `None` if there is none.
    ///
    /// # Errors
    /// An error, if the place that has to be asked does not answer.
    pub async fn message(&self, id: FileId) -> Result<Option<Arc<FoundMessage>>, DeliveryError> {
        match self.message_in_journal(id).await? {
            MessageHere::Found(found) => return Ok(Some(found)),
            MessageHere::Deleted => return Ok(None),
            MessageHere::Absent => {}
        }
        let Some(owner) = self.peers.find_owner(id).await? else {
            return Ok(self.stored_message(id).await?.found());
        };
        let stored = self.stored_message(id).map_ok(MessageHere::known);
        // Another node may have deleted it while its owner was away: the store knows that.
        if let Some(stored) = self.before_owner(stored).await? {
            return Ok(stored.found());
        }
        match self.peers.ask_for_message(owner, id).await? {
            Carried::There(text) => {
                let found = FoundMessage::carried(id, &text).ok_or_else(|| {
                    Unreachable::new(owner, "tells of a message in words that are not known")
                });
                Ok(Some(Arc::new(found?)))
            }
            Carried::Deleted => Ok(None),
            // It may have been committed meanwhile.
            Carried::Absent => Ok(self.stored_message(id).await?.found()),
        }
    }

    /// The journal's answer about a message.
    ///
    /// # Errors
    /// An error, if the journal cannot be read.
    pub async fn message_in_journal(&self, id: FileId) -> Result<MessageHere, DeliveryError> {
        // The journal's memory is enough for a message that it does not have, and for one that was read a
        // moment ago.
        match self.journal.try_lookup(id) {
            Ok(None) => return Ok(MessageHere::Absent),
            Ok(Some(Room::Deleted)) => return Ok(MessageHere::Deleted),
            Ok(Some(room)) => {
                if let Some(found) = self.told.get(&id) {
                    return Ok(MessageHere::Found(found.with(Standing::in_room(room))));
                }
            }
            Err(Busy) => {}
        }
        let ticket = self.told.ticket();
        let looked = self.on_disk(move |journal| {
            Ok(match journal.message(id)? {
                Some(kept) => Ok(kept),
                None => Err(matches!(journal.lookup(id)?, Lookup::Deleted)),
            })
        });
        Ok(match looked.await? {
            Ok(kept) => MessageHere::Found(self.keep_kept(ticket, id, kept)?),
            Err(true) => MessageHere::Deleted,
            Err(false) => MessageHere::Absent,
        })
    }

    /// Finds a message in the store alone. It may find a message for five seconds after another
    /// node deleted it.
    async fn stored_message(&self, id: FileId) -> Result<MessageHere, StoreError> {
        // A message of the journal may have left it because another node deleted it.
        if let Some(found) = self.told.get(&id).filter(|found| found.is_stored) {
            return Ok(MessageHere::Found(found));
        }
        self.check_store()?;
        let ticket = self.told.ticket();
        Ok(match self.messages.message(id).await? {
            MessageInStore::There(stored) => {
                MessageHere::Found(self.keep_message(ticket, id, *stored).await?)
            }
            MessageInStore::Dying => MessageHere::Deleted,
            MessageInStore::Absent => MessageHere::Absent,
        })
    }

    /// Keeps a message from the store in memory for a while.
    pub(super) async fn keep_message(
        &self,
        ticket: Ticket,
        id: FileId,
        stored: StoredMessage,
    ) -> Result<Arc<FoundMessage>, StoreError> {
        let content = self.content_of(&stored.package).await?;
        let found = FoundMessage {
            id,
            wording: Arc::new(wording_of(id, &stored, Some(&content))?),
            message: Arc::new(stored.message),
            sub: stored.sub,
            standing: Standing::Committed,
            is_stored: true,
        };
        Ok(self.keep_found(ticket, found, content.len()))
    }

    async fn content_of(&self, package: &StoredFile) -> Result<Bytes, StoreError> {
        if let Some(content) = package.content.clone() {
            return Ok(content);
        }
        let bytes = self.store.read(package, 0..package.meta.length);
        let all = bytes.try_fold(BytesMut::new(), |mut all, bytes| async move {
            all.extend_from_slice(&bytes);
            Ok(all)
        });
        Ok(all.await?.freeze())
    }

    /// The same of one that was found in the journal.
    fn keep_kept(
        &self,
        ticket: Ticket,
        id: FileId,
        kept: KeptMessage,
    ) -> Result<Arc<FoundMessage>, JournalError> {
        let told = Told {
            id,
            created: kept.meta.uploaded,
            message: &kept.message,
            content_type: &kept.meta.content_type,
            package: Some(&kept.content),
        };
        let unreadable = |err: serde_json::Error| JournalError::Unreadable {
            id,
            reason: err.to_string(),
        };
        let found = FoundMessage {
            id,
            wording: Arc::new(told.wording().map_err(unreadable)?),
            message: kept.message,
            sub: kept.sub,
            standing: kept.standing,
            is_stored: false,
        };
        Ok(self.keep_found(ticket, found, kept.content.len()))
    }

    fn keep_found(
        &self,
        ticket: Ticket,
        found: FoundMessage,
        package_bytes: usize,
    ) -> Arc<FoundMessage> {
        let (id, bytes) = (found.id, found.memory_bytes(package_bytes));
        let found = Arc::new(found);
        self.told.put(ticket, &id, Arc::clone(&found), bytes);
        found
    }
}

pub(super) fn wording_of(
    id: FileId,
    stored: &StoredMessage,
    package: Option<&[u8]>,
) -> Result<Wording, StoreError> {
    let told = Told {
        id,
        created: stored.package.meta.uploaded,
        message: &stored.message,
        content_type: &stored.package.meta.content_type,
        package,
    };
    let wording = told.wording();
    wording.map_err(|err| StoreError::Damaged(format!("{id}: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{MediaType, UnixMillis};
    use crate::message::{ChosenName, Receivers};

    #[test]
    fn a_message_comes_to_another_node_as_it_is() {
        let id = FileId::from_bytes([7; FileId::BYTES]);
        for (sub, standing) in [
            (None, Standing::Pending),
            (Some(Arc::from("al\"ice")), Standing::Committed),
        ] {
            let message = Message {
                from: Party::try_from("größe".to_owned()).ok(),
                to: Receivers::read(["bob", "eve"]).unwrap(),
                client_id: ChosenName::try_from("m 1".to_owned()).ok(),
                parts: Vec::new(),
            };
            let told = Told {
                id,
                created: UnixMillis(1_700_000_000_123),
                message: &message,
                content_type: &MediaType::parse("application/x-own").unwrap(),
                package: Some(b"\xff\0"),
            };
            let found = FoundMessage {
                id,
                wording: Arc::new(told.wording().unwrap()),
                message: Arc::new(message),
                sub,
                standing,
                is_stored: false,
            };
            let carried = FoundMessage::carried(id, &found.carry().unwrap()).unwrap();
            for has_receivers in [true, false] {
                assert_eq!(carried.line(has_receivers), found.line(has_receivers));
            }
            assert_eq!(carried.message, found.message);
            assert_eq!(carried.sub, found.sub);
        }
        assert!(FoundMessage::carried(id, "{}").is_none());
    }
}
