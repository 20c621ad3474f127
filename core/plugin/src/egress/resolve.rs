//! From a host's name to its addresses.

use std::{
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::sync::Semaphore;

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

/// The system's resolver.
pub struct SystemResolver {
    /// A look-up that hangs keeps its thread; so few enough run at a time that other blocking work finds one.
    room: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(64)) }
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| EgressError::Dns)?;
        let host = host.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect());
            drop(permit);
            found
        });
        found.await.map_err(|_| EgressError::Dns)?.map_err(|_| EgressError::Dns)
    }
}
