//! Random steps of links and of intents.

use super::journal::Journal;
use super::world::World;
use crate::journal::index::{Coming, Reading, Refused};
use crate::journal::record::tests::samples::{id as number, message_form};
use crate::journal::record::{Entry, Intent};

impl World {
    /// Gives a file a link, or begins a commit that knows all its links.
    pub(super) fn link(&mut self) -> Result<(), String> {
        let Some((id, Entry::File(mut file))) = self.any() else {
            return Ok(());
        };
        if self.lots.draw(3) == 0 {
            self.index.begin(id).ok();
            return Ok(());
        }
        let Some(reading) = self.read(id)? else {
            return Ok(());
        };
        file.belonging
            .links
            .push(number(u8::try_from(self.lots.draw(250)).unwrap()));
        let then = Entry::File(file);
        let decided = self.index.relink(&reading, &then, &mut self.log);
        self.decided(decided, [(id, Some(then))]);
        Ok(())
    }

    /// Makes an intent, and replaces it by a message or gives it up.
    pub(super) fn intend(&mut self) {
        let intents = self.told.iter();
        let intents = intents.filter(|(_, told)| matches!(told, Some(Entry::Intent(_))));
        let intents: Vec<_> = intents.map(|(&id, _)| id).collect();
        match self.lots.pick(&intents) {
            Some(id) if self.lots.draw(3) == 0 => {
                self.index.abandon(id);
            }
            Some(id) => {
                let form = message_form(&[id, self.new_id()]);
                self.bodies.extend(form.parts.iter().map(|part| part.id));
                let coming = Coming::form(&form).unwrap();
                let decided = self.index.come(&coming, &mut self.log);
                let files = form.files().map(|(id, file)| (id, Some(Entry::File(file))));
                self.decided(decided, files);
            }
            None => {
                let id = self.new_id();
                let intent = Intent {
                    files: vec![number(1)],
                };
                let coming = Coming::intent(id, intent.clone()).unwrap();
                let decided = self.index.come(&coming, &mut self.log);
                self.decided(decided, [(id, Some(Entry::Intent(intent)))]);
            }
        }
    }
}

/// Returns a file as it was read, with this link.
fn with_link(reading: &Reading, link: u8) -> Entry {
    let Entry::File(mut file) = reading.entry().clone() else {
        panic!("{reading:?}");
    };
    file.belonging.links.push(number(link));
    Entry::File(file)
}

#[test]
fn a_link_to_what_has_changed_since_is_refused() {
    let mut journal = Journal::with(&[number(1)]);
    let early = journal.reading(number(1));
    let link = |journal: &mut Journal, reading: &Reading, link| {
        let entry = with_link(reading, link);
        let linked = journal.index.relink(reading, &entry, &mut journal.log);
        linked.map(drop)
    };
    link(&mut journal, &early, 7).unwrap();
    let wait = link(&mut journal, &early, 8);
    assert!(matches!(wait, Err(Refused::Wait(_))), "{wait:?}");
    journal.sync();
    assert_eq!(link(&mut journal, &early, 8), Err(Refused::Moved));
    let is_moved = journal.index.check_read(&early);
    assert_eq!(is_moved, Err(Refused::Moved), "nor is it deleted by that");
    let late = journal.reading(number(1));
    link(&mut journal, &late, 8).unwrap();
    journal.sync();
    let now = journal.reading(number(1));
    let Entry::File(file) = now.entry() else {
        panic!("{now:?}");
    };
    assert_eq!(file.belonging.links, [7, 8].map(number));
}
