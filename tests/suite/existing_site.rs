//! Debian's own nginx with an existing site, set up step by step as nginx.conf.d/README.md says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kit::{Client, Mongo, Network, Stock, Uploaded, eventually, finish, noise, skip, wait_until};
use mongodb::bson::{Document, doc};

const README: &str = include_str!("../../nginx.conf.d/README.md");

const PASSWORD: &str = "open-sesame-1936";

/// A site with all of our addresses of its own, and an `http` block that would break uploads and
/// downloads.
const OWN_SITE: &str = r#"
server {
  listen 80 default_server;
  listen [::]:80 default_server;
  server_name _;
  root /var/www/html;
  error_page 400 401 403 404 405 413 414 416 431 494 500 502 503 504 507 /own.html;
  client_body_in_file_only on;
  proxy_cache own;
  location = /own.html {
    internal;
    return 200 "the site's own page";
  }
  location = /healthz {
    return 200 "the site's own health";
  }
  location ~* \.(jpg|png|wav)$ {
    expires 30d;
    try_files $uri =404;
  }
  location / {
    try_files $uri $uri/ =404;
  }
  # here
}
"#;

const OWN_HTTP: &str = "
client_body_temp_path /var/lib/nginx/own-body;
proxy_cache_path /var/lib/nginx/own-cache keys_zone=own:1m;
proxy_cache_valid any 1h;
proxy_buffering off;
proxy_request_buffering off;
proxy_intercept_errors on;
proxy_ignore_headers X-Accel-Redirect Cache-Control;
proxy_buffer_size 128k;
proxy_buffers 4 256k;
proxy_busy_buffers_size 256k;
proxy_temp_file_write_size 512k;
";

/// The code blocks of this language in the steps, in order.
fn steps(language: &str) -> Vec<String> {
    let (_, section) = README
        .split_once("## nginx for an existing site\n")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// The MongoDB user of the steps.
fn user() -> Document {
    let [order] = steps("js").try_into().unwrap();
    let (_, user) = order.split_once(".createUser(").unwrap();
    let (user, _) = user.rsplit_once(')').unwrap();
    let user = user.replace("passwordPrompt()", &format!("{PASSWORD:?}"));
    let user: serde_json::Value = serde_json::from_str(&user).unwrap();
    let roles = mongodb::bson::serialize_to_bson(&user["roles"]).unwrap();
    doc! { "createUser": user["user"].as_str(), "pwd": PASSWORD, "roles": roles }
}

/// A host with an nginx that serves its operator's site, and a MongoDB with a password.
fn stage() -> Option<(Network, Mongo, Stock)> {
    let network = Network::new("the steps of nginx.conf.d/README.md on Debian's nginx", 1);
    if !network.can_cut() {
        return None;
    }
    let stock = match Stock::boot(&network.hosts[0]) {
        Ok(stock) => stock,
        Err(reason) => {
            skip(
                "the steps of nginx.conf.d/README.md on Debian's nginx",
                &reason,
            );
            return None;
        }
    };
    stock.write("/etc/nginx/sites-available/default", OWN_SITE);
    stock.write("/etc/nginx/conf.d/own.conf", OWN_HTTP);
    stock.done("systemctl start nginx");
    let mongo = Mongo::start_on(&network.hosts);
    Some((network, mongo, stock))
}

/// Follows the steps, with the operator's edits in between.
fn follow(stock: &Stock, mongo: &mut Mongo, url: &str) {
    let [places, service, files, trial] = steps("sh").try_into().unwrap();
    stock.done(&places);
    for (path, mode) in [
        ("/etc/gridspool/keys.json", "640 root:www-data"),
        ("/etc/gridspool/gridspool.toml", "640 root:www-data"),
    ] {
        let told = stock.done(&format!("stat -c '%a %U:%G' {path}"));
        assert_eq!(told.trim(), mode, "{path}");
    }
    mongo.admin(user());
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "a key that the members share").unwrap();
    std::fs::set_permissions(key.path(), PermissionsExt::from_mode(0o600)).unwrap();
    mongo.restart_guarded(key.path());
    stock.done(&format!(
        "sed -i 's/PASSWORD@127.0.0.1:27017/{PASSWORD}@{}/' /etc/gridspool/gridspool.toml
         echo 'spool_orphan_seconds = 1' >>/etc/gridspool/gridspool.toml",
        mongo.address()
    ));
    let told = stock.done(&service);
    assert!(
        told.contains("later  /run/gridspool/gridspool.sock"),
        "{told}"
    );
    assert!(!told.contains("WRONG"), "{told}");
    // No site includes our files yet.
    stock.done(&files);
    stock.done("systemctl reload nginx");
    stock.done(
        "sed -i 's|# here|include gridspool/existing-site.conf;|' /etc/nginx/sites-available/default",
    );
    let (reload, trial) = trial.split_once('\n').unwrap();
    stock.done(reload);
    // `systemctl reload` returns when the reload has begun.
    wait_until("nginx serves files", || {
        Client::of(url.to_owned(), None).get("/files/none").status == 401
    });
    let told = stock.done(&trial.replace("https://files.example.com", url));
    assert!(told.contains("HTTP/1.1 201 Created"), "{told}");
}

