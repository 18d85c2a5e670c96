//! Every operation is cut before each of its calls: by a kill, and by a power cut that forgets
//! what was not fsynced.

use super::disk::FaultyDisk;
use super::operations::{Entry, OPERATIONS, Place, Stage, check_after_restart};
use super::scratch::{Scratch, room};
use super::unsynced::Tear;
use crate::journal::{Disk as _, Journal, Room};

/// What a cut takes away beside the process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// A kill: the kernel lives on, and writes everything.
    Nothing,
    /// A power cut. If a number is there, the file system wrote all names by itself just before
    /// that call.
    Unsynced(Option<usize>),
    /// A power cut just after another upload has fsynced the directory of bodies.
    AllButBodies,
    /// A kill, and a power cut after a start has told what it found.
    AfterStart,
}

/// How something ends that writes into files.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Kill,
    PowerCut(Tear),
    /// As [`Loss::AfterStart`].
    AfterStart(Tear),
    /// The same, and an fsync in which the kill came had failed.
    GivenUp(Tear),
}

impl End {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        // Of what is torn by sectors, old bytes stay between new ones.
        let tears = Tear::ALL.into_iter().chain((0..2).map(Tear::Sectors));
        // A start tells the same whatever the power cut behind it leaves.
        let after = [Tear::Nothing, Tear::Half, Tear::Sectors(0)];
        let after = after
            .into_iter()
            .flat_map(|tear| [Self::AfterStart(tear), Self::GivenUp(tear)]);
        [Self::Kill]
            .into_iter()
            .chain(tears.map(Self::PowerCut))
            .chain(after)
    }

    /// Makes the disk stop before a call.
    pub(super) fn stop(self, disk: &FaultyDisk, call: usize) {
        match self {
            Self::Kill | Self::PowerCut(_) | Self::AfterStart(_) => disk.stop_at(call),
            Self::GivenUp(_) => {
                disk.set_forgetful();
                disk.stop_at(call);
            }
        }
    }

    /// Takes away what is lost; returns what a start tells before, if there is one.
    pub(super) fn lose<T>(self, scratch: &Scratch, tell: impl Fn(&Journal) -> T) -> Option<T> {
        scratch.disk.heal();
        let (tear, told) = match self {
            Self::Kill => return None,
            Self::PowerCut(tear) => (tear, None),
            Self::AfterStart(tear) | Self::GivenUp(tear) => (tear, Some(tell(&scratch.journal()))),
        };
        scratch.disk.set_tear(tear);
        scratch.cut_power();
        told
    }
}

pub(super) fn losses(call: usize) -> Vec<Loss> {
    let mut losses = vec![
        Loss::Nothing,
        Loss::Unsynced(None),
        Loss::AllButBodies,
        Loss::AfterStart,
    ];
    losses.extend((0..=call).map(|at| Loss::Unsynced(Some(at))));
    losses
}

/// Makes the disk stop before a call, as it is before this loss.
pub(super) fn stop(disk: &FaultyDisk, call: usize, loss: Loss) {
    disk.stop_at(call);
    if let Loss::Unsynced(Some(at)) = loss {
        disk.checkpoint_at(at);
    }
}

/// Takes away what a cut takes, and adds the places where entries may be for that.
pub(super) fn lose(scratch: &Scratch, loss: Loss, expected: &mut [(Entry, Vec<Place>)]) {
    if matches!(loss, Loss::Nothing) {
        return;
    }
    scratch.disk.heal();
    if matches!(loss, Loss::AfterStart) {
        let journal = scratch.journal();
        for (entry, places) in expected {
            let told = room(&journal, entry.id);
            assert!(places.contains(&told), "{} is in {told:?}", entry.name);
            *places = vec![told];
        }
        drop(journal);
        scratch.cut_power();
        return;
    }
    if matches!(loss, Loss::AllButBodies) {
        let bodies = scratch.layout().bodies();
        scratch.disk.sync_directory(&bodies).unwrap();
    }
    scratch.cut_power();
    for (entry, places) in expected {
        // Nothing is fsynced when an entry is settled: it is committed once more then.
        if entry.room == Room::Settled && places.contains(&Some(Room::Settled)) {
            places.extend([Some(Room::Incoming), Some(Room::Hold)]);
        }
    }
}

/// Kills the sidecar before a call of what `act` does, cuts the power perhaps, and starts anew.
/// `act` returns the entries with their places.
fn cut(case: &str, call: usize, loss: Loss, act: impl FnOnce(&Stage) -> Vec<(Entry, Vec<Place>)>) {
    let stage = Stage::new();
    stop(&stage.scratch.disk, call, loss);
    let mut expected = act(&stage);
    let Stage {
        scratch, journal, ..
    } = stage;
    drop(journal);
    lose(&scratch, loss, &mut expected);
    let journal = check_after_restart(case, &scratch, &expected);
    drop(journal);
    check_after_restart(&format!("{case}, twice"), &scratch, &expected);
}

#[test]
fn a_cut_at_any_moment_of_an_operation_loses_no_promise() {
    for operation in &OPERATIONS {
        for call in 0..=operation.calls() {
            for loss in losses(call) {
                let case = format!("{} cut before call {call}, {loss:?}", operation.name);
                cut(&case, call, loss, |stage| {
                    let is_ok = operation.run_on(stage).is_ok();
                    let entries = stage.entries.iter().cloned();
                    entries
                        .map(|entry| {
                            let mut places = operation.places(&entry, is_ok);
                            let is_target = operation.targets.contains(&entry.name);
                            if is_target && !matches!(loss, Loss::Nothing) {
                                places.extend(operation.undone);
                            }
                            (entry, places)
                        })
                        .collect()
                });
            }
        }
    }
}

#[test]
fn a_cut_at_any_moment_of_an_adoption_leaves_a_whole_entry_or_none() {
    for call in 0..=8 {
        for loss in losses(call) {
            let case = format!("adoption cut before call {call}, {loss:?}");
            cut(&case, call, loss, |stage| {
                let adopted = stage.scratch.try_adopt(&stage.journal, b"new");
                assert_eq!(adopted.is_ok(), call == 8, "{case}: {adopted:?}");
                let mut expected: Vec<_> = stage
                    .entries
                    .iter()
                    .map(|entry| (entry.clone(), vec![Some(entry.room)]))
                    .collect();
                let layout = stage.scratch.layout();
                let found = std::fs::read_dir(layout.bodies()).unwrap();
                let mut bodies = found.filter_map(|found| {
                    let name = found.unwrap().file_name();
                    name.to_str().unwrap().parse().ok()
                });
                let is_known = |id| stage.entries.iter().any(|entry| entry.id == id);
                if let Some(id) = bodies.find(|&id| !is_known(id)) {
                    let entry = Entry {
                        name: "new",
                        id,
                        content: b"new".to_vec(),
                        room: Room::Incoming,
                    };
                    let promised = vec![Some(Room::Incoming)];
                    let nobody_was_told = vec![Some(Room::Incoming), None];
                    let places = [nobody_was_told, promised];
                    expected.push((entry, places[usize::from(adopted.is_ok())].clone()));
                }
                expected
            });
        }
    }
}
