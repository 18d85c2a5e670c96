//! Faults of MongoDB, made by its own failCommand.

use mongodb::bson::{Bson, Document, doc};

use crate::mongo::Mongo;

impl Mongo {
    /// Lets only the sidecars' commands fail.
    pub fn fail_sidecars(&self, mode: impl Into<Bson>, mut data: Document) {
        data.insert("appName", "gridspool");
        self.fail_command(mode, data);
    }

    /// Ends every fault. Returns the number of commands that were hit since mongod was started.
    pub fn heal(&self) -> i32 {
        let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        let before = self.admin(command);
        before.get_i32("count").expect("a count")
    }

    /// Lets sidecars neither write nor read nor see MongoDB up, as if they lacked the rights; the test
    /// itself is not affected.
    pub fn hide_from_sidecars(&self) {
        let commands = ["ping", "insert", "createIndexes", "find", "aggregate"];
        let data = doc! { "failCommands": commands.as_slice(), "errorCode": 13 };
        self.fail_sidecars("alwaysOn", data);
    }
}