#[test]
fn the_steps_for_an_existing_site_work_as_they_stand_and_leave_the_site_as_it_was() {
    let Some((network, mut mongo, stock)) = stage() else {
        return;
    };
    let url = format!("http://{}", network.hosts[0].address);
    let client = Client::of(url.clone(), None);
    let own = |path: &str| {
        let answer = client.get(path);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let paths = ["/", "/healthz", "/readyz", "/none", "/none.jpg"];
    let before = paths.map(own);
    follow(&stock, &mut mongo, &url);
    assert_eq!(paths.map(own), before);
    let unreadable = raw(&network, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert!(unreadable.contains("the site's own page"), "{unreadable}");

    let token = stock.done(
        "GRIDSPOOL_TOKEN_KEYS=/etc/gridspool/keys.json scripts/token --scope 'upload download delete'",
    );
    let query = format!("?token={}", token.trim());
    // A body in the log, one linked from the spool, and one of several slices.
    for (seed, length) in [(1, 500), (2, 300_000), (3, 5_000_000)] {
        let content = noise(seed, length);
        let path = format!("/files/a.jpg{query}");
        let uploaded = Uploaded::read(&client.put(&path, &content));
        let path = format!("{}/a.jpg{query}", uploaded.path);
        assert!(client.get(&path).body == content, "{length}, pending");
        let meta = format!("{}/meta{query}", uploaded.path);
        wait_until("it is committed", || {
            client.get(&meta).json()["state"] == "committed"
        });
        assert!(client.get(&path).body == content, "{length}, committed");
        let range = client.get_with(&path, &[("Range", "bytes=7-9")]);
        assert_eq!((range.status, range.body), (206, content[7..10].to_vec()));
        // nginx refuses one, and the sidecar the other.
        for bounds in ["bytes=7-9\t", "bytes=9000000-"] {
            let refused = client.get_with(&path, &[("Range", bounds)]);
            refused.assert_problem(416, "range-not-satisfiable");
        }
        client
            .get(&uploaded.path)
            .assert_problem(401, "unauthorized");
        assert_eq!(
            client.delete(&format!("{}{query}", uploaded.path)).status,
            204
        );
        client.get(&path).assert_problem(404, "not-found");
    }
    client
        .post("/files", &[], &noise(4, 50_000))
        .assert_problem(401, "unauthorized");
    let too_long = format!(
        "DELETE /files/a{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n"
    );
    let too_long = raw(&network, too_long.as_bytes());
    assert!(
        too_long.contains("urn:gridspool:problem:too-large"),
        "{too_long}"
    );
    assert_sandboxed(&stock);
    assert_slow_uploads_stay(&network, &stock, token.trim());
    stock.done("systemctl restart gridspool");
    Uploaded::read(&client.put(&format!("/files/b.png{query}"), &noise(6, 100_000)));
    assert_eq!(paths.map(own), before);

    let log = || {
        stock.done(
            "cat /var/log/nginx/gridspool.log /var/log/nginx/gridspool.log.* 2>/dev/null || true",
        )
    };
    wait_until("the log of requests is written", || {
        log().contains("PUT /files/b.png HTTP")
    });
    let logs = stock.done("cat /var/log/nginx/access.log /var/log/nginx/gridspool.log");
    assert!(!logs.contains("token"), "{logs}");
    let bodies = stock.done("ls /var/lib/nginx/own-body /var/lib/gridspool/spool");
    assert!(!bodies.contains('0'), "{bodies}");
}

/// Sends bytes to nginx, and returns everything until it closes.
fn raw(network: &Network, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect((&*network.hosts[0].address, 80)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asserts that the sidecar runs under the unit's restrictions.
fn assert_sandboxed(stock: &Stock) {
    let told = stock.done(
        "pid=$(systemctl show --property MainPID --value gridspool)
         grep -E '^(NoNewPrivs|Seccomp|CapBnd|Uid|Umask):' /proc/$pid/status
         for path in /usr/local/bin /etc/gridspool /var/lib; do
           nsenter --target $pid --mount --setuid 0 --setgid 0 sh -c \"touch $path/x\" 2>/dev/null && echo wrote $path
         done
         stat -c '%a %U %n' /run/gridspool /run/gridspool/gridspool.sock /run/gridspool/admin.sock",
    );
    let words: Vec<&str> = told.split_whitespace().collect();
    let words = words.join(" ");
    for part in [
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "CapBnd: 0000000000000000",
        "Umask: 0077",
        "750 www-data /run/gridspool",
        "660 www-data /run/gridspool/gridspool.sock",
        "600 www-data /run/gridspool/admin.sock",
    ] {
        assert!(words.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("wrote"), "{told}");
}

/// Asserts that the sidecar sees the files that nginx has open: a slow client's body is older than a
/// spool file may be, and only the file that nobody has open is removed.
fn assert_slow_uploads_stay(network: &Network, stock: &Stock, token: &str) {
    let content = noise(7, 200_000);
    let mut slow = TcpStream::connect((&*network.hosts[0].address, 80)).unwrap();
    let head = format!(
        "PUT /files/slow HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        content.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&content[..100_000]).unwrap();
    let spool = || stock.done("ls /var/lib/gridspool/spool");
    let body = eventually("nginx spools it", || {
        let names = spool();
        (names.lines().count() == 1).then_some(names)
    });
    stock.done(
        "cd /var/lib/gridspool/spool
         runuser -u www-data -- touch -d '1 hour ago' *
         runuser -u www-data -- touch -d '1 hour ago' 9999999999",
    );
    wait_until("what nobody has open is removed", || {
        !spool().contains("9999999999")
    });
    assert_eq!(spool(), body);
    slow.write_all(&content[100_000..]).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// systemd's rating of a unit's exposure: 0 for none, 10 for full.
fn exposure(unit: &str) -> f64 {
    let told = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(format!(
            "{}/scripts/systemd/{unit}",
            env!("CARGO_MANIFEST_DIR")
        ))
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let last = told.lines().last().unwrap_or_default();
    let (_, level) = last.split_once("exposure level for ").unwrap();
    let number = level.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[test]
fn systemd_finds_little_that_the_units_are_exposed_to() {
    if Command::new("systemd-analyze").output().is_err() {
        skip("the exposure of the units", "there is no systemd-analyze");
        return;
    }
    for unit in ["gridspool.service", "gridspool.socket"] {
        let level = exposure(unit);
        assert!(level < 2.0, "{unit}: {level}");
    }
}

/// Runs the sidecar's program; returns its exit code and its output.
fn gridspool(words: &str) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_gridspool");
    let script = format!("umask 0; exec {program} {words} 2>&1");
    let ended = finish(Command::new("sh").args(["-c", &script]));
    let said = String::from_utf8(ended.stdout).unwrap();
    (ended.status.code().unwrap(), said)
}

#[test]
fn a_key_is_its_owners_alone_from_the_start_and_replaces_none() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("keys.json");
    let order = format!("key --kid a --out {}", path.display());
    assert_eq!(gridspool(&order), (0, String::new()));
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let key = std::fs::read(&path).unwrap();
    assert!(key.starts_with(b"{"));
    let (code, said) = gridspool(&order);
    assert_eq!((code, said.contains("exists")), (1, true), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), key);
}

#[test]
fn root_makes_and_judges_nothing_among_another_users_data() {
    if !rustix::process::geteuid().is_root() {
        skip("another user's data", "only root can have some");
        return;
    }
    let others = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(others.path(), Some(33), None).unwrap();
    for task in ["init", "check --insecure-no-auth --mongodb-timeout-ms 500"] {
        let (code, said) = gridspool(&format!("{task} --data-dir {}", others.path().display()));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("belongs to user 33"), "{said}");
    }
    assert_eq!(std::fs::read_dir(others.path()).unwrap().count(), 0);
}
