//! Many waiters, and one leader that writes for them.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use super::{SHAPE, Stage, TestFrame, append, check_reads};
use crate::journal::wal::{AppendError, Position, Shape, Waiter, Wal};

/// Reports the outcome of its frame to a channel, and asks a thread to lead.
struct Told {
    number: u8,
    leads: mpsc::Sender<()>,
    outcomes: mpsc::Sender<(u8, Result<Position, AppendError>)>,
}

impl Waiter for Told {
    fn lead(&self) {
        self.leads.send(()).unwrap();
    }

    fn completed(self: Box<Self>, outcome: Result<Position, AppendError>) {
        self.outcomes.send((self.number, outcome)).unwrap();
    }
}

#[test]
fn what_is_appended_is_read_and_found_again_in_order() {
    let stage = Stage::new();
    let (wal, report, seen) = stage.open();
    assert_eq!((report, seen), <_>::default());
    let mut told = Vec::new();
    for number in 0..40 {
        let bodies: &[usize] = match number % 4 {
            0 => &[],
            1 => &[1],
            2 => &[700, 0, 5],
            _ => &[6_000],
        };
        told.extend(append(&wal, &[TestFrame::new(number, bodies)]));
    }
    assert!(wal.generations().len() > 3);
    check_reads(&wal, &told);
    assert_eq!(wal.verify().unwrap(), []);
    for _ in 0..2 {
        let (wal, report, seen) = stage.open();
        assert_eq!(seen, told);
        assert_eq!((report.frames, report.damages), (40, Vec::new()));
        assert!(!report.is_torn);
        check_reads(&wal, &seen);
    }
}

#[test]
fn frames_that_wait_for_one_group_share_its_fsync_and_keep_their_order() {
    let stage = Stage::new();
    let wal = Arc::new(stage.wal());
    append(&wal, &[TestFrame::new(0, &[])]);
    let sent = Arc::new(Mutex::new(Vec::new()));
    // The first group waits in its fsync until all others are queued.
    stage.disk.pause_at(1);
    thread::scope(|scope| {
        let first = scope.spawn(|| append(&wal, &[TestFrame::new(1, &[10])]));
        let mut others = Vec::new();
        stage.disk.during_pause(|| {
            for number in 2..20 {
                let (wal, sent) = (Arc::clone(&wal), Arc::clone(&sent));
                others.push(scope.spawn(move || {
                    let seen = TestFrame::new(number, &[10]);
                    let mut sent = sent.lock().unwrap();
                    let ticket = wal.queue(seen.frame()).unwrap();
                    sent.push(seen.clone());
                    drop(sent);
                    (wal.wait(&ticket).unwrap(), seen)
                }));
            }
            while wal.queued() < 18 {
                thread::yield_now();
            }
        });
        let mut told = first.join().unwrap();
        for other in others {
            told.push(other.join().unwrap());
        }
        check_reads(&wal, &told);
    });
    // There is one group of one frame, and one of eighteen; a head confirms after the last.
    let group = ["write_at", "sync_bytes"];
    assert_eq!(
        stage.disk.calls(),
        [&group[..], &group, &["write_at"]].concat()
    );
    let mut order = vec![TestFrame::new(0, &[]), TestFrame::new(1, &[10])];
    order.extend(sent.lock().unwrap().iter().cloned());
    let found = stage.open().2;
    let found: Vec<_> = found.into_iter().map(|(_, seen)| seen).collect();
    assert_eq!(found, order);
}

#[test]
fn those_who_wait_without_a_thread_are_told_once_each() {
    let stage = Stage::new();
    let wal = stage.wal();
    let (leads, asked) = mpsc::channel();
    let (told, hear) = mpsc::channel();
    for number in 0..30 {
        let waiter = Told {
            number,
            leads: leads.clone(),
            outcomes: told.clone(),
        };
        let frame = TestFrame::new(number, &[900]).frame();
        wal.queue_for(frame, Box::new(waiter)).unwrap();
    }
    assert_eq!(asked.try_iter().count(), 1);
    wal.lead();
    let heard: Vec<_> = hear.try_iter().collect();
    let numbers: Vec<_> = heard.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    let told = heard
        .into_iter()
        .map(|(number, position)| (position.unwrap(), TestFrame::new(number, &[900])));
    check_reads(&wal, &told.collect::<Vec<_>>());
}

