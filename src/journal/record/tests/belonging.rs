//! The versions of records, and the belongings of a message's files.

use super::samples::{file, id, message_form};
use super::*;

#[test]
fn only_what_belongs_to_something_is_of_the_second_version_and_each_has_one_spelling() {
    for frame in frames() {
        let base = match frame.read() {
            Ok(Some(Record::Base(base))) => base,
            Ok(Some(Record::Change(change))) => {
                let version = match change {
                    Change::Grown(Growth { made: Some(_), .. }) => 4,
                    Change::Grown(_) => 2,
                    Change::Deferred { .. }
                    | Change::Held(_)
                    | Change::Waiting
                    | Change::Settled(_)
                    | Change::Gone => 1,
                };
                assert_eq!(frame.version, version);
                continue;
            }
            read => panic!("{read:?}"),
        };
        let belongs = match &base {
            Base::Entry(Entry::File(file)) => !file.belonging.is_none(),
            Base::Entry(Entry::Tombstone(tombstone)) => tombstone.message.is_some(),
            Base::Form(form) => form.message.is_some() || form.sub.is_some(),
            Base::Entry(Entry::Upload(_)) => true,
            Base::Entry(Entry::Intent(_)) | Base::Answers(_) => false,
        };
        let version = match &base {
            Base::Entry(Entry::Upload(upload)) if upload.becomes.is_made() => 4,
            Base::Entry(Entry::Upload(upload)) if upload.stated.sha512.is_some() => 3,
            Base::Entry(Entry::File(file)) if file.belonging.was_linked => 3,
            Base::Entry(_) | Base::Form(_) | Base::Answers(_) => 1 + u8::from(belongs),
        };
        assert_eq!(frame.version, version, "{base:?}");
        let other = Frame {
            // The last version of a file has no more bytes than the one before.
            version: match (&base, frame.version) {
                (_, 4) => 2,
                (Base::Entry(Entry::File(_)), 3) => 1,
                (_, version) => 3 - version,
            },
            ..frame
        };
        assert!(other.read().is_err(), "{base:?}");
    }
    let mut nothing = Frame::entry(id(7), &Entry::File(file(3))).unwrap();
    nothing.version = 2;
    nothing.record.extend([0, 0, 0, 0, 0, 0, 0]);
    let refused = Err(RecordError::Damaged("a belonging to nothing"));
    assert_eq!(nothing.read(), refused);
}

#[test]
fn the_first_file_of_a_message_is_its_package_and_all_others_are_linked_to_it() {
    let form = message_form(&[7, 8, 9].map(id));
    let files: Vec<_> = form.files().collect();
    let belonging = |place: usize| files[place].1.belonging.clone();
    assert_eq!(
        belonging(0),
        Belonging {
            sub: form.sub.clone(),
            message: Some(id(7)),
            package: form.message.clone(),
            ..Belonging::default()
        }
    );
    for place in [1, 2] {
        assert_eq!(
            belonging(place),
            Belonging {
                sub: form.sub.clone(),
                message: Some(id(7)),
                links: vec![id(7)],
                ..Belonging::default()
            }
        );
    }
}
