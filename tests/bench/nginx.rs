//! The nginx processes: gridspool's, with the project's files, and the variants that it is compared
//! with.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::free_port;
use rustix::process::Signal;

use crate::process::{Process, eventually};

/// One nginx on a port of its own.
#[derive(Debug)]
pub(crate) struct Nginx {
    directory: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Nginx {
    /// Starts nginx with the project's own files, as an admin gets them. The node knows `others` by
    /// their numbers.
    pub(crate) fn of_gridspool(
        directory: &Path,
        data: &Path,
        socket: &Path,
        others: &[(u16, SocketAddr)],
    ) -> Self {
        let port = free_port();
        let script = Path::new(kit::CHECKOUT).join("scripts/nginx-conf");
        let made = Command::new(script)
            .arg("--data-dir")
            .arg(data)
            .arg("--socket")
            .arg(socket)
            .args(["--http", &format!("127.0.0.1:{port}")])
            .args(others.iter().flat_map(|(number, address)| {
                ["--peer".to_owned(), format!("{number}=http://{address}")]
            }))
            .arg("--wrapper")
            .arg(directory.join("run"))
            .arg("--out")
            .arg(directory)
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "scripts/nginx-conf"
        );
        Self::started(directory, port)
    }

    /// Starts nginx alone: PUT to a directory, GET by sendfile. The settings of the whole process
    /// and, without `buffer`, the size of body buffers are those of gridspool's files.
    pub(crate) fn alone(
        directory: &Path,
        gridspool: &Self,
        data: &Path,
        buffer: Option<&str>,
    ) -> Self {
        let buffer = buffer.map_or_else(
            || gridspool.directive("client_body_buffer_size"),
            |size| format!("client_body_buffer_size {size};"),
        );
        let data = data.display();
        let server = format!(
            "client_body_temp_path {data}/temp;\n\
             {buffer}\n\
             client_max_body_size 0;\n\
             location / {{\n root {data}/files;\n dav_methods PUT DELETE;\n \
             create_full_put_path on;\n sendfile on;\n tcp_nopush on;\n}}\n"
        );
        Self::variant(directory, gridspool, "", &server)
    }

    /// Starts an nginx that takes a body in gridspool's way, with the least server behind it: it
    /// asks before the body, writes the body to a file, and passes the head to a server that only
    /// keeps that file.
    pub(crate) fn before_least(
        directory: &Path,
        gridspool: &Self,
        data: &Path,
        socket: &Path,
    ) -> Self {
        let buffer = gridspool.directive("client_body_buffer_size");
        let (data, socket) = (data.display(), socket.display());
        let before = format!("upstream least {{ server unix:{socket}; keepalive 32; }}");
        let head = "proxy_pass_request_body off;\n proxy_set_header Content-Length \"\";\n \
                    proxy_http_version 1.1;\n proxy_set_header Connection \"\";";
        let server = format!(
            "client_body_temp_path {data}/spool;\n\
             {buffer}\n\
             client_max_body_size 0;\n\
             location = /check {{\n internal;\n {head}\n proxy_pass http://least/check;\n}}\n\
             location / {{\n auth_request /check;\n client_body_in_file_only clean;\n {head}\n \
             proxy_set_header X-Body-File $request_body_file;\n proxy_pass http://least/keep/;\n}}\n"
        );
        Self::variant(directory, gridspool, &before, &server)
    }

    /// Starts nginx's cache by itself. It keeps slices of another nginx's files, as in gridspool's
    /// files, and sends files of any length by sendfile.
    pub(crate) fn caching(directory: &Path, gridspool: &Self, cache: &Path, origin: &Self) -> Self {
        let cache_path = gridspool.directive("proxy_cache_path");
        let settings = cache_path
            .split_once("levels")
            .expect("settings of a cache");
        let cache_path = format!("proxy_cache_path {} levels{}", cache.display(), settings.1);
        let before = format!(
            "{cache_path}\nupstream origin {{ server {}; keepalive 32; }}",
            origin.address()
        );
        let slices = fs::read_to_string(gridspool.directory.join("gridspool/slices.conf"));
        let slices = slices.expect("slices.conf");
        let of_gridspool_alone = |line: &&str| {
            line.trim() == "internal;" || line.trim().starts_with("include gridspool/")
        };
        let lines = slices.lines().filter(|line| !of_gridspool_alone(line));
        let location: String = lines.flat_map(|line| [line, "\n"]).collect();
        let location = location.replace("http://gridspool", "http://origin");
        let server = format!(
            "location / {{\nsendfile on;\n{location}\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n}}\n"
        );
        Self::variant(directory, gridspool, &before, &server)
    }

