//! The two kinds of documents of a bucket, written and read by the GridFS specification.

use std::io::{self, Write as _};
use std::ops::Range;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::{CStr, CString, RawArrayBuf, RawBson, RawBsonRef};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, cstr, doc, rawdoc};
use sha2::Digest as _;

use super::{foreign, words};
use crate::file::{FileId, FileKey, FileMeta, FileName, MediaType, Metadata, UnixMillis};
use crate::store::{Evidence, Sent, Sha256, StoreError, StoredFile};

/// The `_id` of one of our files.
pub(super) fn object_id(id: FileId) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

/// A chunk's document. `fill` writes the data in place and returns the `_id`, so nothing is copied.
///
/// # Errors
/// The errors of `fill`.
pub(super) fn chunk(
    files_id: ObjectId,
    n: i32,
    size: usize,
    fill: impl FnOnce(&mut [u8]) -> io::Result<ObjectId>,
) -> io::Result<RawDocumentBuf> {
    const INT32: u8 = 0x10;
    const BINARY: u8 = 0x05;
    const OBJECT_ID: u8 = 0x07;
    const END: u8 = 0;
    /// The length of the document and the type and name of the `_id` come before it.
    const ID: Range<usize> = 9..21;
    let length_of = |bytes: usize| {
        let length = i32::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge);
        length.map(i32::to_le_bytes)
    };
    let mut head = Vec::with_capacity(72);
    for (name, id) in [("_id", files_id), ("files_id", files_id)] {
        head.push(OBJECT_ID);
        head.extend_from_slice(name.as_bytes());
        head.push(END);
        head.extend_from_slice(&id.bytes());
    }
    head.push(INT32);
    head.extend_from_slice(b"n\0");
    head.extend_from_slice(&n.to_le_bytes());
    head.push(BINARY);
    head.extend_from_slice(b"data\0");
    head.extend_from_slice(&length_of(size)?);
    head.push(BinarySubtype::Generic.into());

    let whole = size_of::<i32>() + head.len() + size + 1;
    let mut document = Vec::with_capacity(whole);
    document.extend_from_slice(&length_of(whole)?);
    document.extend_from_slice(&head);
    let begin = document.len();
    document.resize(begin + size, 0);
    let id = fill(document.get_mut(begin..).unwrap_or_default())?;
    if let Some(place) = document.get_mut(ID) {
        place.copy_from_slice(&id.bytes());
    }
    document.push(END);
    RawDocumentBuf::from_bytes(document).map_err(io::Error::other)
}

/// A command, with the array of its documents at its end: each document is copied once.
///
/// # Errors
/// When it is too long for BSON.
pub(super) fn with_documents(
    command: &RawDocument,
    documents: &[RawDocumentBuf],
) -> io::Result<RawDocumentBuf> {
    const ARRAY: u8 = 0x04;
    const DOCUMENT: u8 = 0x03;
    const END: u8 = 0;
    let bytes = documents.iter().map(|document| document.as_bytes().len());
    // The name of each document in the array is its number.
    let bytes = bytes.sum::<usize>() + 16 * documents.len();
    let head = command.as_bytes().strip_suffix(&[END]).unwrap_or_default();
    let mut whole = Vec::with_capacity(head.len() + 64 + bytes);
    whole.extend_from_slice(head);
    whole.push(ARRAY);
    whole.extend_from_slice(b"documents\0");
    let begin = whole.len();
    whole.extend_from_slice(&[0; size_of::<i32>()]);
    for (number, document) in documents.iter().enumerate() {
        whole.push(DOCUMENT);
        write!(whole, "{number}\0")?;
        whole.extend_from_slice(document.as_bytes());
    }
    whole.push(END);
    let array_end = whole.len();
    whole.push(END);
    for (begin, end) in [(begin, array_end), (0, whole.len())] {
        let length = i32::try_from(end - begin).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let place = whole.iter_mut().skip(begin);
        for (byte, new) in place.zip(length.to_le_bytes()) {
            *byte = new;
        }
    }
    RawDocumentBuf::from_bytes(whole).map_err(io::Error::other)
}

/// A file's document.
///
/// # Errors
/// When a number does not fit into its BSON type.
pub(super) fn file(
    id: FileId,
    meta: &FileMeta,
    belonging: &RawDocument,
    sent: Sent,
    chunk_size_bytes: u32,
) -> Result<RawDocumentBuf, StoreError> {
    let too_large = |err: std::num::TryFromIntError| StoreError::Refused(err.to_string());
    let seal = seal(
        object_id(id),
        sent.length,
        chunk_size_bytes,
        meta.uploaded,
        sent.sha256,
    );
    let mut metadata = rawdoc! {
        "contentType": meta.content_type.as_str(),
        "sha256": sent.sha256.to_string(),
        SEAL: seal,
    };
    if !meta.metadata.is_empty() {
        metadata.append(cstr!("fields"), fields(&meta.metadata)?);
    }
    for element in belonging {
        let (name, value) = element.map_err(|err| StoreError::Failed(words::of_bson(&err)))?;
        metadata.append(name, value);
    }
    if let Ok(Some(seconds)) = meta.metadata.unlinked_seconds()
        && matches!(belonging.get("message"), Ok(None))
    {
        let over = meta.uploaded.0.saturating_add(1000 * u64::from(seconds));
        let over = DateTime::from_millis(i64::try_from(over).map_err(too_large)?);
        metadata.append(cstr!("unlinked_expires"), over);
    }
    Ok(rawdoc! {
        "_id": object_id(id),
        "length": i64::try_from(sent.length).map_err(too_large)?,
        "chunkSize": i32::try_from(chunk_size_bytes).map_err(too_large)?,
        "uploadDate": DateTime::from_millis(i64::try_from(meta.uploaded.0).map_err(too_large)?),
        "filename": meta.filename.as_str(),
        "metadata": metadata,
    })
}

