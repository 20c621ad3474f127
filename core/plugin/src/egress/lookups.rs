//! Look-ups under way. One can hang for long and cannot be called off, so each tenant has few at a time, and for one
//! name at a time there is one.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use rialto_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{EgressError, Resolve};
use crate::{EgressPolicy, shares::Shares};

type Found = Result<Vec<IpAddr>, EgressError>;
/// Tenants do not share look-ups: else one would wait in the other's queue.
type Name = (TenantId, String);
type Flights = Arc<Mutex<HashMap<Name, Shared<BoxFuture<'static, Found>>>>>;

/// The way from names to addresses.
pub(crate) struct Lookups {
    resolver: Arc<dyn Resolve>,
    all: Arc<Semaphore>,
    shares: Shares,
    flights: Flights,
}

impl Lookups {
    pub(crate) fn new(resolver: Arc<dyn Resolve>, policy: &EgressPolicy) -> Self {
        let all = policy.lookups.clamp(1, Semaphore::MAX_PERMITS);
        let shares = Shares::new(policy.lookups_per_tenant);
        Self { resolver, all: Arc::new(Semaphore::new(all)), shares, flights: Flights::default() }
    }

    /// The addresses of a host. Who stops waiting leaves the look-up to those who still wait, and to the next.
    pub(crate) async fn find(&self, tenant: TenantId, host: &str) -> Found {
        let name = (tenant, host.to_owned());
        let known = self.flights.lock().get(&name).cloned();
        if let Some(flight) = known {
            return flight.await;
        }
        let own = self.shares.of(tenant).acquire_owned().await.map_err(|_| EgressError::Dns)?;
        self.join(name, own).await
    }

    /// The look-up of a name that someone else has begun meanwhile, or a new one.
    fn join(&self, name: Name, own: OwnedSemaphorePermit) -> Shared<BoxFuture<'static, Found>> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&name) {
            return flight.clone();
        }
        let (resolver, all) = (Arc::clone(&self.resolver), Arc::clone(&self.all));
        let (flights_too, name_too) = (Arc::clone(&self.flights), name.clone());
        let looking = tokio::spawn(async move {
            // Made here and not outside: a runtime that goes down drops the task at once, while the list is locked.
            let landing = Landing { flights: flights_too, name: name_too };
            let shared = all.acquire_owned().await.map_err(|_| EgressError::Dns)?;
            let found = resolver.resolve(&landing.name.1).await;
            drop((landing, own, shared));
            found
        });
        let flight = looking.map(|found| found.unwrap_or(Err(EgressError::Dns))).boxed().shared();
        flights.insert(name, flight.clone());
        flight
    }
}

/// Takes a look-up off the list when it ends, however it does.
struct Landing {
    flights: Flights,
    name: Name,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.name);
    }
}
