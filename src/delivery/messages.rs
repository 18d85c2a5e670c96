//! Finds messages: in the journal, in the store, or on the node that made their id.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::stream::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::recent::Ticket;
use super::{Delivery, DeliveryError};
use crate::file::{FileId, MediaType, UnixMillis};
use crate::journal::{Lookup, Standing};
use crate::message::{Message, Told};
use crate::peers::{Carried, Unreachable};
use crate::store::{MessageInStore, StoreError, StoredMessage};

/// A message, wherever it is.
#[derive(Debug, Clone)]
pub struct FoundMessage {
    /// The id of its package.
    pub id: FileId,
    /// The sender, the receivers and the parts that were promised.
    pub message: Arc<Message>,
    /// The subject of the token that it was sent with.
    pub sub: Option<Arc<str>>,
    /// The moment of the promise.
    pub created: UnixMillis,
    /// The type of its package.
    pub content_type: MediaType,
    /// The bytes of its package.
    pub content: Bytes,
    /// The state of its package.
    pub standing: Standing,
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
}

/// A message as one node sends it to another.
#[derive(Serialize, Deserialize)]
struct Carry {
    message: Message,
    sub: Option<String>,
    created: u64,
    content_type: String,
    content: String,
    is_pending: bool,
}

impl FoundMessage {
    /// Returns the message in the form that callers get.
    pub fn told(&self) -> Told<'_> {
        Told {
            id: self.id,
            created: self.created,
            state: self.standing.name(),
            message: &self.message,
            content_type: &self.content_type,
            package: &self.content,
            has_receivers: true,
        }
    }

    /// Writes the message for another node.
    ///
    /// # Errors
    /// None in practice: each value has a form in JSON.
    pub fn carry(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Carry {
            message: Message::clone(&self.message),
            sub: self.sub.as_deref().map(str::to_owned),
            created: self.created.0,
            content_type: self.content_type.as_str().to_owned(),
            content: STANDARD.encode(&self.content),
            is_pending: self.standing == Standing::Pending,
        })
    }

    /// Reads a message from another node; `None` if it cannot be read.
    fn carried(id: FileId, text: &str) -> Option<Self> {
        let carry: Carry = serde_json::from_str(text).ok()?;
        let content_type = MediaType::parse(&carry.content_type);
        Some(Self {
            id,
            message: Arc::new(carry.message),
            sub: carry.sub.map(Into::into),
            created: UnixMillis(carry.created),
            content_type: content_type.unwrap_or_else(|_| MediaType::octet_stream()),
            content: STANDARD.decode(carry.content).ok()?.into(),
            standing: if carry.is_pending {
                Standing::Pending
            } else {
                Standing::Committed
            },
        })
    }

    /// Returns its approximate bytes in memory and in an answer.
    pub(super) fn bytes(&self) -> usize {
        let of_part = 1024;
        self.content.len() + of_part * self.message.parts.len() + 64 * self.message.to.iter().len()
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
        let Some(owner) = self.peers.owner_of(id) else {
            return Ok(self.stored_message(id).await?.found());
        };
        // The owner may have it although the store is down, as for files.
        if (self.is_store_up)() {
            match self.stored_message(id).await {
                Ok(MessageHere::Absent)
                | Err(
                    StoreError::Unavailable(_) | StoreError::TimedOut(_) | StoreError::Unfit(_),
                ) => {}
                // Another node may have deleted it while its owner was away: the store knows that.
                found => return Ok(found?.found()),
            }
        }
        match self.peers.ask_for_message(owner, id).await? {
            Carried::There(text) => {
                let found = FoundMessage::carried(id, &text).ok_or_else(|| Unreachable {
                    node: owner,
                    reason: "tells of a message in words that are not known".to_owned(),
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
        // The journal's memory is enough to tell that it does not have a message.
        if matches!(self.journal.try_lookup(id), Ok(None)) {
            return Ok(MessageHere::Absent);
        }
        let looked = self.on_disk(move |journal| {
            Ok(match journal.message(id)? {
                Some(kept) => Ok(kept),
                None => Err(matches!(journal.lookup(id)?, Lookup::Deleted)),
            })
        });
        Ok(match looked.await? {
            Ok(kept) => MessageHere::Found(Arc::new(FoundMessage {
                id,
                message: kept.message,
                sub: kept.sub,
                created: kept.meta.uploaded,
                content_type: kept.meta.content_type,
                content: kept.content,
                standing: kept.standing,
            })),
            Err(true) => MessageHere::Deleted,
            Err(false) => MessageHere::Absent,
        })
    }

    /// Finds a message in the store alone. It may find a message for five seconds after another
    /// node deleted it.
    async fn stored_message(&self, id: FileId) -> Result<MessageHere, StoreError> {
        if let Some(found) = self.told.get(&id) {
            return Ok(MessageHere::Found(found));
        }
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
        let StoredMessage {
            message,
            sub,
            package,
        } = stored;
        let content = if let Some(content) = package.content.clone() {
            content
        } else {
            let bytes = self.store.read(&package, 0..package.meta.length);
            let all = bytes.try_fold(BytesMut::new(), |mut all, bytes| async move {
                all.extend_from_slice(&bytes);
                Ok(all)
            });
            all.await?.freeze()
        };
        let found = Arc::new(FoundMessage {
            id,
            message: Arc::new(message),
            sub,
            created: package.meta.uploaded,
            content_type: package.meta.content_type,
            content,
            standing: Standing::Committed,
        });
        let bytes = found.bytes();
        self.told.put(ticket, &id, Arc::clone(&found), bytes);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ChosenName, Party, Receivers};

    #[test]
    fn a_message_comes_to_another_node_as_it_is() {
        let id = FileId::from_bytes([7; FileId::BYTES]);
        for (sub, standing) in [
            (None, Standing::Pending),
            (Some(Arc::from("al\"ice")), Standing::Committed),
        ] {
            let found = FoundMessage {
                id,
                message: Arc::new(Message {
                    from: Party::try_from("größe".to_owned()).ok(),
                    to: Receivers::read(["bob", "eve"]).unwrap(),
                    client_id: ChosenName::try_from("m 1".to_owned()).ok(),
                    parts: Vec::new(),
                }),
                sub,
                created: UnixMillis(1_700_000_000_123),
                content_type: MediaType::parse("application/x-own").unwrap(),
                content: Bytes::from_static(b"\xff\0"),
                standing,
            };
            let carried = FoundMessage::carried(id, &found.carry().unwrap()).unwrap();
            assert_eq!(
                carried.told().to_json().unwrap(),
                found.told().to_json().unwrap()
            );
            assert_eq!(carried.sub, found.sub);
        }
        assert!(FoundMessage::carried(id, "{}").is_none());
    }
}
