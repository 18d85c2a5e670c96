//! The nginx files of a site: the project's own, with this site's paths and ports.

use std::path::Path;
use std::process::{Command, Stdio};

use super::Site;

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

impl Site {
    /// A site whose own program on this port says who may do what.
    pub(crate) fn with_own_check(port: u16) -> Self {
        let mut site = Self::without_mongodb();
        site.stop_nginx();
        let examples = site.scratch.path().join("nginx/examples");
        let example = Path::new(CHECKOUT).join("nginx.conf.d/examples/own-check.conf");
        let text = std::fs::read_to_string(example).expect("the example");
        let text = text
            .replace("127.0.0.1:8082", &format!("127.0.0.1:{}", site.http_port))
            .replace("127.0.0.1:9000", &format!("127.0.0.1:{port}"))
            .replace("/var/log/nginx", site.run_dir().to_str().expect("a text"));
        std::fs::write(examples.join("site.conf"), text).expect("the example of this site");
        site.start_nginx();
        site
    }

    /// Writes nginx's files for this site's paths and ports.
    pub(super) fn configure_nginx(&self) {
        let made = Command::new(Path::new(CHECKOUT).join("scripts/nginx-conf"))
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--socket")
            .arg(self.socket())
            .args(["--http", &format!("127.0.0.1:{}", self.http_port)])
            .args(["--https", &format!("127.0.0.1:{}", self.https_port)])
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
    }

    pub(super) fn make_certificate(&self) {
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
