//! From a host's name to its addresses.

use std::net::{IpAddr, ToSocketAddrs};

use async_trait::async_trait;

use super::EgressError;

/// Finds the addresses of a name. The system does, and a script in tests.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a name.
    ///
    /// # Errors
    /// [`EgressError::Dns`] when it has none or cannot be asked for.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError>;
}

/// The system's resolver. A look-up that hangs keeps its thread; [`crate::EgressPolicy`] bounds how many run.
#[derive(Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let host = host.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            (host.as_str(), 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect())
        });
        found.await.map_err(|_| EgressError::Dns)?.map_err(|_| EgressError::Dns)
    }
}
