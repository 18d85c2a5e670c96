//! A Debian with its own systemd and nginx from its packages: a layer over this host's files, in
//! namespaces of its own.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::process::{Process, children};
use crate::{CHECKOUT, Host, eventually, finish, program};

/// The path of this repository's clone on that machine.
pub(crate) const CLONE: &str = "/root/gridspool";

#[derive(Debug)]
pub struct Stock {
    /// The parent of the machine's first process, which ends with it.
    outer: Process,
    /// The process id of its systemd.
    init: u32,
    scratch: TempDir,
}

impl Stock {
    /// Boots a machine on this host. It has a clone of the project with its release built.
    ///
    /// # Errors
    /// The thing that this machine lacks for it.
    pub fn boot(host: &Host) -> Result<Self, String> {
        for program in ["/lib/systemd/systemd", "/usr/sbin/nginx"] {
            if !Path::new(program).exists() {
                return Err(format!("there is no {program}"));
            }
        }
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let upper = scratch.path().join("upper");
        place_clone(&upper);
        let log = File::create(scratch.path().join("log")).expect("a log");
        let mut command = host.command("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "--uts"])
            .args(["--ipc", "--cgroup", "bash"])
            .arg(Path::new(CHECKOUT).join("tests/fixtures/boot_stock.sh"))
            .arg(scratch.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let outer = Process::spawn(&mut command);
        let mut stock = Self {
            outer,
            init: 0,
            scratch,
        };
        let is_up = eventually("systemd has started all, or ended", || {
            if !stock.outer.is_running() {
                return Some(false);
            }
            stock.init = *children(stock.outer.id()).ok()?.first()?;
            let told = stock.run("systemctl is-active multi-user.target");
            told.status.success().then_some(true)
        });
        if is_up {
            Ok(stock)
        } else {
            Err(stock.boot_log())
        }
    }

    fn boot_log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).expect("a log")
    }

    /// Runs a script as root in the clone; returns how it ended.
    pub fn run(&self, script: &str) -> Output {
        let init = self.init.to_string();
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let script = format!("cd {CLONE} && {{ {script}\n}}");
        finish(
            Command::new("nsenter")
                .args(["--target", &init, "--all", "env", "-i", path])
                .args(["bash", "-euo", "pipefail", "-c", &script])
                .stdin(Stdio::null()),
        )
    }

    /// Runs a script that must succeed; returns its stdout.
    pub fn done(&self, script: &str) -> String {
        let ended = self.run(script);
        let said = String::from_utf8(ended.stdout).expect("a text");
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success(),
            "{script}\n{said}{complaint}{}",
            self.run("systemctl status --no-pager gridspool.service | tail -n 20")
                .status
        );
        said
    }

    /// Writes a file on the machine.
    pub fn write(&self, path: &str, text: &str) {
        let passing = self.scratch.path().join("passing");
        fs::write(&passing, text).expect("a file");
        // This goes through the layer's own root: the machine may not see writes to the directory
        // beneath it.
        let root = PathBuf::from(format!("/proc/{}/root", self.init));
        fs::copy(&passing, root.join(path.trim_start_matches('/'))).expect("a file in there");
    }
}

/// Puts the clone into the layer, and a cargo that does nothing.
fn place_clone(upper: &Path) {
    let clone = upper.join(CLONE.trim_start_matches('/'));
    let release = clone.join("target/release");
    let programs = upper.join("usr/local/bin");
    for directory in [&release, &programs] {
        fs::create_dir_all(directory).expect("a directory");
    }
    fs::copy(program(), release.join("gridspool")).expect("the sidecar");
    let copied = Command::new("cp")
        .args(["-R", "README.md", "scripts", "nginx.conf.d"])
        .arg(&clone)
        .current_dir(CHECKOUT)
        .status();
    assert!(copied.expect("cp").success());
    let cargo = programs.join("cargo");
    fs::write(&cargo, "#!/bin/sh\nexit 0\n").expect("a cargo");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("a mode");
    // The modes are those beneath the layer; a test may run under another mask.
    for (directory, mode) in [
        ("usr", 0o755),
        ("usr/local", 0o755),
        ("usr/local/bin", 0o755),
        ("root", 0o700),
        ("", 0o755),
    ] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(upper.join(directory), mode).expect("a mode");
    }
}
