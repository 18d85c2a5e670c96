//! The nginx files of a site: the project's own, with this site's paths and ports.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::free_port;
use crate::{CHECKOUT, Site};

impl Site {
    /// A site with a program of its own, on this port, that decides on access.
    pub fn with_own_check(port: u16) -> Self {
        let mut site = Self::without_mongodb();
        site.put_own_check(port);
        site
    }

    /// Lets the site's own program on this port decide on access.
    pub fn put_own_check(&mut self, port: u16) {
        let own = format!("127.0.0.1:{}", self.http_port);
        let program = format!("127.0.0.1:{port}");
        let ports = [("127.0.0.1:8082", own), ("127.0.0.1:9000", program)];
        self.add_example("own-check.conf", "site.conf", &ports);
    }

    /// Restarts nginx with one more example, or with it in place of another.
    pub fn add_example(&mut self, example: &str, name: &str, changes: &[(&str, String)]) {
        self.stop_nginx();
        let path = Path::new(CHECKOUT)
            .join("nginx.conf.d/examples")
            .join(example);
        let scratch = self.scratch.path().to_str().expect("a text");
        let mut text = std::fs::read_to_string(path)
            .expect("the example")
            .replace("/var/log/nginx", &format!("{scratch}/run"))
            .replace("/etc/gridspool/tls", scratch);
        for (old, new) in changes {
            assert!(text.contains(old), "{example}: {old}");
            text = text.replace(old, new);
        }
        let path = self.scratch.path().join("nginx/examples").join(name);
        std::fs::write(path, text).expect("the example of this site");
        self.start_nginx();
    }

    /// The port of an example's own server, which was free a moment ago.
    pub fn free_port() -> u16 {
        free_port()
    }

    /// Writes nginx's files for this site's paths and ports.
    pub(crate) fn configure_nginx(&self) {
        let address = &self.builder.host.address;
        let made = Command::new(Path::new(CHECKOUT).join("scripts/nginx-conf"))
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--socket")
            .arg(self.socket())
            .args(["--http", &format!("{address}:{}", self.http_port)])
            .args(["--https", &format!("{address}:{}", self.https_port)])
            .arg("--certificate")
            .arg(self.scratch.path().join("certificate.pem"))
            .arg("--key")
            .arg(self.scratch.path().join("key.pem"))
            .args(&self.builder.nginx)
            .arg("--wrapper")
            .arg(self.run_dir())
            .arg("--out")
            .arg(self.scratch.path().join("nginx"))
            .status()
            .expect("scripts/nginx-conf");
        assert!(made.success());
        if address != "127.0.0.1" {
            self.let_balancer_ask();
        }
    }

    /// Lets a balancer on a host of its own ask for room, as edge.conf does.
    fn let_balancer_ask(&self) {
        let path = self.scratch.path().join("nginx/examples/site.conf");
        let text = std::fs::read_to_string(&path).expect("the site");
        let word = "set $gridspool_is_balancer yes;\n  include gridspool/server.conf;";
        let text = text.replace("include gridspool/server.conf;", word);
        std::fs::write(path, text).expect("the site");
    }

    /// The site's certificate and its key, in one text.
    pub(crate) fn certificate_and_key(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.scratch.path().join(name));
        let [certificate, key] = ["certificate.pem", "key.pem"].map(read);
        certificate.expect("a certificate") + &key.expect("a key")
    }

    pub(crate) fn make_certificate(&self) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=127.0.0.1"])
            .arg("-keyout")
            .arg(self.scratch.path().join("key.pem"))
            .arg("-out")
            .arg(self.scratch.path().join("certificate.pem"))
            .stderr(Stdio::null())
            .status()
            .expect("openssl");
        assert!(made.success());
    }
}
