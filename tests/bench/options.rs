//! What the command line of the benchmark says.

use std::path::PathBuf;

/// How much is done, and where.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) is_quick: bool,
    /// Rows whose name has this in it, in any case.
    pub(crate) only: Option<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) dir: PathBuf,
    pub(crate) repeat: usize,
}

impl Options {
    /// `None` if it cannot be read: scripts/bench has looked already, and explains.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            is_quick: false,
            only: None,
            json: None,
            dir: std::env::temp_dir(),
            repeat: 0,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.is_quick = true,
                // cargo bench adds this by itself.
                "--bench" => {}
                "--only" => options.only = Some(words.next()?.to_lowercase()),
                "--json" => options.json = Some(words.next()?.into()),
                "--dir" => options.dir = words.next()?.into(),
                "--repeat" => options.repeat = words.next()?.parse().ok()?,
                _ => return None,
            }
        }
        if options.repeat == 0 {
            options.repeat = options.of(1, 5);
        }
        Some(options)
    }

    /// The first of two for a quick run, else the second.
    pub(crate) fn of<T>(&self, quick: T, full: T) -> T {
        if self.is_quick { quick } else { full }
    }

    pub(crate) fn wants(&self, work: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| work.to_lowercase().contains(only))
    }
}
