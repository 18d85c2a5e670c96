//! Settings from all places, and the texts for wrong ones.

use super::*;

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(Task, Config), ConfigError> {
    let arguments = std::iter::once("gridspool").chain(arguments.iter().copied());
    let lookup = |name: &str| {
        let open = [("GRIDSPOOL_INSECURE_NO_AUTH", "true")];
        let mut known = environment.iter().chain(&open);
        let found = known.find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let check_uri = |uri: &str| {
        uri.starts_with("mongodb://")
            .then_some(())
            .ok_or_else(|| "not a MongoDB URI".to_owned())
    };
    Config::load(arguments.map(OsString::from), lookup, check_uri)
}

fn wrong(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    match load(arguments, environment) {
        Err(ConfigError::Wrong(lines)) => lines,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_right_as_they_stand() {
    let (task, config) = load(&[], &[]).unwrap();
    assert_eq!(task, Task::Run);
    assert_eq!(config.bucket.chunk_size_bytes, 255 * 1024);
    assert_eq!(config.bucket.bucket, "fs");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "node = 2\nworkers = 3\nbucket = \"media\"\n").unwrap();
    let path = file.path().to_str().unwrap();
    let environment = [
        ("GRIDSPOOL_CONFIG", path),
        ("GRIDSPOOL_NODE", "4"),
        ("GRIDSPOOL_WORKERS", "5"),
    ];
    let (_, config) = load(&["--node", "6"], &environment).unwrap();
    assert_eq!(config.journal.node, 6);
    assert_eq!(config.workers, 5);
    assert_eq!(config.bucket.bucket, "media");
}

#[test]
fn a_budget_has_room_for_two_chunks() {
    let chunk = &["--chunk-size-bytes", "2000", "--commit-bytes"];
    let with = |bytes| [&chunk[..], &[bytes]].concat();
    assert!(load(&with("4000"), &[]).is_ok());
    let lines = wrong(&with("3999"), &[]);
    assert_eq!(
        lines,
        ["commit_bytes: smaller than two chunks of chunk_size_bytes"]
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "colour = 1\nworkers = \"many\"\n").unwrap();
    let lines = wrong(
        &[
            "--config",
            file.path().to_str().unwrap(),
            "--node",
            "0",
            "--data-dir",
            "here",
        ],
        &[
            ("GRIDSPOOL_MONGODB_URI", "http://user:password@host/"),
            ("GRIDSPOOL_BUCKET", "a$b"),
        ],
    );
    for name in [
        "colour",
        "workers",
        "node",
        "data_dir",
        "mongodb_uri",
        "bucket",
    ] {
        assert_eq!(
            lines.iter().filter(|line| line.contains(name)).count(),
            1,
            "{name}: {lines:?}"
        );
    }
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(!lines.concat().contains("password"), "{lines:?}");
}

#[test]
fn a_file_that_is_no_toml_is_told_by_its_line_without_its_text() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (text, line) in [
        ("node = 2\nmongodb_uri = \"mongodb://user:secret@host/", 2),
        ("mongodb_uri = mongodb://user:secret@host/\n", 1),
        ("token_keys = \"secret\"\ntoken_keys = \"secret\"\n", 2),
    ] {
        std::fs::write(file.path(), text).unwrap();
        let lines = wrong(&["--config", path, "--node", "0"], &[]);
        let told = format!("config file {path}, line {line}: ");
        assert!(lines[0].starts_with(&told), "{lines:?}");
        assert!(!lines.concat().contains("secret"), "{lines:?}");
        // Other settings cannot be judged without the file.
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_wrong() {
    let lines = wrong(
        &[
            "--retry-first-ms",
            "9",
            "--retry-max-ms",
            "8",
            "--commit-bytes",
            "2048",
        ],
        &[("GRIDSPOOL_SOCKET", "/a"), ("GRIDSPOOL_ADMIN_SOCKET", "/a")],
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[test]
fn other_nodes_have_numbers_addresses_and_a_key() {
    let peers = "2=http://10.0.0.2:8080 65535=http://[::1]:80";
    let (_, config) = load(&["--peers", peers, "--peer-key", "/key"], &[]).unwrap();
    let [second, last] = config.cluster.peers.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!((second.node, last.node), (2, 65535));
    assert_eq!(second.url, "http://10.0.0.2:8080");
    assert!(load(&[], &[]).unwrap().1.cluster.peers.is_empty());
    assert_eq!(wrong(&["--peers", peers], &[]).len(), 1, "no key");
    for wrong_peer in [
        "1=http://a:80",
        "0=http://a:80",
        "65536=http://a:80",
        "2",
        "2=a:80",
        "2=https://a:80",
        "2=http://a",
        "2=http://a:80/x",
        "2=http://u@a:80",
        "2=http://:80",
        "2=http://a:80 2=http://b:80",
    ] {
        let arguments = ["--peers", wrong_peer, "--peer-key", "/key"];
        assert_eq!(wrong(&arguments, &[]).len(), 1, "{wrong_peer}");
    }
}

#[test]
fn promises_are_fsynced_unless_the_setting_says_otherwise_in_so_many_words() {
    let durability = |arguments: &[&str]| load(arguments, &[]).unwrap().1.journal.durability;
    assert_eq!(durability(&[]), Durability::Disk);
    assert_eq!(durability(&["--durability", "disk"]), Durability::Disk);
    assert_eq!(durability(&["--durability", "os"]), Durability::Os);
    for word in ["", "OS", "none", "false"] {
        assert_eq!(wrong(&["--durability", word], &[]).len(), 1, "{word}");
    }
}

#[test]
fn little_memory_lowers_defaults_and_nothing_that_is_set() {
    let (_, normal) = load(&[], &[]).unwrap();
    let (_, low) = load(&["--memory", "low"], &[("GRIDSPOOL_WORKERS", "7")]).unwrap();
    assert!(low.bucket.bytes_in_flight < normal.bucket.bytes_in_flight);
    assert!(low.commit.commits < normal.commit.commits);
    assert!(low.lists.cache_bytes < normal.lists.cache_bytes);
    assert_eq!(low.workers, 7);
    let lines = wrong(&["--memory", "none", "--commit-pace", "slow"], &[]);
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn who_may_come_in_has_to_be_said() {
    let shut = ("GRIDSPOOL_INSECURE_NO_AUTH", "false");
    let keys = ("GRIDSPOOL_TOKEN_KEYS", "/keys.json");
    for task in ["run", "check"] {
        let lines = wrong(&[task], &[shut]);
        assert!(lines[0].contains("insecure_no_auth"), "{lines:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    assert!(load(&["init"], &[shut]).is_ok());
    assert!(
        load(&["run"], &[shut, keys])
            .unwrap()
            .1
            .access
            .tokens
            .is_some()
    );
    let (task, config) = load(&["--insecure-no-auth", "run"], &[shut]).unwrap();
    assert!(task == Task::Run && config.access.is_open);
    assert_eq!(wrong(&[], &[keys]).len(), 1, "both at once");
    assert_eq!(wrong(&["--insecure-no-auth=perhaps", "init"], &[]).len(), 1);
}

#[test]
fn a_token_is_ordered_with_settings_before_and_after() {
    let shut = ("GRIDSPOOL_INSECURE_NO_AUTH", "false");
    let order = ["token", "--scope", "upload download", "--meta", "room=7=8"];
    let (task, config) = load(&[&["--token-keys", "/a"], &order[..]].concat(), &[shut]).unwrap();
    let Task::Mint(order) = task else {
        panic!("{task:?}");
    };
    assert_eq!(order.scope, ["upload", "download"]);
    assert_eq!(order.metadata["room"], "7=8");
    assert_eq!(config.access.tokens.unwrap().keys, PathBuf::from("/a"));
    let after = ["token", "--scope", "delete", "--token-keys", "/b"];
    let (_, config) = load(&after, &[shut]).unwrap();
    assert_eq!(config.access.tokens.unwrap().keys, PathBuf::from("/b"));
    assert_eq!(wrong(&["token", "--scope", "delete"], &[shut]).len(), 1);
}

/// The shipped file, with its examples instead of defaults.
const SAMPLE: &str = include_str!("../../scripts/systemd/gridspool.toml");

#[test]
fn the_sample_of_the_settings_is_right_as_it_stands_and_tells_the_true_defaults() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SAMPLE).unwrap();
    let shut = ("GRIDSPOOL_INSECURE_NO_AUTH", "false");
    let arguments = ["--config", file.path().to_str().unwrap()];
    let (_, config) = load(&arguments, &[shut]).unwrap();
    let keys = config.access.tokens.unwrap().keys;
    assert_eq!(keys, PathBuf::from("/etc/gridspool/keys.json"));
    let shown = SAMPLE.lines().filter_map(|line| line.strip_prefix('#'));
    let shown: Vec<_> = shown
        .filter(|line| line.starts_with(|char: char| char.is_ascii_lowercase()))
        .collect();
    let shown: toml::Table = shown.join("\n").parse().unwrap();
    assert!(shown.len() > 10, "{shown:?}");
    for (name, value) in shown {
        let setting = table::SETTINGS.iter().find(|known| known.name == name);
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        assert_eq!(setting.map(|known| known.default), Some(&*text), "{name}");
    }
}

/// The table for people.
const DOCUMENT: &str = include_str!("README.md");

#[test]
fn the_document_has_a_row_for_each_setting_in_its_order_and_tells_the_true_defaults() {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let shown: Vec<Vec<_>> = rows.map(|row| row.splitn(3, "` | ").collect()).collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|cells| (cells[0], cells[1].trim_start_matches('`')))
        .collect();
    let known = table::SETTINGS.iter();
    let known: Vec<_> = known.map(|known| (known.name, known.default)).collect();
    assert_eq!(shown, known);
}

#[test]
fn a_secret_does_not_show() {
    let (_, config) = load(&["--mongodb-uri", "mongodb://user:password@host/"], &[]).unwrap();
    assert!(!format!("{config:?}").contains("password"));
    assert!(config.bucket.uri.reveal().contains("password"));
}
