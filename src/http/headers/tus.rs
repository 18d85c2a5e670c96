//! The fields of tus 1.0.0 (the core protocol and its extensions), except `Upload-Metadata`.
//!
//! This file must never know the other dialect of resumable uploads.

use actix_web::http::header::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HeadError, content_type, resumable};
use crate::file::{FileId, Metadata};
use crate::intake::StatedDigests;

/// The only version that is spoken.
pub(in crate::http) const VERSION: &str = "1.0.0";

/// The extensions that are spoken.
pub(in crate::http) const EXTENSIONS: &str = "creation,creation-with-upload,\
    creation-defer-length,expiration,checksum,termination,concatenation";

/// The algorithms of `Upload-Checksum`.
pub(in crate::http) const ALGORITHMS: &str = "sha1,sha256,sha512";

/// The type of the body of an append.
pub(in crate::http) const PATCH_TYPE: &str = "application/offset+octet-stream";

/// The text under which a file keeps the list of the uploads that it was made of, as its sender wrote it.
pub(in crate::http) const CONCAT: &str = "upload_concat";

/// The beginning of such a list.
const FINAL: &str = "final;";

/// The most uploads that are made one.
const MOST_PARTS: usize = 1000;

/// The kind of an upload that begins (Concatenation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Kind {
    /// It becomes a file, and has this length in bytes if that is known already.
    Whole(Option<u64>),
    /// The same, and it becomes a part of a file.
    Partial(Option<u64>),
    /// A file that is made of these uploads.
    Final(Vec<FileId>),
}

impl Kind {
    /// The length of the whole in bytes, if it is told.
    pub(in crate::http) fn declared(&self) -> Option<u64> {
        match self {
            Self::Whole(declared) | Self::Partial(declared) => *declared,
            Self::Final(_) => None,
        }
    }

    /// The uploads that it is made of.
    pub(in crate::http) fn parts(&self) -> &[FileId] {
        match self {
            Self::Whole(_) | Self::Partial(_) => &[],
            Self::Final(parts) => parts,
        }
    }
}

/// Refuses another version than the one that is spoken here.
///
/// # Errors
/// When the request names another version, or none.
pub(in crate::http) fn check_version(headers: &HeaderMap) -> Result<(), HeadError> {
    let mut versions = headers.get_all("tus-resumable");
    match (versions.next(), versions.next()) {
        (Some(version), None) if version == VERSION => Ok(()),
        _ => Err(HeadError::TusVersion),
    }
}

/// The field that names the method if the method of a request is another.
const METHOD: &str = "x-http-method-override";

/// The methods whose bodies nginx passes on.
const WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

/// Returns the method that a request means: the one in its head in preference to its own.
///
/// # Errors
/// When the head has several; when the meant one takes a body, and the request's own one has none: the bytes
/// would seem to have come.
pub(in crate::http) fn method<'a>(
    headers: &'a HeaderMap,
    own: &'a str,
) -> Result<&'a str, HeadError> {
    match one(headers, METHOD)? {
        None => Ok(own),
        Some("") => Err(HeadError::UploadField(
            "X-HTTP-Method-Override is not one method.",
        )),
        Some(meant) if WITH_BODY.contains(&meant) && !WITH_BODY.contains(&own) => Err(
            HeadError::UploadField("X-HTTP-Method-Override: the request's own method has no body."),
        ),
        Some(meant) => Ok(meant),
    }
}

/// Reads the kind of an upload that begins (Creation, Concatenation).
///
/// # Errors
/// When a field cannot be read; when the length is neither told nor deferred, or told of a final
/// upload.
pub(in crate::http) fn kind(headers: &HeaderMap) -> Result<Kind, HeadError> {
    let declared = length(headers)?;
    let is_deferred = match one(headers, "upload-defer-length")? {
        None => false,
        Some("1") => true,
        Some(_) => return Err(HeadError::UploadField("Upload-Defer-Length is not 1.")),
    };
    let concat = one(headers, "upload-concat")?;
    if let Some(parts) = concat.and_then(|concat| concat.strip_prefix(FINAL)) {
        if declared.is_some() || is_deferred {
            return Err(HeadError::UploadField("A final upload has no length."));
        }
        return parts_of(parts).map(Kind::Final);
    }
    if declared.is_some() == is_deferred {
        let said = "Upload-Length or Upload-Defer-Length is needed, and not both.";
        return Err(HeadError::UploadField(said));
    }
    match concat {
        None => Ok(Kind::Whole(declared)),
        Some("partial") => Ok(Kind::Partial(declared)),
        Some(_) => Err(HeadError::UploadField(
            "Upload-Concat is neither partial nor a list of uploads.",
        )),
    }
}

