//! The command line: reads the settings, and ends with an exit code. Only this file reads the
//! environment.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "before there is a logger, and for the answers of tasks that end"
)]

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

use gridspool::bucket;
use gridspool::config::{Config, ConfigError, NodeOrder, Task};
use gridspool::server::{self, Life, Manager, Outcome, ServeError};
use gridspool::token::{self, MintError};
use gridspool::upkeep::{self, Listener, Progress, Report, UpkeepError};
use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// Commits allocate and free buffers many times a second. The system's own allocator keeps up to twice
/// as much memory for that, and requests the same pages from the system again and again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit codes of sysexits.h, which callers may rely on.
const USAGE: u8 = 64;
const DATA_WRONG: u8 = 65;
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    // Sockets and files are for this user alone, unless a setting says otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let loaded = Config::load(
        std::env::args_os(),
        |name| std::env::var(name).ok(),
        bucket::check_uri,
    );
    let (task, config) = match loaded {
        Ok(loaded) => loaded,
        Err(ConfigError::Usage(usage)) => return tell_usage(&usage),
        Err(ConfigError::Wrong(lines)) => {
            for line in lines {
                eprintln!("gridspool: {line}");
            }
            return ExitCode::from(CONFIGURATION);
        }
    };
    match &task {
        Task::Mint(order) => {
            let tokens = config.access.tokens.as_ref();
            return tell_minted(tokens.map(|tokens| token::mint(tokens, order)));
        }
        Task::NewKey(order) => {
            let key = token::new_key(order);
            return match (&order.out, &key) {
                (Some(path), Ok(key)) => keep(path, key),
                _ => tell_minted(Some(key)),
            };
        }
        Task::Run
        | Task::Init
        | Task::Check
        | Task::Fsck(_)
        | Task::Gc(_)
        | Task::Journal(_)
        | Task::Nodes(_) => {}
    }
    env_logger::Builder::new().parse_filters(&config.log).init();
    if let Task::Journal(order) = &task {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        return tell_done(upkeep::inspect(&config, order, &mut out));
    }
    #[cfg(feature = "failpoints")]
    if let Ok(order) = std::env::var("GRIDSPOOL_FAILPOINT")
        && let Err(err) = gridspool::journal::point::strike_at(&order)
    {
        eprintln!("gridspool: GRIDSPOOL_FAILPOINT: {err}");
        return ExitCode::from(USAGE);
    }
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(err) => {
            log::error!("no runtime: {err}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(perform(task, config))
}

/// Raises the limit of open files as far as this user may: commits of many small files hold all their
/// bodies open.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if limit.current == raised.current {
        return;
    }
    if let Err(err) = setrlimit(Resource::Nofile, raised) {
        log::warn!("file handles stay limited to {:?}: {err}", limit.current);
    }
}

async fn perform(task: Task, config: Config) -> ExitCode {
    let done = match task {
        Task::Init => server::init(&config),
        Task::Check => return check(&config).await,
        Task::Fsck(order) => {
            return report(order.is_json, "WRONG", async |tell| {
                upkeep::fsck(&config, &order, tell).await
            })
            .await;
        }
        Task::Gc(order) => {
            let mark = if order.is_removing {
                "removed"
            } else {
                "orphan"
            };
            return report(order.is_json, mark, async |tell| {
                upkeep::gc(&config, &order, tell).await
            })
            .await;
        }
        Task::Nodes(order) => {
            if order == NodeOrder::Add
                && let Err(err) = server::init(&config)
            {
                log::error!("{err}");
                return ExitCode::FAILURE;
            }
            let mut out = std::io::stdout();
            return tell_done(upkeep::nodes(&config, &order, &mut out).await);
        }
        Task::Run => match stop_signal() {
            Ok(stop) => server::run(config, manager(), stop).await,
            Err(err) => {
                log::error!("no signals: {err}");
                return ExitCode::FAILURE;
            }
        },
        // Handled before the runtime was made.
        Task::Mint(_) | Task::NewKey(_) | Task::Journal(_) => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err @ (ServeError::Keys(_) | ServeError::PeerKeys(_) | ServeError::NumberTaken(_))) => {
            log::error!("{err}");
            ExitCode::from(CONFIGURATION)
        }
        Err(ServeError::Journal(err)) if err.is_of_another_format() => {
            log::error!("{err}");
            ExitCode::from(CONFIGURATION)
        }
        Err(err) => {
            log::error!("{err}");
            ExitCode::FAILURE
        }
    }
}

