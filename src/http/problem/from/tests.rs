//! Tries the words about heads that are refused.

use super::*;

#[test]
fn a_refused_head_is_told_what_is_wrong_with_it() {
    let not_whole = HeadError::NotWhole {
        by: "Upload-Offset",
        said: "nothing is resumed here.",
    };
    for (err, expected, said) in [
        (
            not_whole,
            "400 Bad Request not-a-whole-file",
            "Upload-Offset: nothing is resumed here. Send the whole file in one request.",
        ),
        (
            HeadError::Form("It has no end."),
            "400 Bad Request bad-form",
            "It has no end.",
        ),
        (
            HeadError::RepeatedMetadata,
            "400 Bad Request bad-metadata",
            "Upload-Metadata has one name twice.",
        ),
        (
            HeadError::UnkeptMetadata(InvalidMetadata::TooMuch),
            "413 Payload Too Large too-much-metadata",
            "The texts of the request are longer than this server takes.",
        ),
    ] {
        let problem = Problem::from(err);
        assert_eq!(problem.to_string(), expected);
        let body: serde_json::Value = serde_json::from_str(&problem.body()).unwrap();
        assert_eq!(body["detail"], said);
    }
}
