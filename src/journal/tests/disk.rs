//! A disk that fails on demand, and that can lose unsynced data.

mod lasting;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};

use super::fault::{Fault, Plan, Refusal};
use super::unsynced::{Tear, Unsynced};
use crate::journal::{Disk, LocalDisk};

/// Counts its calls, and fails the chosen ones. An fsync costs nothing here: it only marks the data
/// that [`FaultyDisk::cut_power`] keeps.
#[derive(Debug, Clone)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    /// Both threads meet here before and after a pause.
    pause: Arc<Barrier>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    pause: Option<usize>,
    calls: Vec<&'static str>,
    free_bytes: Option<u64>,
    /// Whether files cannot grow.
    is_full: bool,
    /// The error of asking for free inodes. It is asked for together with the bytes, and not counted.
    inodes: Option<Fault>,
    written_bytes: usize,
    /// The blocks with these bytes cannot be read.
    bad: Option<Vec<u8>>,
    unsynced: Unsynced,
}

impl FaultyDisk {
    /// Keeps unlinked files that a power cut would bring back in the directory `graveyard`.
    pub(crate) fn new(graveyard: PathBuf) -> Self {
        fs::create_dir(&graveyard).unwrap();
        let state = State {
            plan: Plan::Sound,
            pause: None,
            calls: Vec::new(),
            free_bytes: None,
            is_full: false,
            inodes: None,
            written_bytes: 0,
            bad: None,
            unsynced: Unsynced::new(graveyard),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            pause: Arc::new(Barrier::new(2)),
        }
    }

    /// Counts from zero again, and fails nothing.
    pub(in crate::journal) fn heal(&self) {
        self.plan(Plan::Sound);
    }

    /// Lets one call fail, counted from now.
    pub(crate) fn fail_once(&self, call: usize, fault: Fault) {
        self.plan(Plan::Once(call, fault));
    }

    /// Panics in one call instead of carrying it out, counted from now.
    pub(in crate::journal) fn panic_once(&self, call: usize) {
        self.plan(Plan::Panic(call));
    }

    /// Like [`FaultyDisk::panic_once`], without a new count.
    pub(in crate::journal) fn panic_then(&self, call: usize) {
        self.state().plan = Plan::Panic(call);
    }

    /// Refuses all calls from this one on, counted from now, as if the process were dead.
    pub(in crate::journal) fn stop_at(&self, call: usize) {
        self.plan(Plan::From(call));
    }

    /// Lets one call wait, counted from now, until [`FaultyDisk::during_pause`] is over.
    pub(in crate::journal) fn pause_at(&self, call: usize) {
        self.plan(Plan::Sound);
        self.state().pause = Some(call);
    }

    /// Like [`FaultyDisk::stop_at`], without a new count.
    pub(in crate::journal) fn stop_then(&self, call: usize) {
        self.state().plan = Plan::From(call);
    }

    /// Like [`FaultyDisk::fail_once`], without a new count.
    pub(in crate::journal) fn fail_then(&self, call: usize, fault: Fault) {
        self.state().plan = Plan::Once(call, fault);
    }

    /// Runs a function while another thread waits in the paused call.
    pub(in crate::journal) fn during_pause(&self, act: impl FnOnce()) {
        self.pause.wait();
        act();
        self.pause.wait();
    }

    /// The calls since the last plan.
    pub(in crate::journal) fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// The sum of all writes, including those that replaced other bytes.
    pub(in crate::journal) fn written_bytes(&self) -> usize {
        self.state().written_bytes
    }

    /// Takes back every change of a name in a directory that was not fsynced since, and half of
    /// every file that was not fsynced.
    pub(in crate::journal) fn cut_power(&self, directories: &[PathBuf]) {
        self.state().unsynced.lose(directories);
    }

    /// Sets which unsynced parts of the log survive a power cut.
    pub(in crate::journal) fn set_tear(&self, tear: Tear) {
        self.state().unsynced.tear = tear;
    }

    /// Lets the kernel drop the data of a failed fsync.
    pub(in crate::journal) fn set_forgetful(&self) {
        self.state().unsynced.is_forgetful = true;
    }