async fn check(config: &Config) -> ExitCode {
    let findings = server::check(config).await;
    for finding in &findings {
        match &finding.outcome {
            Outcome::Good => println!("good   {}", finding.subject),
            Outcome::Later(how) => println!("later  {}: {how}", finding.subject),
            Outcome::Wrong(fault) => println!("WRONG  {}: {fault}", finding.subject),
        }
    }
    let mut outcomes = findings.iter().map(|finding| &finding.outcome);
    if outcomes.any(|outcome| matches!(outcome, Outcome::Wrong(_))) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The service manager that started this process, if it left word in the environment. Without one, nothing
/// is told.
fn manager() -> Manager {
    Manager {
        sockets: inherited_sockets(),
        tell: tell_manager,
    }
}

fn tell_manager(life: Life) {
    let word = match life {
        Life::Ready => NotifyState::Ready,
        Life::GoesOn => NotifyState::Watchdog,
        Life::Stops => NotifyState::Stopping,
    };
    if let Err(err) = sd_notify::notify(&[word]) {
        // This would come once a second.
        let level = if life == Life::GoesOn {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(level, "the service manager cannot be told {life:?}: {err}");
    }
}

/// The sockets that a service manager has opened and passed on, by `LISTEN_FDS` and `LISTEN_PID`
/// (`sd_listen_fds(3)`).
fn inherited_sockets() -> Vec<UnixListener> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for place in 0..passed.len() {
        match passed.take_unix_listener(place) {
            Ok(socket) => sockets.extend(socket),
            Err(err) => log::warn!("an inherited handle is no unix socket that listens: {err}"),
        }
    }
    sockets
}

/// Runs a task of `upkeep`, and prints its reports.
async fn report(
    is_json: bool,
    mark: &'static str,
    work: impl AsyncFnOnce(Listener<'_>) -> Result<Progress, UpkeepError>,
) -> ExitCode {
    let (mut out, mut terminal) = (std::io::stdout(), std::io::stderr());
    let is_watched = terminal.is_terminal();
    let mut report = Report {
        out: &mut out,
        terminal: is_watched.then_some(&mut terminal),
        is_json,
        mark,
    };
    let done = work(&mut |event| report.tell(&event)).await;
    tell_done(done.map(|progress| {
        report.finish(&progress);
        progress.findings
    }))
}

/// The exit code of a task that looks for faults.
fn tell_done(done: Result<u64, UpkeepError>) -> ExitCode {
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DATA_WRONG),
        Err(err) => {
            log::error!("not finished: {err}");
            match err {
                UpkeepError::NoId(_) => ExitCode::from(USAGE),
                UpkeepError::Journal(err) if err.is_of_another_format() => {
                    ExitCode::from(CONFIGURATION)
                }
                UpkeepError::Journal(_)
                | UpkeepError::DamagedLog
                | UpkeepError::Uri(_)
                | UpkeepError::Store(_)
                | UpkeepError::Absent(_)
                | UpkeepError::Salvage(_)
                | UpkeepError::Nodes(_)
                | UpkeepError::Output(_)
                | UpkeepError::State { .. } => ExitCode::FAILURE,
            }
        }
    }
}

/// Completes at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints a token or a key, or why there is none.
fn tell_minted(minted: Option<Result<String, MintError>>) -> ExitCode {
    match minted {
        Some(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Some(Err(err)) => {
            eprintln!("gridspool: {err}");
            ExitCode::from(match err {
                MintError::Scope(_) => USAGE,
                MintError::Keys(_) | MintError::NoKey(_) | MintError::Failed(_) => CONFIGURATION,
            })
        }
        None => ExitCode::from(CONFIGURATION),
    }
}

/// Writes a key to a new file that only its owner can read, from the first byte on.
fn keep(path: &Path, key: &str) -> ExitCode {
    let mut new = File::options();
    let made = new.write(true).create_new(true).mode(0o600).open(path);
    match made.and_then(|mut file| writeln!(file, "{key}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("gridspool: {}: {err}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// Prints the help, the version, or the error of the command line.
fn tell_usage(usage: &clap::Error) -> ExitCode {
    let text = usage.render();
    if usage.use_stderr() {
        eprint!("{text}");
        ExitCode::from(USAGE)
    } else {
        print!("{text}");
        ExitCode::SUCCESS
    }
}