/// Keeps the list of partial uploads with the final one. If its texts have no room for the list, the
/// word alone is kept, as the file is final all the same.
///
/// # Errors
/// When there is no room even for that.
pub(in crate::http) fn keep_parts(
    headers: &HeaderMap,
    metadata: &mut Metadata,
) -> Result<(), HeadError> {
    let told = one(headers, "upload-concat")?.unwrap_or(FINAL);
    let kept = metadata.set(CONCAT.to_owned(), told.to_owned());
    Ok(kept.or_else(|_| metadata.set(CONCAT.to_owned(), FINAL.to_owned()))?)
}

/// The list of the uploads that a file was made of; `None` if it was sent at once or in pieces.
pub(in crate::http) fn parts_kept(metadata: &Metadata) -> Option<&str> {
    let mut texts = metadata.pairs();
    let kept = texts.find(|(name, _)| *name == CONCAT);
    let is_list = |text: &&str| text.starts_with(FINAL) && HeaderValue::from_str(text).is_ok();
    kept.map(|(_, text)| text).filter(is_list)
}

/// Reads the URLs of partial uploads: absolute or relative, divided by spaces.
fn parts_of(urls: &str) -> Result<Vec<FileId>, HeadError> {
    let urls = urls.split(' ').filter(|url| !url.is_empty());
    let parts: Option<Vec<_>> = urls.take(MOST_PARTS + 1).map(part_of).collect();
    let parts = parts.filter(|parts| (1..=MOST_PARTS).contains(&parts.len()));
    parts.ok_or(HeadError::UploadField(
        "Upload-Concat lists no upload, too many, or something else.",
    ))
}

/// Returns the upload of a URL that ends in `/uploads/ID`.
fn part_of(url: &str) -> Option<FileId> {
    let (before, id) = url.rsplit_once('/')?;
    let (place, collection) = before.rsplit_once('/')?;
    // Two URLs that no space divides are not the second one alone.
    let is_one = collection == "uploads" && !place.contains("uploads/");
    id.parse().ok().filter(|_| is_one)
}

/// Reads the offset of an append (Core protocol).
///
/// # Errors
/// When the type is another, or the offset is missing.
pub(in crate::http) fn offset(headers: &HeaderMap) -> Result<u64, HeadError> {
    check_type(headers)?;
    number(headers, "upload-offset")?.ok_or(HeadError::UploadField("Upload-Offset has no offset."))
}

/// Refuses a body of another type.
///
/// # Errors
/// When the type is another.
pub(in crate::http) fn check_type(headers: &HeaderMap) -> Result<(), HeadError> {
    if content_type::is_of(headers, PATCH_TYPE) {
        Ok(())
    } else {
        Err(HeadError::PatchType(PATCH_TYPE))
    }
}

/// Reads the length of a whole upload in bytes, if the request tells it.
///
/// # Errors
/// When it is no number.
pub(in crate::http) fn length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    number(headers, "upload-length")
}

/// Reads the length of a whole upload in an append with a body of this length. iOS 26 adds the fields of the draft to
/// the requests of its upload tasks, with the length of their bodies: by tus it tells nothing.
///
/// # Errors
/// When it is no number.
pub(in crate::http) fn length_told_late(
    headers: &HeaderMap,
    content: Option<u64>,
) -> Result<Option<u64>, HeadError> {
    let is_of_the_body =
        |told: &u64| headers.contains_key(resumable::INTEROP_VERSION) && Some(*told) == content;
    Ok(length(headers)?.filter(|told| !is_of_the_body(told)))
}

