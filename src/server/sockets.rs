//! The two sockets: inherits or binds them, serves them, and leaves them without an error for a client.
//!
//! # A restart that fails no request
//! The service manager keeps the listening socket open (systemd: `gridspool.socket`). So nginx can
//! connect at any moment, and connections that nobody has accepted wait in the kernel for the next
//! process.
//! 1. SIGTERM. The process accepts no more connections.
//! 2. Each answer closes its connection. nginx uses its idle connections before it makes new ones, so
//!    the connections in use are soon gone, and none of them is closed during a request.
//! 3. After a moment all idle connections are closed, and the process waits for running requests.
//! 4. The process ends, and with it the lock of the journal. The next process opens the journal,
//!    inherits the socket, and answers the waiting connections.
//!
//! Without such a manager nginx cannot connect between 3 and 4, and its clients get a 503.

use std::future::{Future, ready};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{ServiceFactoryExt as _, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server, ServerHandle, Service as _, fn_service};
use actix_web::http::ConnectionType;
use actix_web::web::{self, ServiceConfig};
use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::commit::Traffic;
use crate::config::Config;
use crate::http::{Connection, Node, catch_panic, check_path, count_refusal};
use crate::journal::volume::if_there;
use crate::journal::{Disk as _, LocalDisk};

/// The time that an idle connection of nginx is kept. nginx closes it earlier, so it never sends a
/// request into a connection that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The time that nginx may take to send the head of the first request on a connection. It has the head ready, so
/// only a sidecar that stands still meets the end of it, and would answer with a `408` that blames the client: nginx
/// and the watchdog give up first.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

/// The time that nginx may take to close a connection after us.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The length of step 2 for a socket that a manager keeps open.
const FAREWELL: Duration = Duration::from_millis(500);

/// Threads of each worker for adopting: each waits for the disk.
const ADOPTING_THREADS: usize = 32;

/// The common parts of both sockets.
#[derive(Debug)]
pub(super) struct Sockets<'a> {
    config: &'a Config,
    inherited: Vec<UnixListener>,
    /// Whether a socket existed before this process, and will exist after it.
    is_kept_open: bool,
    leaving: CancellationToken,
}

impl<'a> Sockets<'a> {
    /// Uses the inherited sockets, and binds the others.
    pub(super) fn new(config: &'a Config, inherited: Vec<UnixListener>) -> Self {
        Self {
            config,
            inherited,
            is_kept_open: false,
            leaving: CancellationToken::new(),
        }
    }

    /// Binds one socket, or takes the inherited one. From now on connections wait there for the server.
    pub(super) fn bind(&mut self, path: &Path, mode: u32) -> Result<UnixListener, ServeError> {
        let listener = if let Some(inherited) = self.take_inherited(path) {
            log::info!("{}: inherited", path.display());
            self.is_kept_open = true;
            inherited
        } else {
            // This replaces a stale socket; it must not replace one that another process answers.
            if UnixStream::connect(path).is_ok() {
                return Err(ServeError::SocketTaken(path.to_owned()));
            }
            if_there(LocalDisk.unlink(path)).map_err(ServeError::at(path))?;
            let bound = UnixListener::bind(path).map_err(ServeError::at(path))?;
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).map_err(ServeError::at(path))?;
            bound
        };
        // A request of nginx fails at once if the queue of the socket is full: the system's longest one.
        rustix::net::listen(&listener, i32::MAX).map_err(|err| ServeError::at(path)(err.into()))?;
        Ok(listener)
    }

    /// Prepares the server of one socket. Its requests are counted if they come from clients.
    pub(super) fn listen(
        &self,
        path: &Path,
        listener: UnixListener,
        node: &web::Data<Node>,
        traffic: Option<Arc<Traffic>>,
        routes: fn(&mut ServiceConfig),
    ) -> Result<Server, ServeError> {
        let watchdog = Arc::clone(&node.watchdog);
        let (node, leaving) = (node.clone(), self.leaving.clone());
        let app = move || {
            let (leaving, traffic) = (leaving.clone(), traffic.clone());
            App::new()
                .app_data(node.clone())
                .wrap_fn(move |request, service| {
                    if let Some(traffic) = &traffic {
                        traffic.count();
                    }
                    let checked = check_path(request.request());
                    let (answering, leaving) = (service.call(request), leaving.clone());
                    async move {
                        checked?;
                        let mut answer = catch_panic(answering).await?;
                        count_refusal(&answer);
                        if leaving.is_cancelled() {
                            let head = answer.response_mut().head_mut();
                            head.set_connection_type(ConnectionType::Close);
                        }
                        Ok(answer)
                    }
                })
                .configure(routes)
        };
        let server = Server::build()
            .workers(self.config.workers)
            .worker_max_blocking_threads(ADOPTING_THREADS)
            .disable_signals()
            .shutdown_timeout((self.config.stop_grace / 2).as_secs());
        let stopping = server.graceful_shutdown_signal();
        // HttpServer does the same, but has no place for a stream type of ours.
        let speak = move || {
            let stopping = stopping.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(CLOSE_TIMEOUT)
                // nginx closes a connection when its client has left: nobody waits for an answer then.
                .h1_allow_half_closed(false)
                .h1(map_config(app(), |()| AppConfig::default()));
            // This is called on each worker.
            drop(actix_web::rt::spawn(watchdog.pulse("a worker").beat()));
            fn_service(|stream| ready(Ok((Connection::over(stream), None)))).and_then(http)
        };
        let name = path.to_string_lossy();
        let server = server.listen_uds(name, listener, speak);
        Ok(server.map_err(ServeError::at(path))?.run())
    }

    /// The inherited socket of this path. The manager decides on its mode.
    fn take_inherited(&mut self, path: &Path) -> Option<UnixListener> {
        let is_bound_there = |listener: &UnixListener| {
            let address = listener.local_addr().ok();
            address.is_some_and(|address| address.as_pathname() == Some(path))
        };
        let place = self.inherited.iter().position(is_bound_there)?;
        Some(self.inherited.swap_remove(place))
    }

    /// Serves both until `stop`, then lets running requests end.
    pub(super) async fn serve(
        self,
        for_nginx: Server,
        for_admins: Server,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        for stranger in &self.inherited {
            log::warn!("an inherited socket is none of ours: {stranger:?}");
        }
        let handles = [for_nginx.handle(), for_admins.handle()];
        let serving = futures::future::try_join(for_nginx, for_admins);
        let stopping = async {
            stop.await; // 1
            log::info!("stopping");
            if self.is_kept_open {
                futures::future::join_all(handles.each_ref().map(ServerHandle::pause)).await;
                self.leaving.cancel(); // 2
                tokio::time::sleep(FAREWELL).await;
            }
            futures::future::join_all(handles.map(|handle| handle.stop(true))).await; // 3
        };
        let (served, ()) = futures::future::join(serving, stopping).await;
        served.map(|_| ()).map_err(ServeError::Serving) // 4
    }
}
