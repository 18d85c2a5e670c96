//! The orders of the tasks `fsck`, `gc`, `journal` and `node`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// The default age from which chunks without a file count as left behind: chunks of a commit on another
/// node or by another driver look the same for a while.
const SAFE_DAYS: &str = "7";

/// An order for `fsck`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckOrder {
    /// Age from which chunks without a file count as left behind.
    pub older_than: Duration,
    /// The most bytes to read per second; 0 means no limit.
    pub bytes_per_second: u64,
    /// The file that keeps the progress.
    pub state: Option<PathBuf>,
    /// Whether lines are JSON.
    pub is_json: bool,
}

/// An order for `gc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcOrder {
    /// Age from which chunks without a file count as left behind.
    pub older_than: Duration,
    /// Whether they are removed, or only reported.
    pub is_removing: bool,
    /// Whether ids without a time count as old.
    pub takes_foreign: bool,
    /// The number of this node, or of one without a journal, if links to its lost messages are looked for.
    pub lost_messages_of: Option<u16>,
    /// Whether lines are JSON.
    pub is_json: bool,
}

/// An order for `journal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOrder {
    /// The task.
    pub task: JournalTask,
    /// Whether lines are JSON.
    pub is_json: bool,
}

/// A task of `journal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalTask {
    /// A line for each entry.
    List,
    /// A line for each frame of this id.
    Show(String),
    /// A line for each fault.
    Verify,
    /// Writes the bodies into this new directory.
    Salvage(PathBuf),
}

/// An order for `node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOrder {
    /// Print the list of nodes.
    List {
        /// Whether lines are JSON.
        is_json: bool,
    },
    /// Register this machine's node, before its service starts.
    Add,
    /// Take a node out of the list.
    Remove {
        /// Its number.
        number: u16,
        /// Whether it goes with the files that wait there.
        is_forced: bool,
    },
}

/// The tasks, as the command line knows them.
pub(super) fn commands() -> [Command; 4] {
    let switch = |name: &'static str, help: &'static str| {
        let switch = Arg::new(name).long(name).action(ArgAction::SetTrue);
        switch.help(help)
    };
    let json = || switch("json", "print lines of JSON");
    let older_than = || {
        Arg::new("older-than-days")
            .long("older-than-days")
            .value_name("DAYS")
            .value_parser(value_parser!(u32))
            .default_value(SAFE_DAYS)
            .help("age from which chunks without a file, and lost messages, count as left behind")
    };
    let fsck = Command::new("fsck")
        .about("Reads every file of the bucket and every entry of the journal, and tells what is wrong")
        .args([
            older_than(),
            json(),
            Arg::new("bytes-per-second")
                .long("bytes-per-second")
                .value_name("BYTES")
                .value_parser(value_parser!(u64))
                .default_value("0")
                .help("how fast MongoDB is read; 0: as fast as it goes"),
            Arg::new("state")
                .long("state")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("where it is written down how far the check has come; a run that was cut goes on there"),
        ]);
    let gc = Command::new("gc")
        .about("Finds chunks that belong to no file, and with --remove removes them")
        .args([
            older_than(),
            json(),
            switch("remove", "remove what is found"),
            switch(
                "foreign",
                "count ids and chunks of other drivers that do not tell their age",
            ),
            Arg::new("lost-messages-of")
                .long("lost-messages-of")
                .value_name("NODE")
                .value_parser(value_parser!(u16).range(1..))
                .help("also find the links of files to lost messages of NODE: this node, or one whose journal was emptied, given up or taken over by this one"),
        ]);
    let journal = Command::new("journal")
        .about("Looks into the journal, and changes nothing in it")
        .arg(json().global(true))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            Command::new("ls").about("Prints a line for each entry"),
            Command::new("show")
                .about("Prints a line for each record that the log has of one entry")
                .arg(Arg::new("id").value_name("ID").required(true)),
            Command::new("verify")
                .about("Reads all of it, and prints a line for each thing that is wrong"),
            Command::new("salvage")
                .about("Writes all bodies that are whole into a new directory, with what is known of them")
                .arg(
                    Arg::new("dir")
                        .value_name("DIR")
                        .required(true)
                        .value_parser(value_parser!(PathBuf)),
                ),
        ]);
    let node = Command::new("node")
        .about("Looks after the list of nodes in MongoDB")
        .subcommand_required(true)
        .subcommands([
            Command::new("list")
                .about("Prints a line for each node, and what waits there")
                .arg(json()),
            Command::new("add")
                .about("Makes the data directory of this machine's node, and puts the node into the list"),
            Command::new("remove")
                .about("Has a node take no more files, waits until nothing is left there, and takes it out")
                .args([
                    Arg::new("number")
                        .value_name("NUMBER")
                        .required(true)
                        .value_parser(value_parser!(u16).range(1..)),
                    switch("force", "at once, with all files that wait there: they are not found any more"),
                ]),
        ]);
    [fsck, gc, journal, node]
}

/// An order for `fsck`.
pub(super) fn read_fsck(matches: &ArgMatches) -> FsckOrder {
    FsckOrder {
        older_than: older_than(matches),
        bytes_per_second: matches
            .get_one("bytes-per-second")
            .copied()
            .unwrap_or_default(),
        state: matches.get_one("state").cloned(),
        is_json: matches.get_flag("json"),
    }
}

/// An order for `gc`.
pub(super) fn read_gc(matches: &ArgMatches) -> GcOrder {
    GcOrder {
        older_than: older_than(matches),
        is_removing: matches.get_flag("remove"),
        takes_foreign: matches.get_flag("foreign"),
        lost_messages_of: matches.get_one("lost-messages-of").copied(),
        is_json: matches.get_flag("json"),
    }
}

/// An order for `journal`.
pub(super) fn read_journal(matches: &ArgMatches) -> JournalOrder {
    let task = match matches.subcommand() {
        Some(("show", show)) => {
            JournalTask::Show(show.get_one::<String>("id").cloned().unwrap_or_default())
        }
        Some(("salvage", salvage)) => JournalTask::Salvage(
            salvage
                .get_one::<PathBuf>("dir")
                .cloned()
                .unwrap_or_default(),
        ),
        Some(("verify", _)) => JournalTask::Verify,
        _ => JournalTask::List,
    };
    JournalOrder {
        task,
        is_json: matches.get_flag("json"),
    }
}

/// An order for `node`.
pub(super) fn read_node(matches: &ArgMatches) -> NodeOrder {
    match matches.subcommand() {
        Some(("add", _)) => NodeOrder::Add,
        Some(("remove", remove)) => NodeOrder::Remove {
            number: remove.get_one("number").copied().unwrap_or_default(),
            is_forced: remove.get_flag("force"),
        },
        Some((_, list)) => NodeOrder::List {
            is_json: list.get_flag("json"),
        },
        None => NodeOrder::List { is_json: false },
    }
}

fn older_than(matches: &ArgMatches) -> Duration {
    let days = matches.get_one::<u32>("older-than-days").copied();
    Duration::from_hours(24 * u64::from(days.unwrap_or_default()))
}
