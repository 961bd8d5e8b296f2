//! How many requests are in work at the same time. What is over that is refused at once: a queue would only make everybody
//! wait until nobody wants the answer any more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use switchboard_core::{
    deadline,
    error::{Error, ErrorKind, Result},
    ports::Clock,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// Requests to `/health` and `/metrics` in work at the same time, beside all others: they answer when nothing else does.
const WATCHERS: usize = 16;
/// How long one of them waits for its place: a look at the server is worth a wait, and there are few who look.
const WATCHER_WAIT: Duration = Duration::from_secs(2);
/// How long a request whose body has arrived waits for its place: the body was read already, so a short wait is worth it.
const PLACE_WAIT: Duration = Duration::from_millis(250);

/// What a request is told that finds no place.
pub(crate) const FULL: &str = "the server has all the requests in work that it can serve";

/// The places of requests in work.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
}

/// The place of one request, until its last clone is dropped.
#[derive(Clone)]
pub(crate) struct Place {
    places: Arc<Semaphore>,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places = match limits.requests_in_work {
            0 => Semaphore::MAX_PERMITS,
            some => some.min(Semaphore::MAX_PERMITS),
        };
        Self { places: Arc::new(Semaphore::new(places)), watchers: Arc::new(Semaphore::new(WATCHERS)) }
    }

    /// A place, when one is free.
    pub(crate) fn enter(&self) -> Option<Place> {
        Place::take(&self.places)
    }

    /// A place of those for requests that watch the server.
    pub(crate) async fn watcher(&self, clock: &dyn Clock) -> Option<Place> {
        let place = Place { places: Arc::clone(&self.watchers), permit: Arc::default() };
        place.take_within(clock, WATCHER_WAIT).await.ok()?;
        Some(place)
    }
}

impl Place {
    fn take(places: &Arc<Semaphore>) -> Option<Self> {
        let permit = Arc::clone(places).try_acquire_owned().ok()?;
        Some(Self { places: Arc::clone(places), permit: Arc::new(Mutex::new(Some(permit))) })
    }

    /// Gives the place to others while the client is slow: clients that send a byte now and then must not take all places.
    pub(crate) fn step_aside(&self) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes a place again after [`Self::step_aside`]; when none comes free soon, [`ErrorKind::Overloaded`].
    pub(crate) async fn step_back(&self, clock: &dyn Clock) -> Result<()> {
        if self.permit.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        self.take_within(clock, PLACE_WAIT).await
    }

    async fn take_within(&self, clock: &dyn Clock, wait: Duration) -> Result<()> {
        let overloaded = || Error::new(ErrorKind::Overloaded, FULL);
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let acquired = async { Arc::clone(&self.places).acquire_owned().await.map_err(|_| overloaded()) };
                deadline::within(clock, wait, "a place", acquired).await.map_err(|_| overloaded())?
            }
        };
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Still;

    #[tokio::test]
    async fn who_is_over_the_limit_is_not_let_in_and_watchers_are() {
        let admission = Admission::new(&Limits { requests_in_work: 2, ..Limits::default() });
        let (one, two) = (admission.enter().unwrap(), admission.enter().unwrap());
        assert!(admission.enter().is_none());
        assert!(admission.watcher(&Still::default()).await.is_some());
        let clone = two.clone();
        drop(two);
        assert!(admission.enter().is_none(), "a clone holds the place");
        drop(clone);
        let third = admission.enter().unwrap();
        one.step_aside();
        let guest = admission.enter().unwrap();
        let error = one.step_back(&Still::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        drop(guest);
        one.step_back(&Still::default()).await.unwrap();
        assert!(admission.enter().is_none());
        drop(third);
    }
}
