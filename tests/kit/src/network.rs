//! Hosts with addresses of their own, and links that can be cut: network namespaces on a bridge.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;

use crate::skip;

/// The greatest number of bridges on a machine at the same time: each has a /24 of 198.18.0.0/15, which
/// no real network uses.
const SUBNETS: u32 = 512;

/// A bridge with hosts. Dropping it removes all of them; processes on its hosts must be dropped before.
/// If namespaces are not permitted, the hosts are addresses of the loopback interface.
#[derive(Debug)]
pub struct Network {
    /// The number of a bridge that was made.
    subnet: Option<u32>,
    pub hosts: Vec<Host>,
}

/// The place of processes: this machine, or a namespace.
#[derive(Debug, Clone)]
pub struct Host {
    pub address: String,
    /// The name of the namespace, and of the bridge's end of its cable.
    namespace: Option<String>,
}

impl Network {
    /// Makes `hosts` hosts. Without the right to make them, the test is reported as skipped in
    /// part.
    pub fn new(test: &str, hosts: u8) -> Self {
        match make_bridge() {
            Ok(subnet) => {
                let mut network = Self {
                    subnet: Some(subnet),
                    hosts: Vec::new(),
                };
                for number in 1..=hosts {
                    network.hosts.push(make_host(subnet, number));
                }
                network
            }
            Err(reason) => {
                skip(test, &format!("no link can be cut: {reason}"));
                let on_loopback = |number| Host {
                    address: format!("127.0.0.{}", number + 1),
                    namespace: None,
                };
                Self {
                    subnet: None,
                    hosts: (1..=hosts).map(on_loopback).collect(),
                }
            }
        }
    }

    /// Whether [`Network::cut`] and [`Network::plug`] do anything.
    pub fn can_cut(&self) -> bool {
        self.subnet.is_some()
    }

    /// Blocks all traffic between two groups of hosts, silently and in both directions.
    pub fn cut(&self, some: &[usize], others: &[usize]) {
        for (from, to) in [(some, others), (others, some)] {
            let addresses: Vec<_> = from
                .iter()
                .map(|host| &*self.hosts[*host].address)
                .collect();
            for host in to {
                self.hosts[*host].filter(&format!(
                    "add table ip cut\n\
                     add chain ip cut in {{ type filter hook input priority 0; }}\n\
                     add rule ip cut in ip saddr {{ {} }} drop\n",
                    addresses.join(", ")
                ));
            }
        }
    }

    /// Ends every [`Network::cut`].
    pub fn heal(&self) {
        for host in &self.hosts {
            host.filter("add table ip cut\ndelete table ip cut\n");
        }
    }

    /// Takes a host off the network, or puts it back.
    pub fn plug(&self, host: usize, is_plugged: bool) {
        if let Some(namespace) = &self.hosts[host].namespace {
            let state = if is_plugged { "up" } else { "down" };
            ip(&format!("link set {namespace} {state}\n")).expect("a link");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(subnet) = self.subnet else { return };
        let hosts = self.hosts.iter().filter_map(|host| host.namespace.as_ref());
        let mut commands: Vec<_> = hosts
            .flat_map(|name| [format!("link del {name}\n"), format!("netns del {name}\n")])
            .collect();
        commands.push(format!("link del gs{subnet}\n"));
        for command in commands {
            if let Err(reason) = ip(&command) {
                eprintln!("{command}{reason}");
            }
        }
    }
}

impl Default for Host {
    /// This machine.
    fn default() -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            namespace: None,
        }
    }
}

impl Host {
    /// Makes a command that runs there, with a process id of its own and no process between.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(namespace) = &self.namespace else {
            return Command::new(program);
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    fn filter(&self, rules: &str) {
        if self.namespace.is_some() {
            let done = feed(self.command("nft").args(["-f", "-"]), rules);
            assert!(done.status.success(), "{rules}{done:?}");
        }
    }
}

/// Makes a bridge that no other test has, with an address of this machine; returns the number of
/// its subnet.
fn make_bridge() -> Result<u32, String> {
    if !geteuid().is_root() {
        return Err("only root can make network namespaces".to_owned());
    }
    for tool in ["ip", "nft"] {
        if Command::new(tool).arg("-V").output().is_err() {
            return Err(format!("{tool} is not installed"));
        }
    }
    let first = std::process::id();
    for subnet in (first..first + SUBNETS).map(|number| number % SUBNETS) {
        // The name is made of the number of the subnet, so a free name means a free subnet.
        match ip(&format!("link add gs{subnet} type bridge\n")) {
            Ok(()) => {
                let address = address(subnet, 254);
                let made = ip(&format!(
                    "addr add {address}/24 dev gs{subnet}\nlink set gs{subnet} up\n"
                ));
                return made.map(|()| subnet);
            }
            Err(reason) if reason.contains("File exists") => {}
            Err(reason) => return Err(reason),
        }
    }
    Err("all names are taken".to_owned())
}

fn make_host(subnet: u32, number: u8) -> Host {
    let name = format!("gs{subnet}-{number}");
    let host = Host {
        address: address(subnet, number),
        namespace: Some(name.clone()),
    };
    let made = ip(&format!(
        "netns add {name}\n\
         link add {name} type veth peer name eth0 netns {name}\n\
         link set {name} master gs{subnet} up\n"
    ));
    made.expect("a namespace");
    let address = &host.address;
    for words in [
        "link set lo up",
        &format!("addr add {address}/24 dev eth0"),
        "link set eth0 up",
    ] {
        let done = host.command("ip").args(words.split(' ')).status();
        assert!(done.expect("ip").success(), "{words}");
    }
    host
}

fn address(subnet: u32, number: u8) -> String {
    format!("198.{}.{}.{number}", 18 + subnet / 256, subnet % 256)
}

/// Runs commands of ip(8), one a line; returns its message if it fails.
fn ip(commands: &str) -> Result<(), String> {
    let done = feed(Command::new("ip").args(["-batch", "-"]), commands);
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned())
}

fn feed(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ip or nft");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("its input");
    drop(stdin);
    child.wait_with_output().expect("its end")
}