    fn plan(&self, plan: Plan) {
        let mut state = self.state();
        state.plan = plan;
        state.calls.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts a call; `Err` if it must not be carried out.
    fn step(&self, name: &'static str) -> Result<MutexGuard<'_, State>, Refusal> {
        let mut state = self.state();
        let call = state.calls.len();
        state.calls.push(name);
        if state.pause == Some(call) {
            state.pause = None;
            drop(state);
            self.pause.wait();
            self.pause.wait();
            state = self.state();
        }
        match state.plan {
            Plan::Once(at, fault) if at == call => Err(Refusal {
                error: fault.error(),
                is_torn: fault.tears(),
            }),
            Plan::From(at) if at <= call => Err(Refusal {
                error: io::Error::other("the process is dead"),
                is_torn: at == call,
            }),
            Plan::Panic(at) if at == call => {
                drop(state);
                panic!("the disk, call {call}: {name}");
            }
            Plan::Sound | Plan::Once(..) | Plan::From(_) | Plan::Panic(_) => Ok(state),
        }
    }
}

impl Disk for FaultyDisk {
    fn read_at(&self, file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_unless_bad(file, into, offset)
    }

    fn link(&self, file: &File, to: &Path) -> io::Result<()> {
        let mut state = self.step("link")?;
        state.unsynced.change(to);
        state.unsynced.name(file, to);
        LocalDisk.link(file, to)
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<File> {
        let written = match self.step("create") {
            Ok(state) if state.is_full && !content.is_empty() => return Err(Fault::Full.error()),
            Ok(mut state) => {
                state.unsynced.change(path);
                content
            }
            Err(refusal) if refusal.is_torn => {
                self.state().unsynced.change(path);
                LocalDisk.create(path, &content[..content.len() / 2])?;
                return Err(refusal.error);
            }
            Err(refusal) => return Err(refusal.error),
        };
        let file = LocalDisk.create(path, written)?;
        self.state().unsynced.write(&file);
        Ok(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match self.step("allocate") {
            Ok(state) if state.is_full => Err(Fault::Full.error()),
            Ok(_) => LocalDisk.allocate(file, bytes),
            Err(refusal) => Err(refusal.error),
        }
    }

    fn write_at(&self, file: &File, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let bytes = &pieces.concat();
        let refusal = match self.step("write_at") {
            Ok(state) if state.is_full && file.metadata()?.len() < offset + 1 => {
                return Err(Fault::Full.error());
            }
            Ok(mut state) => {
                state.written_bytes += bytes.len();
                state.unsynced.overwrite(file, bytes, offset);
                return LocalDisk.write_at(file, pieces, offset);
            }
            Err(refusal) => refusal,
        };
        if refusal.is_torn {
            self.state().unsynced.overwrite(file, bytes, offset);
            LocalDisk.write_at(file, &[&bytes[..bytes.len() / 2]], offset)?;
        }
        Err(refusal.error)
    }

    fn copy(&self, from: &File, to: &File, offset: u64, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        from.read_exact_at(&mut bytes, 0)?;
        self.write_at(to, &[&bytes], offset)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        let _state = self.step("truncate")?;
        LocalDisk.truncate(file, length)
    }

    fn sync_bytes(&self, file: &File) -> io::Result<()> {
        let ino = file.metadata()?.ino();
        let mut state = self.step("sync_bytes").map_err(|refusal| {
            self.state().unsynced.forget(ino);
            refusal.error
        })?;
        state.unsynced.keep(ino);
        Ok(())
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut state = self.step("sync_file")?;
        state.unsynced.keep(file.metadata()?.ino());
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Before a pause: an fsync covers the changes that were made before it began.
        let names = self.state().unsynced.names_in(path);
        self.step("sync_directory")?.unsynced.sync(&names);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.step("rename")?;
        state.unsynced.change(to);
        state.unsynced.change(from);
        if let Some(before) = state.unsynced.names.get_mut(from) {
            before.moved_to = Some(to.to_owned());
        }
        LocalDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.step("unlink")?;
        state.unsynced.change(path);
        LocalDisk.unlink(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let free = self.step("free_bytes")?.free_bytes;
        free.map_or_else(|| LocalDisk.free_bytes(path), Ok)
    }

    fn free_inodes(&self, path: &Path) -> io::Result<u64> {
        let fault = self.state().inodes;
        fault.map_or_else(|| LocalDisk.free_inodes(path), |fault| Err(fault.error()))
    }
}
