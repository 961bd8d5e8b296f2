//! The contract of [`switchboard_core::ports::IssuerDocuments`].

use std::{ops::Deref, sync::Arc};

use switchboard_core::{error::ErrorKind, limits, ports::IssuerDocuments};
use url::Url;

use crate::contracts::{
    expect::{expect, expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::doubles::{Fault, Server};

/// What the suite of an issuer's documents needs.
pub trait Published: Send + Sync {
    /// The documents, allowed to be fetched from the server.
    fn documents(&self) -> Arc<dyn IssuerDocuments>;

    /// The issuer's server, with its faults.
    fn server(&self) -> &Server;

    /// The address of a document, and its bytes.
    fn document(&self) -> (Url, Vec<u8>);
}

/// Runs the contract of `IssuerDocuments`; `make` gives a fresh issuer for each check.
pub async fn issuer_documents<P: Published>(make: impl AsyncFn() -> P) {
    run_checks!(
        "IssuerDocuments",
        Bench(make().await),
        [
            a_document_is_given_as_it_is,
            what_is_not_there_is_an_error,
            a_redirect_is_not_followed,
            a_trouble_of_the_other_side_may_be_tried_again,
            a_document_that_is_too_large_is_refused,
            a_server_that_nobody_allowed_is_not_asked,
        ]
    );
}

struct Bench<P>(P);

impl<P> Deref for Bench<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}

async fn a_document_is_given_as_it_is<P: Published>(bench: Bench<P>) {
    let (url, bytes) = bench.document();
    let fetched = expect_ok("fetch", bench.documents().fetch(&url).await);
    expect("the document's bytes", *fetched.for_storage() == bytes, fetched.for_storage());
}

async fn what_is_not_there_is_an_error<P: Published>(bench: Bench<P>) {
    let (mut url, _) = bench.document();
    url.set_path("/no/such/document");
    expect_kind("fetch of nothing", bench.documents().fetch(&url).await.map(drop), ErrorKind::Refused);
}

async fn a_redirect_is_not_followed<P: Published>(bench: Bench<P>) {
    let (url, _) = bench.document();
    bench.server().next(Fault::Redirect { to: url.to_string() });
    expect_kind("fetch", bench.documents().fetch(&url).await.map(drop), ErrorKind::BadAnswer);
    expect_eq("requests", bench.server().requests(), 1);
}

async fn a_trouble_of_the_other_side_may_be_tried_again<P: Published>(bench: Bench<P>) {
    let (url, _) = bench.document();
    for fault in [Fault::status(500), Fault::status(503), Fault::Drop] {
        bench.server().next(fault);
        expect_kind("fetch", bench.documents().fetch(&url).await.map(drop), ErrorKind::Unavailable);
    }
    expect_ok("fetch after that", bench.documents().fetch(&url).await.map(drop));
}

async fn a_document_that_is_too_large_is_refused<P: Published>(bench: Bench<P>) {
    let (url, _) = bench.document();
    bench.server().next(Fault::Oversized { bytes: limits::ANSWER_BYTES + 1 });
    expect_kind("fetch", bench.documents().fetch(&url).await.map(drop), ErrorKind::BadAnswer);
}

async fn a_server_that_nobody_allowed_is_not_asked<P: Published>(bench: Bench<P>) {
    let address = Url::parse("http://127.0.0.1:9/keys").expect("an address");
    expect_kind("fetch", bench.documents().fetch(&address).await.map(drop), ErrorKind::Invalid);
}
