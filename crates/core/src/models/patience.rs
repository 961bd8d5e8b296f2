//! How long a model is waited for, learned from how long it takes when it is well.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ids::{ProviderName, TenantId},
    limits,
    tenants::{ModelLink, Tenant},
};

/// What is known of each model of each tenant: the mean time of its answers and how much they differ, as TCP estimates round
/// trips (RFC 6298). A model that answers in a third of a second and then hangs is given up after one second, and not after
/// the ten that a slow one may take; each time it is given up, the next call may take twice as long. A model that nobody knows yet
/// has all the time, unless another one of its provider was given up last: then the provider itself is in doubt, and everybody's
/// time with it.
pub struct Patience {
    links: moka::sync::Cache<(TenantId, String), Arc<Mutex<Pace>>>,
    /// Providers of which a model was given up since one has answered.
    in_doubt: moka::sync::Cache<(TenantId, ProviderName), ()>,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    mean: f64,
    /// The mean distance from the mean.
    spread: f64,
    answers: u32,
    /// How often the limit was doubled since the last answer.
    doubled: u32,
}

/// Models that are watched; beyond that the one used longest ago starts anew.
const WATCHED: u64 = 10_000;
/// Answers before anything is known.
const ENOUGH: u32 = 20;
/// The weights of RFC 6298, 2.3.
const OF_MEAN: f64 = 1.0 / 8.0;
const OF_SPREAD: f64 = 1.0 / 4.0;
const SPREADS: f64 = 4.0;
/// Answers of models differ more than round trips do: a long one takes several times as long as a short one.
const ROOM: f64 = 2.0;

impl Default for Patience {
    fn default() -> Self {
        Self { links: moka::sync::Cache::new(WATCHED), in_doubt: moka::sync::Cache::new(WATCHED) }
    }
}

impl Patience {
    /// How long a call of the model may take, at most `most`.
    pub fn limit(&self, tenant: &Tenant, link: &ModelLink, most: Duration) -> Duration {
        let pace = *lock(&self.pace(tenant, link));
        if pace.answers < ENOUGH && self.in_doubt.contains_key(&provider(tenant, link)) {
            return limits::MODEL_PATIENCE.min(most);
        }
        pace.limit(most)
    }

    /// The model has answered, after so long.
    pub fn answered(&self, tenant: &Tenant, link: &ModelLink, took: Duration) {
        lock(&self.pace(tenant, link)).answered(took.as_secs_f64());
        self.in_doubt.invalidate(&provider(tenant, link));
    }

    /// A call was given up after `limit`.
    pub fn given_up(&self, tenant: &Tenant, link: &ModelLink, limit: Duration, most: Duration) {
        self.in_doubt.insert(provider(tenant, link), ());
        let pace = self.pace(tenant, link);
        let mut pace = lock(&pace);
        // Calls side by side that are given up together say the same once.
        if limit >= pace.limit(most) {
            pace.doubled = pace.doubled.saturating_add(1);
        }
    }

    fn pace(&self, tenant: &Tenant, link: &ModelLink) -> Arc<Mutex<Pace>> {
        let key = (tenant.id.clone(), format!("{}/{}", link.provider, link.model));
        self.links.get_with(key, Arc::default)
    }
}

fn provider(tenant: &Tenant, link: &ModelLink) -> (TenantId, ProviderName) {
    (tenant.id.clone(), link.provider.clone())
}

impl Pace {
    fn limit(&self, most: Duration) -> Duration {
        if self.answers < ENOUGH {
            return most;
        }
        let usual = ROOM * (self.mean + SPREADS * self.spread);
        let least = limits::MODEL_PATIENCE.min(most);
        let learned = Duration::try_from_secs_f64(usual).unwrap_or(most).clamp(least, most);
        learned.saturating_mul(1 << self.doubled.min(16)).min(most)
    }

    fn answered(&mut self, took: f64) {
        if self.answers == 0 {
            (self.mean, self.spread) = (took, took / 2.0);
        } else {
            self.spread += OF_SPREAD * ((took - self.mean).abs() - self.spread);
            self.mean += OF_MEAN * (took - self.mean);
        }
        self.answers = self.answers.saturating_add(1);
        self.doubled = 0;
    }
}

fn lock(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    fn after(times: impl IntoIterator<Item = f64>) -> Pace {
        let mut pace = Pace::default();
        times.into_iter().for_each(|took| pace.answered(took));
        pace
    }

    #[test]
    fn who_is_not_known_may_take_as_long_as_anybody() {
        assert_eq!(Pace::default().limit(MOST), MOST);
        assert_eq!(after([0.1; ENOUGH as usize - 1]).limit(MOST), MOST);
        assert!(after([0.1; ENOUGH as usize]).limit(MOST) < MOST);
    }

    #[test]
    fn a_steady_model_is_given_up_soon_and_an_uneven_one_late() {
        assert_eq!(after([0.3; 100]).limit(MOST), limits::MODEL_PATIENCE);
        let uneven = after((0..100).map(|n| if n % 2 == 0 { 0.5 } else { 2.5 }));
        assert!((7.0..10.1).contains(&uneven.limit(MOST).as_secs_f64()), "{uneven:?}");
        assert_eq!(after([60.0; 100]).limit(MOST), MOST, "nobody may take longer");
        assert_eq!(after([f64::MAX; 100]).limit(MOST), MOST);
    }

    #[test]
    fn no_answer_takes_longer_than_the_limit_that_was_learned_from_its_like() {
        // Log-normal times as hosted models have them: half a second in the middle, one in a thousand over two seconds.
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (mut pace, mut late) = (Pace::default(), 0);
        for _ in 0..20_000 {
            let normal: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            let took = 0.5 * (0.45 * normal).exp();
            late += u32::from(took > pace.limit(MOST).as_secs_f64());
            pace.answered(took);
        }
        assert!(late < 20, "{late} of 20,000 would be given up though they answer");
    }
}
