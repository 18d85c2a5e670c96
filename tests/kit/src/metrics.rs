//! The text of `GET /metrics`, read as strictly as Prometheus reads it.

use std::collections::BTreeMap;

use crate::Site;

/// The metrics of a node at one moment.
#[derive(Default, Debug)]
pub struct Metrics {
    /// The type of each family.
    pub families: BTreeMap<String, String>,
    /// The value of each series, named with its labels: all are whole numbers.
    pub values: BTreeMap<String, u64>,
}

impl Metrics {
    /// Panics at everything that is not well-formed.
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let text = text.strip_suffix("# EOF\n").expect("an end");
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let help = line.strip_prefix("# HELP ").expect(line);
            let (family, meaning) = help.split_once(' ').expect(line);
            assert!(is_name(family) && meaning.len() > 5, "{line}");
            let kind = lines.next().and_then(|line| {
                let typed = line.strip_prefix("# TYPE ")?;
                typed.strip_prefix(family)?.strip_prefix(' ')
            });
            let kind = kind.expect(line).to_owned();
            let suffix = if kind == "counter" { "_total" } else { "" };
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (series, value) = sample.rsplit_once(' ').expect(sample);
                let labels = series
                    .strip_prefix(family)
                    .and_then(|rest| rest.strip_prefix(suffix));
                assert!(labels.is_some_and(are_labels), "{sample}");
                let value = value.parse().expect(sample);
                let earlier = metrics.values.insert(series.to_owned(), value);
                assert!(earlier.is_none(), "{sample}");
            }
            let earlier = metrics.families.insert(family.to_owned(), kind);
            assert!(earlier.is_none(), "{line}");
        }
        metrics
    }

    /// Asks on the admin socket.
    pub fn of(site: &Site) -> Self {
        let (status, text) = site.ask_admin("GET", "/metrics");
        assert_eq!(status, 200, "{text}");
        Self::parse(&text)
    }

    /// The value of a series, without the prefix that all have.
    pub fn value(&self, series: &str) -> u64 {
        let value = self.values.get(&format!("gridspool_{series}"));
        *value.unwrap_or_else(|| panic!("no {series}: {:?}", self.values))
    }
}

fn is_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Returns whether this text may stand between a name and its value: nothing, or one plain label.
fn are_labels(text: &str) -> bool {
    let label = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix("\"}"));
    let label = label.and_then(|label| label.split_once("=\""));
    text.is_empty()
        || label.is_some_and(|(name, value)| is_name(name) && !value.contains(['"', '\\', '\n']))
}