/// A field of the metadata that only gridspool writes.
const SEAL: &CStr = cstr!("gridspool");

/// The value of that field. If another writer replaces the file and keeps its metadata, the value no
/// longer fits: another content has another date or length.
fn seal(
    id: ObjectId,
    length: u64,
    chunk_size_bytes: u32,
    uploaded: UnixMillis,
    sha256: Sha256,
) -> String {
    let millis = uploaded.0;
    let sealed = format!("{id} {length} {chunk_size_bytes} {millis} {sha256}");
    let digest = Sha256(sha2::Sha256::digest(sealed).into());
    let mut seal = digest.to_string();
    seal.truncate(16);
    seal
}

/// Whether gridspool wrote a file, and nobody has replaced it since: the content under its id then
/// never changes. The id alone does not tell: every driver makes `ObjectId`s.
pub(super) fn is_ours(document: &RawDocument) -> bool {
    let seal = || {
        let metadata = document.get_document("metadata").ok()?;
        let told = metadata.get_str(SEAL).ok()?;
        let uploaded = document.get_datetime("uploadDate").ok()?;
        let made = seal(
            document.get_object_id("_id").ok()?,
            whole_number(document, "length")?,
            u32::try_from(whole_number(document, "chunkSize")?).ok()?,
            UnixMillis(u64::try_from(uploaded.timestamp_millis()).ok()?),
            digest(metadata)?,
        );
        Some(told == made)
    };
    seal().unwrap_or(false)
}

/// The sender's texts, in a document of their own, so that no name of theirs collides with ours.
fn fields(metadata: &Metadata) -> Result<RawDocumentBuf, StoreError> {
    let mut fields = RawDocumentBuf::new();
    for (name, texts) in metadata.iter() {
        let name = CString::try_from(name.to_owned())
            .map_err(|err| StoreError::Refused(err.to_string()))?;
        if let [only] = texts {
            fields.append(name, only.as_str());
        } else {
            let texts = texts.iter().map(|text| RawBson::String(text.clone()));
            fields.append(name, texts.collect::<RawArrayBuf>());
        }
    }
    Ok(fields)
}

/// Reads the document that [`fields`] wrote. A field that somebody has changed since counts if it is a
/// text or a list of texts.
fn read_fields(metadata: &RawDocument) -> Metadata {
    let mut read = Metadata::default();
    let fields = metadata.get_document("fields").ok();
    for (name, text) in fields.into_iter().flatten().flatten() {
        let list = text.as_array().into_iter().flatten().flatten();
        let texts = text
            .as_str()
            .into_iter()
            .chain(list.filter_map(RawBsonRef::as_str));
        for text in texts {
            // Another writer may keep more than we allow; the excess stays in MongoDB.
            if let Err(err) = read.add(name.to_string(), text.to_owned()) {
                log::debug!("{err}");
            }
        }
    }
    read
}

/// Reads a file's document, by any driver.
///
/// # Errors
/// `Damaged` when it has no sensible length or chunk size.
pub(super) fn read_file(key: &FileKey, document: &RawDocument) -> Result<StoredFile, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("{key:?} has no sensible {what}"));
    let length = whole_number(document, "length").ok_or_else(|| damaged("length"))?;
    let chunk_size = whole_number(document, "chunkSize").and_then(|size| u32::try_from(size).ok());
    let chunk_size = chunk_size.filter(|&size| size > 0);
    // An empty file has no chunks, so any chunk size will do.
    let chunk_size = chunk_size.or((length == 0).then_some(1));
    let chunk_size_bytes = chunk_size.ok_or_else(|| damaged("chunkSize"))?;
    let metadata = document.get_document("metadata").ok();
    let content_type = foreign::content_type(document);
    let is_ours = is_ours(document);
    let uploaded = document.get_datetime("uploadDate").ok();
    let uploaded = uploaded.and_then(|date| u64::try_from(date.timestamp_millis()).ok());
    let filename = document.get_str("filename").ok();
    let named_by_key = || match key {
        FileKey::Id(id) => FileName::of_id(*id),
        FileKey::Foreign(text) => FileName::from_claim(text)
            .unwrap_or_else(|| FileName::of_id(FileId::from_bytes([0; 12]))),
    };
    Ok(StoredFile {
        key: key.clone(),
        locator: locator(document.get("_id").ok().flatten())?,
        meta: FileMeta {
            filename: filename
                .and_then(FileName::from_claim)
                .unwrap_or_else(named_by_key),
            content_type: content_type.unwrap_or_else(MediaType::octet_stream),
            length,
            uploaded: UnixMillis(uploaded.unwrap_or_default()),
            metadata: metadata
                .filter(|_| is_ours)
                .map(read_fields)
                .unwrap_or_default(),
            revision: (!is_ours).then(|| foreign::revision(document)),
        },
        foreign_metadata: if is_ours {
            String::new()
        } else {
            foreign::metadata(document)
        },
        chunk_size_bytes,
        sha256: metadata.and_then(digest),
        content: None,
    })
}

