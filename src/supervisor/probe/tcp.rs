//! `tcp`: whether a connection is accepted.

use tokio::net::TcpStream;

pub async fn ask(address: &str) -> Result<(), String> {
    TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())
}