    /// Starts the nginx before the plain server, with nginx's own defaults.
    pub(crate) fn before_plain(
        directory: &Path,
        gridspool: &Self,
        data: &Path,
        sockets: &[&Path],
    ) -> Self {
        let data = data.display();
        let servers = sockets
            .iter()
            .map(|socket| format!("server unix:{};", socket.display()));
        let servers: String = servers.collect();
        let upstream = format!("upstream plain {{ {servers} keepalive 32; }}");
        let server = format!(
            "client_body_temp_path {data}/temp;\n\
             client_max_body_size 0;\n\
             location / {{\n proxy_pass http://plain;\n proxy_http_version 1.1;\n \
             proxy_set_header Connection \"\";\n proxy_read_timeout 300s;\n}}\n"
        );
        Self::variant(directory, gridspool, &upstream, &server)
    }

    /// Starts an nginx with gridspool's main file and a site of its own.
    fn variant(directory: &Path, gridspool: &Self, before: &str, server: &str) -> Self {
        let port = free_port();
        let run = directory.join("run");
        let theirs = gridspool.directory.join("run");
        let main = fs::read_to_string(gridspool.directory.join("nginx.conf")).expect("nginx.conf");
        let (path, own) = (theirs.display().to_string(), run.display().to_string());
        let main = main
            .replace(&path, &own)
            .replace("include gridspool.conf;", before)
            .replace(
                "include examples/*.conf;",
                &format!("server {{\nlisten 127.0.0.1:{port} backlog=65535;\n{server}}}"),
            );
        fs::create_dir_all(&run).expect("a directory");
        fs::write(directory.join("nginx.conf"), main).expect("nginx.conf");
        Self::started(directory, port)
    }

    fn started(directory: &Path, port: u16) -> Self {
        let mut nginx = Self {
            directory: directory.to_owned(),
            port,
            process: None,
        };
        nginx.restart();
        nginx
    }

    /// Returns the first line with this directive in its files; an empty string if there is none.
    fn directive(&self, name: &str) -> String {
        let mut open = vec![self.directory.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).expect("nginx's files") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if let Ok(text) = fs::read_to_string(&path) {
                    let mut lines = text.lines().map(str::trim);
                    if let Some(line) = lines.find(|line| line.starts_with(name)) {
                        return line.to_owned();
                    }
                }
            }
        }
        String::new()
    }

    /// Stops nginx if it runs, and starts it, so that its workers have served nobody yet.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let process = Process::spawn(
            Command::new("nginx")
                .arg("-p")
                .arg(self.directory.join("run"))
                .arg("-c")
                .arg(self.directory.join("nginx.conf"))
                .args(["-g", "daemon off;"])
                .stdin(Stdio::null())
                .stderr(Stdio::null()),
        );
        let process = self.process.insert(process);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        eventually("nginx listens", || {
            assert!(
                process.ended().is_none(),
                "nginx has ended: see its error log"
            );
            std::net::TcpStream::connect(address).ok()
        });
        // The master listens before its workers are there.
        eventually("nginx has workers", || {
            (process.ids().len() > 2).then_some(())
        });
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end_by(Signal::TERM);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Returns the path of its error log.
    pub(crate) fn error_log(&self) -> PathBuf {
        self.directory.join("run/error.log")
    }

    pub(crate) fn ids(&self) -> Vec<u32> {
        self.process.as_ref().map(Process::ids).unwrap_or_default()
    }
}
