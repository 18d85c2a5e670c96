//! The rights that a valid token gives.

use std::collections::BTreeMap;

use crate::file::{FileKey, MediaType};
use crate::message::{Party, Receivers};

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To upload files.
    Upload,
    /// To download files.
    Download,
    /// To delete files.
    Delete,
    /// To list the files of any subject, and the messages to any receiver.
    List,
    /// To send messages, and to read and delete one's own sent messages.
    Message,
    /// To read the messages to its bearer, and to report their delivery.
    Receive,
    /// To ask why files wait for their commit.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 7] = [
        Self::Upload,
        Self::Download,
        Self::Delete,
        Self::List,
        Self::Message,
        Self::Receive,
        Self::Admin,
    ];

    /// The name of the scope in the claim `scope`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Message => "message",
            Self::Receive => "receive",
            Self::Admin => "admin",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == word)
    }
}

/// The rights of a bearer. They come from a valid token, or from the setting `insecure_no_auth`.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(super) scopes: Vec<Scope>,
    pub(super) subject: Option<String>,
    pub(super) file: Option<FileKey>,
    pub(super) max_bytes: Option<u64>,
    pub(super) types: Option<Vec<String>>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) from: Option<Party>,
    pub(super) to: Option<Receivers>,
    pub(super) receiver: Option<Party>,
}

#[cfg(test)]
impl Grant {
    /// The rights of a subject to upload, within bounds, for the unit tests of all rooms.
    pub(crate) fn sample(subject: &str, max_bytes: Option<u64>, types: Option<&str>) -> Self {
        Self {
            scopes: vec![Scope::Upload],
            subject: Some(subject.to_owned()),
            max_bytes,
            types: types.map(|types| vec![types.to_owned()]),
            ..Self::everything()
        }
    }
}

impl Grant {
    /// All rights of users: another server has checked the request. Requests for admins and the platform are
    /// not included, as only the sidecar can check them.
    pub fn everything() -> Self {
        Self {
            scopes: vec![
                Scope::Upload,
                Scope::Download,
                Scope::Delete,
                Scope::Message,
                Scope::Receive,
            ],
            subject: None,
            file: None,
            max_bytes: None,
            types: None,
            metadata: BTreeMap::new(),
            from: None,
            to: None,
            receiver: None,
        }
    }

    /// The bearer (`sub`), if the token names one.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether it allows this scope for some file.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it allows this scope for this file.
    pub fn allows_on(&self, scope: Scope, file: &FileKey) -> bool {
        self.allows(scope) && !self.is_for_another(file)
    }

    /// Returns whether it is for another file than this one.
    pub fn is_for_another(&self, file: &FileKey) -> bool {
        self.file.as_ref().is_some_and(|only| only != file)
    }

    /// Returns the grant with its file as the store reads the claim: any spelling means the file
    /// that it means in an address.
    #[must_use]
    pub fn with_file_read_by(mut self, read: impl FnOnce(&str) -> FileKey) -> Self {
        if let Some(FileKey::Foreign(text)) = &self.file {
            self.file = Some(read(text));
        }
        self
    }

    /// Whether it allows new files by this scope. A token for one file (`file`) does not: that file exists.
    pub fn allows_new(&self, scope: Scope) -> bool {
        self.allows(scope) && self.file.is_none()
    }

    /// The only sender of its bearer's messages (`from`).
    pub fn from(&self) -> Option<&Party> {
        self.from.as_ref()
    }

    /// The only receivers of its bearer's messages (`to`).
    pub fn to(&self) -> Option<&Receivers> {
        self.to.as_ref()
    }

    /// Returns the receiver of the messages that it opens (`receiver`). A token without that claim
    /// opens none.
    pub fn receiver(&self) -> Option<&Party> {
        let receiver = self.receiver.as_ref();
        receiver.filter(|_| self.allows(Scope::Receive))
    }

    /// The size of the largest upload in bytes (`max_bytes`).
    pub fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }

    /// Metadata that the platform adds to each upload. It overrides the client's (`meta`).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whether it restricts types.
    pub fn has_types(&self) -> bool {
        self.types.is_some()
    }

    /// Whether it allows this claimed type: exactly, or by a pattern such as `image/*`.
    pub fn takes_type(&self, claimed: &MediaType) -> bool {
        let essence = claimed.essence();
        let Some(types) = &self.types else {
            return true;
        };
        types.iter().any(|pattern| {
            let pattern = pattern.trim().to_ascii_lowercase();
            match pattern.strip_suffix('*') {
                Some("" | "*/") => true,
                Some(kind) if kind.ends_with('/') => essence.starts_with(kind),
                _ => pattern == essence,
            }
        })
    }

    /// Whether a file of a claimed type may have the content that its first bytes show.
    ///
    /// Content that shows no type is accepted unless the claimed type is a picture's: pictures are
    /// recognised by their first bytes. The shown type must be allowed too, unless it is another
    /// name for the claimed one: one container format may hold sound or film, and ZIP and XML files
    /// have many names.
    pub fn takes_content(&self, claimed: &MediaType, shown: &MediaType) -> bool {
        if self.types.is_none() {
            return true;
        }
        let (claimed, shown_essence) = (claimed.essence(), shown.essence());
        match (kind_of(claimed), shown_essence) {
            ("image", "application/octet-stream") => {
                claimed == "image/svg+xml" || !shows_itself(claimed)
            }
            (_, "application/octet-stream")
            | ("application", "application/zip" | "application/gzip") => true,
            (_, "text/xml") if claimed.ends_with("xml") => true,
            ("audio" | "video", _) if matches!(kind_of(shown_essence), "audio" | "video") => true,
            _ => self.takes_type(shown),
        }
    }
}

fn kind_of(essence: &str) -> &str {
    essence.split('/').next().unwrap_or_default()
}

/// Whether files of this type are recognised, so that an unrecognised file is not of this type.
fn shows_itself(claimed: &str) -> bool {
    matches!(
        claimed,
        "image/png"
            | "image/jpeg"
            | "image/jpg"
            | "image/gif"
            | "image/webp"
            | "image/bmp"
            | "image/tiff"
    )
}
