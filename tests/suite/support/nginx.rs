//! A site's nginx with other words in its files than the project's: for what takes too long, or
//! too much, with those.

use super::Site;

impl Site {
    /// Replaces texts in this site's own copies of nginx's files, each named from the directory of
    /// `nginx.conf`, and starts nginx anew.
    pub(crate) fn change_nginx(&mut self, changes: &[(&str, &str, &str)]) {
        self.stop_nginx();
        for (file, from, to) in changes {
            let path = self.nginx_conf().with_file_name(file);
            let text = std::fs::read_to_string(&path).expect("a file of nginx");
            assert!(text.contains(from), "{file} has no {from}");
            std::fs::write(&path, text.replace(from, to)).expect("a file of nginx");
        }
        let port = self.url();
        self.start_nginx();
        // With files that it cannot read nginx does not start, and gets new ones.
        assert_eq!(self.url(), port, "nginx did not start with {changes:?}");
    }

    /// What the example site has logged of its requests.
    pub(crate) fn access_log(&self) -> String {
        let path = self.run_dir().join("gridspool.log");
        std::fs::read_to_string(path).expect("the log of requests")
    }
}
