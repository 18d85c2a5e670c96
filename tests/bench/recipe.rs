//! Messages the usual way, as most would build them in Python: see `recipe.py`. A process for each of two cores,
//! behind an nginx.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::mongo::RIVALS;
use crate::nginx::Nginx;
use crate::process::{Process, eventually};
use crate::stage::Stage;

const PROCESSES: usize = 2;

/// Its servers, while they run.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) nginx: Nginx,
    processes: Vec<Process>,
}

impl Recipe {
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }
}

impl Stage {
    /// Starts them; the stage watches them from now on.
    ///
    /// # Errors
    /// When there is no Python that has what they need.
    pub(crate) fn begin_recipe(&mut self) -> Result<(), String> {
        let python = std::env::var_os("GRIDSPOOL_RECIPE_PYTHON");
        let python = python.ok_or("GRIDSPOOL_RECIPE_PYTHON is not set")?;
        let script = Path::new(kit::CHECKOUT).join("tests/bench/recipe.py");
        let directory = self.disk.scratch.join("recipe");
        let temp = self.disk.data.join("recipe");
        for directory in [&directory, &temp] {
            std::fs::create_dir_all(directory).map_err(|err| err.to_string())?;
        }
        let sockets: Vec<PathBuf> = (0..PROCESSES)
            .map(|number| self.sockets.join(format!("recipe-{number}.sock")))
            .collect();
        let mut processes = Vec::new();
        for socket in &sockets {
            let mut process = Process::spawn(
                Command::new(&python)
                    .arg(&script)
                    .arg(socket)
                    .args([self.mongo.uri().as_str(), RIVALS])
                    .stdin(Stdio::null()),
            );
            eventually("the Python server answers", || {
                assert!(process.ended().is_none(), "it has ended");
                std::os::unix::net::UnixStream::connect(socket).ok()
            });
            processes.push(process);
        }
        let sockets: Vec<_> = sockets.iter().map(PathBuf::as_path).collect();
        let nginx = Nginx::before_plain(&directory, &self.gridspool, &temp, &sockets);
        self.recipe = Some(Recipe { nginx, processes });
        Ok(())
    }

    /// Ends them.
    pub(crate) fn end_recipe(&mut self) {
        self.recipe = None;
        for number in 0..PROCESSES {
            let socket = self.sockets.join(format!("recipe-{number}.sock"));
            // It may never have been there.
            std::fs::remove_file(socket).unwrap_or_default();
        }
    }
}