#[test]
fn a_thread_that_has_led_finds_another_leader_for_the_rest() {
    let stage = Stage::new();
    let wal = stage.wal();
    let (leads, asked) = mpsc::channel();
    let (told, hear) = mpsc::channel();
    let first = wal.queue(TestFrame::new(0, &[9_000]).frame()).unwrap();
    for number in 1..4 {
        let waiter = Told {
            number,
            leads: leads.clone(),
            outcomes: told.clone(),
        };
        let frame = TestFrame::new(number, &[9_000]).frame();
        wal.queue_for(frame, Box::new(waiter)).unwrap();
    }
    assert_eq!(asked.try_iter().count(), 1);
    wal.wait(&first).unwrap();
    assert_eq!((hear.try_iter().count(), asked.try_iter().count()), (0, 1));
    wal.lead();
    assert_eq!(hear.try_iter().count(), 3);
}

#[test]
fn sync_returns_when_all_that_was_queued_is_written() {
    let stage = Stage::new();
    let wal = stage.wal();
    let tickets: Vec<_> = (0..5)
        .map(|number| wal.queue(TestFrame::new(number, &[9_000]).frame()).unwrap())
        .collect();
    wal.sync().unwrap();
    stage.disk.heal();
    for ticket in &tickets {
        wal.wait(ticket).unwrap();
    }
    assert_eq!(stage.disk.calls(), Vec::<&str>::new());
}

#[test]
fn a_frame_that_fits_into_no_group_is_refused_and_the_largest_one_is_not() {
    let stage = Stage::new();
    let wal = stage.wal();
    let largest = usize::try_from(SHAPE.group_bytes).unwrap() - 64;
    let empty = TestFrame::new(1, &[0]).frame().length();
    let largest = TestFrame::new(1, &[largest - empty]);
    assert!(largest.frame().length().is_multiple_of(8), "{empty}");
    let told = append(&wal, std::slice::from_ref(&largest));
    let larger = TestFrame::new(1, &[largest.bodies[0].len() + 1]);
    let refused = wal.append(larger.frame()).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge(_)), "{refused}");
    check_reads(&wal, &told);
    assert_eq!(stage.open().2, told);
}

#[test]
fn every_group_begins_on_a_block_of_its_own() {
    let stage = Stage::new();
    let wal = stage.wal();
    let told: Vec<_> = (0..3)
        .flat_map(|number| append(&wal, &[TestFrame::new(number, &[10])]))
        .collect();
    for (position, _) in told {
        let place = usize::try_from(position.place).unwrap();
        // A disk may rewrite this much to change a part of it.
        assert_eq!(place % 4096, 64);
    }
}

#[test]
fn zeros_go_ahead_of_small_groups_and_large_ones_are_written_once() {
    let shape = Shape {
        segment_bytes: 4 * 1024 * 1024,
        group_bytes: 1024 * 1024,
    };
    for (length, is_doubled) in [(100, true), (200_000, false)] {
        let stage = Stage::new();
        let wal = Wal::open(stage.volume(), shape, &mut |_| Ok(())).unwrap().0;
        let frames: Vec<_> = (0..12)
            .map(|number| TestFrame::new(number, &[length]))
            .collect();
        // The average first has to follow the new size of groups.
        append_each(&wal, &frames[..4]);
        let before = stage.disk.written_bytes();
        append_each(&wal, &frames[4..]);
        let written = stage.disk.written_bytes() - before;
        let sent: usize = frames[4..].iter().map(|frame| frame.frame().length()).sum();
        assert_eq!(written > 2 * sent, is_doubled, "{written} of {sent}");
    }
}

fn append_each(wal: &Wal, frames: &[TestFrame]) {
    for frame in frames {
        wal.append(frame.frame()).unwrap();
    }
}

#[test]
fn the_logs_clock_goes_on_from_where_it_was() {
    let stage = Stage::new();
    let wal = stage.wal();
    while wal.clock_ms() < 3 {
        thread::yield_now();
    }
    append(&wal, &[TestFrame::new(1, &[])]);
    drop::<Wal>(wal);
    assert!(stage.wal().clock_ms() >= 3);
}
