//! Changes the nginx files of a site, for values of the project's own files that would take too
//! long or too much in a test.

use std::process::Stdio;

use rustix::process::Signal;

use crate::process::{children, on_path};
use crate::{Process, Site, eventually};

impl Site {
    /// Returns how many files nginx's cache has.
    pub fn cached_files(&self) -> usize {
        self.cached().len()
    }

    /// Returns how many bytes the files of nginx's cache have.
    pub fn cached_bytes(&self) -> usize {
        let bytes: u64 = self.cached().iter().sum();
        usize::try_from(bytes).expect("a number")
    }

    /// The lengths of all files of nginx's cache.
    fn cached(&self) -> Vec<u64> {
        let mut open = vec![self.data_dir().join("cache")];
        let mut files = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("a name").path();
                // nginx may have named or removed it since.
                match std::fs::metadata(&path) {
                    Ok(found) if found.is_dir() => open.push(path),
                    Ok(found) => files.push(found.len()),
                    Err(_) => {}
                }
            }
        }
        files
    }

    /// Starts nginx and waits for nothing, except for its master if that leaves its parent.
    pub(crate) fn spawn_nginx(&self) -> Process {
        let is_daemon = self.builder.is_nginx_daemon;
        let pid_file = self.run_dir().join("nginx.pid");
        // An nginx that was killed leaves this file.
        std::fs::remove_file(&pid_file).unwrap_or_default();
        // An upgrade runs the program by this name, and looks for it nowhere else.
        let program = on_path("nginx").expect("an nginx");
        let daemon = ["daemon off;", "daemon on;"][usize::from(is_daemon)];
        let mut command = self.builder.host.command(program);
        command.arg("-p").arg(self.run_dir());
        command.arg("-c").arg(self.nginx_conf());
        command.args(["-g", daemon]);
        let mut nginx = Process::spawn(command.stderr(Stdio::null()));
        if !is_daemon {
            return nginx;
        }
        let status = eventually("nginx has left its parent", || nginx.end());
        if !status.success() {
            return nginx;
        }
        Process::heir(eventually("nginx tells its process id", || {
            std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
        }))
    }

    /// Makes nginx start its successor, as an upgrade does: from here on both serve. Returns the
    /// successor's process id.
    pub fn start_nginx_successor(&self) -> u32 {
        let old = self.nginx_id();
        self.nginx.as_ref().expect("an nginx").signal(Signal::USR2);
        eventually("nginx has a successor", || {
            let id = std::fs::read_to_string(self.run_dir().join("nginx.pid")).ok()?;
            let id: u32 = id.trim().parse().ok().filter(|id| *id != old)?;
            children(id).is_ok_and(|ids| !ids.is_empty()).then_some(id)
        })
    }

    /// Ends the old nginx after its last request; the successor is this site's nginx from here on.
    pub fn end_nginx_for(&mut self, successor: u32) {
        self.nginx.take().expect("an nginx").end_by(Signal::QUIT);
        self.nginx = Some(Process::heir(successor));
    }

    /// Replaces texts in this site's own copies of nginx's files, each named from the directory of
    /// `nginx.conf`, and restarts nginx.
    pub fn change_nginx(&mut self, changes: &[(&str, &str, &str)]) {
        self.stop_nginx();
        for (file, from, to) in changes {
            let path = self.nginx_conf().with_file_name(file);
            let text = std::fs::read_to_string(&path).expect("a file of nginx");
            assert!(text.contains(from), "{file} has no {from}");
            std::fs::write(&path, text.replace(from, to)).expect("a file of nginx");
        }
        let port = self.url();
        self.start_nginx();
        // nginx does not start with files that it cannot read, and then gets new ones.
        assert_eq!(self.url(), port, "nginx did not start with {changes:?}");
    }

    /// Makes nginx read its files again, and go on with new workers.
    pub fn reload_nginx(&self) {
        let before = self.nginx_workers();
        self.nginx.as_ref().expect("an nginx").signal(Signal::HUP);
        eventually("nginx has new workers", || {
            let now = self.nginx_workers();
            let is_new = |id: &u32| !before.contains(id);
            now.iter().any(is_new).then_some(())
        });
    }

    /// Returns the log of requests of the example site.
    pub fn access_log(&self) -> String {
        let path = self.run_dir().join("gridspool.log");
        std::fs::read_to_string(path).expect("the log of requests")
    }
}
