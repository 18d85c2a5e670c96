//! Detects the fields in which upload libraries say that a request brings one of several pieces.
//!
//! Dropzone, resumable.js, flow.js, Plupload, Fine Uploader and many more cut a file up, and number the
//! pieces in fields of a form, in the query or in headers. This program speaks none of their
//! protocols, and a piece must never pass for the whole file. A file that is one piece is whole.
//! Pure; this room must never know HTTP.

use serde_json::{Map, Value};

/// Fields that tell the number of pieces. Each is used by one library only.
const OWN_COUNTS: &[&str] = &[
    "dztotalchunkcount",
    "flowtotalchunks",
    "qqtotalparts",
    "resumabletotalchunks",
];

/// Fields that tell the number of pieces if one of [`INDEXES`] is there too.
const COUNTS: &[&str] = &[
    "chunkcount",
    "chunks",
    "chunkscount",
    "chunksnumber",
    "chunkstotal",
    "chunktotal",
    "numberofchunks",
    "totalchunk",
    "totalchunkcount",
    "totalchunks",
];

/// Fields that tell which piece this is.
const INDEXES: &[&str] = &[
    "chunk",
    "chunkid",
    "chunkindex",
    "chunkno",
    "chunknumber",
    "currentchunk",
];

/// The members of `DevExtreme`'s object that give the number of pieces and the number of this
/// piece.
const MEMBERS: [&str; 2] = ["TotalCount", "Index"];

/// Prefixes of such names in headers.
const PREFIXES: &[&str] = &["x", "uploader", "upload"];

/// Fields that tell the length of a piece, and of the whole file.
const LENGTHS: [&str; 2] = ["currentchunksize", "totalsize"];

/// Fields that hold a JSON object of such fields.
const OBJECTS: &[&str] = &["chunkmetadata", "metadata"];

/// Whether these names and values say that there are more pieces than this one.
pub(in crate::http) fn are_told<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let mut told = Told::default();
    fields.for_each(|(name, value)| told.add(name, value));
    told.is_piece()
}

/// The fields that were read so far.
#[derive(Debug, Default)]
struct Told {
    has_index: bool,
    has_count: bool,
    lengths: [Option<u64>; 2],
    /// This field alone proves that the request brings a piece.
    is_sure: bool,
}

impl Told {
    fn add(&mut self, name: &str, value: &str) {
        let name = plain(name);
        let stems = PREFIXES.iter().filter_map(|&before| {
            let stem = name.strip_prefix(before)?;
            (!stem.is_empty()).then_some(stem)
        });
        for name in stems.chain([&*name]) {
            let number: Option<u64> = value.trim().parse().ok();
            let is_one = number.is_some_and(|number| number <= 1);
            self.has_index |= INDEXES.contains(&name);
            self.has_count |= COUNTS.contains(&name) && number.is_some() && !is_one;
            self.is_sure |= OWN_COUNTS.contains(&name) && !is_one;
            for (known, length) in LENGTHS.iter().zip(&mut self.lengths) {
                if *known == name {
                    *length = number;
                }
            }
            if OBJECTS.contains(&name)
                && let Ok(object) = serde_json::from_str(value)
            {
                self.is_sure |= is_piece_by(&object);
            }
        }
    }

    fn is_piece(&self) -> bool {
        let is_shorter = matches!(self.lengths, [Some(piece), Some(whole)] if piece < whole);
        self.is_sure || self.has_index && self.has_count || is_shorter
    }
}

/// Whether the members of an object tell that it is a piece.
fn is_piece_by(object: &Map<String, Value>) -> bool {
    let [count, index] = MEMBERS.map(|name| object.get(name).and_then(Value::as_u64));
    if index.is_some() && count.is_some_and(|count| count > 1) {
        return true;
    }
    let members: Vec<_> = object
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_u64()?.to_string())))
        .collect();
    are_told(members.iter().map(|(name, number)| (&***name, &**number)))
}

/// A name in one spelling: `X-Total-Chunks`, `total_chunks` and `totalChunks` differ in signs and case only.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_pieces_is_known_by_the_words_of_its_library() {
        for fields in [
            &[("dzchunkindex", "0"), ("dztotalchunkcount", "2")][..],
            &[("dztotalchunkcount", "2")],
            &[("dztotalchunkcount", "many")],
            &[("resumableTotalChunks", "3")],
            &[("flowChunkNumber", "1"), ("flowTotalChunks", " 3 ")],
            &[("qqpartindex", "0"), ("qqtotalparts", "2")],
            &[("name", "a.jpg"), ("chunk", "0"), ("chunks", "4")],
            &[("chunkIndex", "0"), ("totalChunks", "4")],
            &[("chunk-index", "1"), ("total-chunk", "4")],
            &[("chunk_number", "1"), ("total_chunks", "4")],
            &[("x-chunk-index", "1"), ("x-total-chunks", "4")],
            &[
                ("uploader-chunk-number", "1"),
                ("uploader-chunks-total", "4"),
            ],
            &[("_currentChunkSize", "10"), ("_totalSize", "11")],
            &[(
                "chunkMetadata",
                r#"{"Index":0,"TotalCount":3,"FileName":"a"}"#,
            )],
            &[("metadata", r#"{"chunkIndex":2,"totalChunks":3}"#)],
        ] {
            assert!(are_told(fields.iter().copied()), "{fields:?}");
        }
    }

    #[test]
    fn a_file_that_is_one_piece_and_a_text_that_counts_nothing_are_whole() {
        for fields in [
            &[][..],
            &[("dztotalchunkcount", "1")],
            &[("resumableTotalChunks", "1"), ("resumableChunkNumber", "1")],
            &[("chunk", "0"), ("chunks", "1")],
            &[("chunk", "0"), ("chunks", "0")],
            // For example the count of a document that was cut up elsewhere.
            &[("chunks", "12")],
            &[("Index", "3"), ("TotalCount", "12")],
            &[("chunk", "of cheese"), ("chunks", "some")],
            &[("_currentChunkSize", "11"), ("_totalSize", "11")],
            &[("metadata", r#"{"chunkIndex":0,"totalChunks":1}"#)],
            &[("metadata", r#"{"totalChunks":"#)],
            &[("metadata", "chunk 1 of 2")],
        ] {
            assert!(!are_told(fields.iter().copied()), "{fields:?}");
        }
    }
}
