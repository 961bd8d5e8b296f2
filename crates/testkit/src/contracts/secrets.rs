//! The contract of [`Secrets`]: a secret is given as it is now, to who names it, and shown to nobody.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use switchboard_core::{error::Result, ids::SecretName, ports::Secrets};

use super::{
    expect::{expect, expect_eq, expect_ok},
    run_checks,
};
use crate::sample::{self, parsed};

/// Whose secrets these are.
pub const TENANT: &str = "acme";
/// Part of every secret here, and of nothing that is shown.
const MARK: &str = "hunter2";
/// Calls at the same time.
const AT_ONCE: usize = 8;

/// Secrets, and the operator who puts them there.
#[async_trait]
pub trait Operated: Send + Sync {
    /// The secrets.
    fn secrets(&self) -> Arc<dyn Secrets>;

    /// Puts a secret of [`TENANT`] there, in the place of the one that is there already.
    async fn put(&self, name: &SecretName, value: &str);

    /// Takes a secret away.
    async fn remove(&self, name: &SecretName);

    /// Makes a secret unreadable, with `value` still in it as far as that goes; `false` when that cannot happen here.
    async fn spoil(&self, _name: &SecretName, _value: &str) -> bool {
        false
    }
}

type Shared = Arc<dyn Operated>;

/// Runs the contract of `Secrets`; `make` gives a fresh adapter without secrets for each check. White space at the end of
/// a secret is left to the adapter: editors leave some at the end of a file.
pub async fn secrets<O: Operated + 'static>(make: impl AsyncFn() -> O) {
    run_checks!(
        "Secrets",
        Arc::new(make().await) as Shared,
        [
            a_secret_is_given_as_it_was_put,
            an_absent_secret_is_none,
            each_name_has_its_own,
            a_changed_secret_counts_at_once,
            a_removed_secret_is_none_at_once,
            a_secret_is_not_shown,
            an_unreadable_secret_is_an_error_that_tells_its_name_only,
            a_secret_is_given_to_many_at_once,
        ]
    );
}

async fn seen(test: &dyn Operated, name: &str) -> Option<String> {
    let secret = expect_ok(&format!("secret {name}"), ask(test, name).await);
    secret.map(|secret| secret.expose_secret().to_owned())
}

async fn ask(test: &dyn Operated, name: &str) -> Result<Option<SecretString>> {
    test.secrets().secret(&sample::scope(TENANT), &parsed(name)).await
}

async fn a_secret_is_given_as_it_was_put(test: Shared) {
    let long = "0123456789abcdef".repeat(1_024);
    let values = [
        "hunter2",
        "",
        " begins with a blank",
        "two\nlines\r\nor three",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----",
        "\"quoted\" 'single' $HOME %PATH% \\n # no comment",
        "p\u{e4}ssw\u{f6}rd 東京 🔑",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==",
        &long,
    ];
    for (n, value) in values.into_iter().enumerate() {
        let name = format!("contract-{n}");
        test.put(&parsed(&name), value).await;
        expect_eq(&format!("secret {name}"), seen(&*test, &name).await.as_deref(), Some(value));
    }
    for (n, value) in values.into_iter().enumerate() {
        let name = format!("contract-{n}");
        expect_eq(&format!("secret {name}, among others"), seen(&*test, &name).await.as_deref(), Some(value));
    }
}

async fn an_absent_secret_is_none(test: Shared) {
    expect_eq("a secret where there are none", seen(&*test, "contract-token").await, None);
    test.put(&parsed("contract-token"), "hunter2").await;
    for name in ["contract", "contract-toke", "contract-token-", "contract-token-2", "contracttoken", "token"] {
        expect_eq(&format!("secret {name}"), seen(&*test, name).await, None);
    }
}

async fn each_name_has_its_own(test: Shared) {
    let longest = "a".repeat(64);
    let names = ["contract-a", "contract-a-b", "contract_a_b", "contract-a_b", "contract-ab", "0contract", &longest];
    for name in names {
        test.put(&parsed(name), &format!("{MARK} of {name}")).await;
    }
    for name in names {
        expect_eq(&format!("secret {name}"), seen(&*test, name).await, Some(format!("{MARK} of {name}")));
    }
}

async fn a_changed_secret_counts_at_once(test: Shared) {
    // The same length too: a date and a size alone do not tell these apart.
    for value in ["hunter2", "hunter3", "", "hunter2", "much longer than before", "short"] {
        test.put(&parsed("contract-token"), value).await;
        for _ in 0..2 {
            expect_eq("the secret after a change", seen(&*test, "contract-token").await.as_deref(), Some(value));
        }
    }
}

async fn a_removed_secret_is_none_at_once(test: Shared) {
    for value in ["hunter2", "hunter3"] {
        test.put(&parsed("contract-token"), value).await;
        test.put(&parsed("contract-other"), "stays").await;
        expect_eq("the secret", seen(&*test, "contract-token").await.as_deref(), Some(value));
        test.remove(&parsed("contract-token")).await;
        expect_eq("the secret after it was removed", seen(&*test, "contract-token").await, None);
        expect_eq("the other secret", seen(&*test, "contract-other").await.as_deref(), Some("stays"));
    }
}

async fn a_secret_is_not_shown(test: Shared) {
    test.put(&parsed("contract-token"), &format!("a {MARK} b")).await;
    let answer = ask(&*test, "contract-token").await;
    for shown in [format!("{answer:?}"), format!("{answer:#?}")] {
        expect("the secret is not in what `Debug` prints", !shown.contains(MARK), shown);
    }
}

async fn an_unreadable_secret_is_an_error_that_tells_its_name_only(test: Shared) {
    if !test.spoil(&parsed("contract-token"), &format!("a {MARK} b")).await {
        return;
    }
    let Err(error) = ask(&*test, "contract-token").await else {
        panic!("a secret that cannot be read\n  expected: an error\n  seen:     success");
    };
    expect("the error names the secret", error.report().contains("contract-token"), error.report());
    for shown in [error.report(), error.to_string(), format!("{error:?}")] {
        expect("the error does not quote the secret", !shown.contains(MARK), shown);
    }
    test.put(&parsed("contract-token"), "mended").await;
    expect_eq("the secret after it was mended", seen(&*test, "contract-token").await.as_deref(), Some("mended"));
}

async fn a_secret_is_given_to_many_at_once(test: Shared) {
    for n in 0..AT_ONCE {
        test.put(&parsed(&format!("contract-{n}")), &format!("{MARK} {n}")).await;
    }
    let calls = (0..AT_ONCE * AT_ONCE).map(|n| {
        let test = Arc::clone(&test);
        tokio::spawn(async move { seen(&*test, &format!("contract-{}", n % AT_ONCE)).await })
    });
    for (n, outcome) in join_all(calls).await.into_iter().enumerate() {
        let outcome = outcome.expect("a call that does not panic");
        expect_eq("a secret, asked for by many", outcome, Some(format!("{MARK} {}", n % AT_ONCE)));
    }
}