/// Reads the digest of a body (Checksum).
///
/// # Errors
/// When it cannot be read, or its algorithm is none of ours.
pub(in crate::http) fn checksum(headers: &HeaderMap) -> Result<StatedDigests, HeadError> {
    let mut stated = StatedDigests::default();
    let Some(checksum) = one(headers, "upload-checksum")? else {
        return Ok(stated);
    };
    let (algorithm, encoded) = checksum.split_once(' ').ok_or(HeadError::Checksum)?;
    let digest = STANDARD.decode(encoded).map_err(|_| HeadError::Checksum)?;
    let known = match algorithm {
        "sha1" => &mut stated.sha1,
        "sha256" => &mut stated.sha256,
        "sha512" => &mut stated.sha512,
        _ => return Err(HeadError::Checksum),
    };
    known.push(digest);
    Ok(stated)
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, HeadError> {
    let Some(text) = one(headers, name)? else {
        return Ok(None);
    };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.map(Some).ok_or(HeadError::UploadField(
        "Upload-Offset or Upload-Length is no number.",
    ))
}

/// Returns the only value of a field.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, HeadError> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())),
        (Some(_), Some(_)) => Ok(Some("")),
    }
    .map_err(|_| HeadError::UploadField("A field of tus is not ASCII."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::testing::head;

    const ID: &str = "65f0a1b2c3d4e5f600010203";

    #[test]
    fn the_version_must_be_named() {
        for (fields, is_spoken) in [
            (&[("tus-resumable", "1.0.0")][..], true),
            (&[("tus-resumable", "0.2.2")], false),
            (&[("tus-resumable", "1.0.0, 0.2.2")], false),
            (
                &[("tus-resumable", "1.0.0"), ("tus-resumable", "1.0.0")],
                false,
            ),
            (&[], false),
        ] {
            let checked = check_version(&head(fields));
            assert_eq!(checked.is_ok(), is_spoken, "{fields:?}");
        }
    }

    #[test]
    fn an_upload_tells_its_length_or_defers_it_unless_it_is_made_of_others() {
        let (length, defer, concat) = ("upload-length", "upload-defer-length", "upload-concat");
        let id: FileId = ID.parse().unwrap();
        let urls = format!("final;/uploads/{ID} https://example.org/uploads/{ID}");
        for (fields, expected) in [
            (&[(length, "0")][..], Kind::Whole(Some(0))),
            (&[(length, "100")], Kind::Whole(Some(100))),
            (&[(defer, "1")], Kind::Whole(None)),
            (
                &[(length, "5"), (concat, "partial")],
                Kind::Partial(Some(5)),
            ),
            (&[(defer, "1"), (concat, "partial")], Kind::Partial(None)),
            (&[(concat, &urls)], Kind::Final(vec![id, id])),
        ] {
            assert_eq!(kind(&head(fields)), Ok(expected), "{fields:?}");
        }
        let many = format!("final;{}", format!("/uploads/{ID} ").repeat(1001));
        let divided =
            ["", ",", ";", "\t"].map(|by| format!("final;/uploads/{ID}{by}/uploads/{ID}"));
        for fields in [
            &[][..],
            &[(length, "5"), (defer, "1")],
            &[(defer, "2")],
            &[(length, "-5")],
            &[(length, "+5")],
            &[(length, "")],
            &[(length, "5"), (length, "5")],
            &[(length, "99999999999999999999")],
            &[(length, "5"), (concat, "all")],
            &[(length, "5"), (concat, &urls)],
            &[(concat, "final;")],
            &[(concat, "final;/files/65f0a1b2c3d4e5f600010203")],
            &[(concat, "final;/uploads/a")],
            &[(concat, &many)],
            &[(concat, &divided[0])],
            &[(concat, &divided[1])],
            &[(concat, &divided[2])],
            &[(concat, &divided[3])],
        ] {
            let refused = kind(&head(fields));
            let is_of_field = matches!(refused, Err(HeadError::UploadField(_)));
            assert!(is_of_field, "{fields:?}");
        }
    }

    #[test]
    fn the_length_of_the_body_of_an_upload_task_is_not_that_of_the_whole() {
        let told = |fields: &[(&str, &str)], content| length_told_late(&head(fields), content);
        let (client, task) = (("Upload-Length", "9"), (resumable::INTEROP_VERSION, "8"));
        assert_eq!(told(&[client], Some(9)), Ok(Some(9)));
        assert_eq!(told(&[client, task], Some(5)), Ok(Some(9)));
        assert_eq!(told(&[client, task], Some(9)), Ok(None));
        assert_eq!(told(&[task], Some(9)), Ok(None));
    }

    #[test]
    fn the_method_in_the_head_counts() {
        let field = "X-HTTP-Method-Override";
        assert_eq!(method(&head(&[]), "POST"), Ok("POST"));
        assert_eq!(method(&head(&[(field, "PATCH")]), "POST"), Ok("PATCH"));
        let twice = head(&[(field, "PATCH"), (field, "DELETE")]);
        assert!(method(&twice, "POST").is_err());
        // nginx passes on no body of these methods.
        for own in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            assert!(method(&head(&[(field, "PATCH")]), own).is_err(), "{own}");
        }
        assert_eq!(method(&head(&[(field, "DELETE")]), "GET"), Ok("DELETE"));
    }

    #[test]
    fn an_append_has_its_type_and_an_offset() {
        let of_type = ("content-type", PATCH_TYPE);
        let read = |fields: &[(&str, &str)]| offset(&head(fields));
        assert_eq!(read(&[of_type, ("upload-offset", "70")]), Ok(70));
        assert!(read(&[of_type]).is_err());
        assert!(read(&[of_type, ("upload-offset", "-1")]).is_err());
        let other = ("content-type", "application/partial-upload");
        let refused = read(&[other, ("upload-offset", "70")]);
        assert_eq!(refused, Err(HeadError::PatchType(PATCH_TYPE)));
    }

    #[test]
    fn a_checksum_has_one_of_three_algorithms() {
        let read = |value| checksum(&head(&[("upload-checksum", value)]));
        let sha1 = read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert_eq!(sha1.sha1.concat().len(), 20);
        assert_eq!(read("sha256 YQ==").unwrap().sha256, [b"a"]);
        assert_eq!(read("sha512 YQ==").unwrap().sha512, [b"a"]);
        assert_eq!(checksum(&head(&[])), Ok(StatedDigests::default()));
        for value in ["", "sha1", "sha1 !", "md5 YQ==", "SHA1 YQ==", "sha1  YQ=="] {
            assert_eq!(read(value), Err(HeadError::Checksum), "{value}");
        }
    }
}