/// The statements of a file's document, and the counts of its chunks.
pub(super) fn evidence(
    document: &RawDocument,
    chunks: u64,
    chunk_bytes: Option<u64>,
) -> Option<Evidence> {
    let metadata = document.get_document("metadata").ok();
    Some(Evidence {
        length: whole_number(document, "length")?,
        sha256: metadata.and_then(digest),
        chunk_size_bytes: u32::try_from(whole_number(document, "chunkSize")?).ok()?,
        chunks,
        chunk_bytes,
    })
}

/// The digest that a file's metadata states.
pub(super) fn digest(metadata: &RawDocument) -> Option<Sha256> {
    metadata.get_str("sha256").ok().and_then(Sha256::from_hex)
}

/// Returns a whole number that is not negative, in any numeric type of a driver.
pub(super) fn whole_number(document: &RawDocument, name: &str) -> Option<u64> {
    let number = document.get(name).ok()??;
    let whole = number
        .as_i64()
        .or_else(|| number.as_i32().map(i64::from))
        .or_else(|| number.as_f64().and_then(exact));
    u64::try_from(whole?).ok()
}

/// The whole number that equals a double, if there is one.
pub(super) fn exact(number: f64) -> Option<i64> {
    (number.fract() == 0.0)
        .then(|| format!("{number:.0}").parse().ok())
        .flatten()
}

/// An `_id` of any type, as bytes for [`id_of`].
fn locator(id: Option<RawBsonRef<'_>>) -> Result<Vec<u8>, StoreError> {
    let id = id.ok_or_else(|| StoreError::Damaged("a file without _id".to_owned()))?;
    let mut holder = RawDocumentBuf::new();
    holder.append(cstr!("_id"), id);
    Ok(holder.into_bytes())
}

/// The `_id` in a locator.
pub(super) fn id_of(file: &StoredFile) -> Result<Bson, StoreError> {
    let holder = RawDocument::from_bytes(&file.locator);
    holder
        .and_then(Document::try_from)
        .ok()
        .and_then(|mut holder| holder.remove("_id"))
        .ok_or_else(|| StoreError::Damaged(format!("{:?} has no readable _id", file.key)))
}

/// A filter for exactly this value. `$eq` takes a value literally that would be a filter by itself. For
/// a plain value of `_id` MongoDB needs no query plan, which saves a fifth of the time.
pub(super) fn is(field: &str, value: &Bson) -> Document {
    let is_filter = matches!(
        value,
        Bson::Document(_) | Bson::Array(_) | Bson::RegularExpression(_)
    );
    if is_filter {
        doc! { field: { "$eq": value.clone() } }
    } else {
        doc! { field: value.clone() }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::Binary;

    use super::*;

    #[test]
    fn a_chunk_made_in_place_is_what_the_driver_makes_of_it() {
        for data in [Vec::new(), vec![1], vec![7; 300_000]] {
            let files_id = ObjectId::from_bytes([1; 12]);
            let id = ObjectId::from_bytes([2; 12]);
            let fill = |place: &mut [u8]| {
                place.copy_from_slice(&data);
                Ok(id)
            };
            let made = chunk(files_id, 77, data.len(), fill).unwrap();
            let binary = Binary {
                subtype: BinarySubtype::Generic,
                bytes: data.clone(),
            };
            let expected = rawdoc! { "_id": id, "files_id": files_id, "n": 77, "data": binary };
            assert!(made == expected, "{} bytes", data.len());
        }
    }

    #[test]
    fn a_command_with_documents_is_what_the_driver_makes_of_it() {
        for count in [0, 1, 12, 101] {
            let documents: Vec<_> = (0..count).map(|n| rawdoc! { "n": n, "x": "y" }).collect();
            let head = rawdoc! { "insert": "fs.chunks", "maxTimeMS": 7_i64 };
            let made = with_documents(&head, &documents).unwrap();
            let mut expected = head;
            let documents = documents.into_iter().map(RawBson::Document);
            expected.append(cstr!("documents"), documents.collect::<RawArrayBuf>());
            assert!(made == expected, "{count}");
        }
    }
}
