//! The things that uploads become when all of their bytes are there.

/// The thing that an upload becomes when all of its bytes are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Becomes {
    /// A file with the id of the upload.
    #[default]
    File,
    /// Nothing by itself: a part of a file that is put together.
    Part,
    /// The files of a form, which is its body.
    Form,
    /// A message, which is its body: a form or JSON.
    Message,
}

impl Becomes {
    const ALL: [Self; 4] = [Self::File, Self::Part, Self::Form, Self::Message];

    /// Its name, for admins and other nodes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Part => "part",
            Self::Form => "form",
            Self::Message => "message",
        }
    }

    /// The thing with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|becomes| becomes.name() == name)
    }

    /// Whether its body is read when it is whole, and other entries are made of it.
    pub fn is_made(self) -> bool {
        matches!(self, Self::Form | Self::Message)
    }
}
