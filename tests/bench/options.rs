//! The command line of the benchmark.

use std::path::PathBuf;

/// The choices of a run: how much it does, and where.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) is_quick: bool,
    /// The run does only rows with this text in their name, in upper or lower case.
    pub(crate) only: Option<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) dir: PathBuf,
    pub(crate) repeat: usize,
}

impl Options {
    /// Reads the command line; `None` if it is wrong. scripts/bench has checked it before, and
    /// explains it.
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

    /// Returns `quick` in a quick run, else `full`.
    pub(crate) fn of<T>(&self, quick: T, full: T) -> T {
        if self.is_quick { quick } else { full }
    }

    pub(crate) fn wants(&self, work: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| work.to_lowercase().contains(only))
    }
}
