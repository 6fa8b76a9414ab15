//! The listening sockets of the hub: fronts keep their ports from one run to the next, in `.msx/ports.json`.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::mistakes;
use crate::config::Manifest;
use crate::failure::Failure;
use crate::model::ServiceName;

/// The gateway's address when the manifest names none.
const GATEWAY_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How many ports after the default one are tried.
const GATEWAY_TRIES: u16 = 100;

/// The kept ports of the fronts.
pub struct Ports {
    path: PathBuf,
    kept: BTreeMap<String, u16>,
}

impl Ports {
    /// What is not there or cannot be read counts as nothing kept: then fronts get new ports.
    pub fn load(state: &Path) -> Self {
        let path = state.join("ports.json");
        let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, kept: kept.unwrap_or_default() }
    }

    /// Binds a service's front: at the address of the manifest, else at its kept port, else at any free one.
    pub fn bind_front(
        &mut self,
        manifest: &Manifest,
        service: &ServiceName,
        fixed: Option<SocketAddr>,
    ) -> Result<TcpListener, Failure> {
        if let Some(address) = fixed {
            return bind(address)
                .map_err(|error| taken(manifest, &format!("the front of {service}"), address, &error));
        }
        let kept = self.kept.get(service.as_str()).copied();
        let listener = kept.and_then(|port| bind((Ipv4Addr::LOCALHOST, port).into()).ok());
        let listener = match listener {
            Some(listener) => listener,
            None => bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| {
                Failure::failed(format!("no free port for the front of {service}: {error}"))
            })?,
        };
        if let Ok(address) = listener.local_addr() {
            self.kept.insert(service.to_string(), address.port());
        }
        Ok(listener)
    }

    /// Keeps the ports for the next run.
    pub fn save(&self) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(&self.kept).map_err(io::Error::other);
        text.and_then(|text| std::fs::write(&self.path, text))
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", self.path.display())))
    }
}

/// Binds the gateway. Without an address in the manifest a taken port gives way to the next free one, which the
/// second part of the answer says.
pub fn bind_gateway(manifest: &Manifest) -> Result<(TcpListener, Option<String>), Failure> {
    if let Some(address) = manifest.gateway.listen.value {
        let listener = bind(address).map_err(|error| taken(manifest, "the gateway", address, &error))?;
        return Ok((listener, None));
    }
    let mut last = None;
    for port in (GATEWAY_DEFAULT.port()..).take(usize::from(GATEWAY_TRIES)) {
        match bind(SocketAddr::new(GATEWAY_DEFAULT.ip(), port)) {
            Ok(listener) if port == GATEWAY_DEFAULT.port() => return Ok((listener, None)),
            Ok(listener) => {
                let note = format!(
                    "port {} is taken, so the gateway listens on {port} (`[gateway] listen` names a fixed one)",
                    GATEWAY_DEFAULT.port()
                );
                return Ok((listener, Some(note)));
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.map_or_else(String::new, |error| format!(": {error}"));
    let first = GATEWAY_DEFAULT.port();
    Err(Failure::failed(format!(
        "none of the ports {first} to {} is free for the gateway{error}",
        first + GATEWAY_TRIES - 1
    ))
    .with_help("name one: `[gateway] listen = \"127.0.0.1:PORT\"` in services.toml"))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn taken(manifest: &Manifest, who: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let message = format!("{who} cannot listen on {address}: {error}");
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program holds port {0} (`ss -ltnp 'sport = :{0}'` shows which): end it, or change `listen`",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: use a higher one".to_owned(),
        _ => "change `listen`".to_owned(),
    };
    mistakes::of_address(manifest, address, &message, &help)
}
