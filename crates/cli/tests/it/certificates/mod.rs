//! Whom the server talks to: only who shows a certificate for that name, in force, of an authority that the machine trusts.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};

use crate::{
    server::Home,
    tenant::{acme, ticket},
    wait::{SOON, until},
};

/// A web-hook receiver with that certificate, which counts the requests that it can read.
fn receiver(certificate: &rcgen::Certificate, key: &KeyPair) -> (String, Arc<AtomicUsize>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate.der().clone()], private).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut piece = [0; 64 * 1024];
            if tls.read(&mut piece).is_ok_and(|read| piece[..read].starts_with(b"POST ")) {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = tls.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    (host, requests)
}

struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "An authority of this test");
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// A receiver whose certificate is for `name`.
    fn receiver(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, Arc<AtomicUsize>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        receiver(&params.signed_by(&key, &self.0).unwrap(), &key)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_anything_by_who_shows_a_wrong_certificate() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&own_key).unwrap();
    let receivers = [
        ("good", trusted.receiver("127.0.0.1", |_| {})),
        ("name", trusted.receiver("desk.example", |_| {})),
        (
            "expired",
            trusted.receiver("127.0.0.1", |params| {
                (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
            }),
        ),
        ("early", trusted.receiver("127.0.0.1", |params| params.not_before = date_time_ymd(2090, 1, 1))),
        ("stranger", stranger.receiver("127.0.0.1", |_| {})),
        ("selfsigned", receiver(&own, &own_key)),
    ];
    let mut home = Home::new();
    let roots = home.beside("roots.pem");
    fs::write(&roots, &trusted.1).unwrap();
    let hosts: Vec<_> = receivers.iter().map(|(_, (host, _))| host).collect();
    home = home.env("SSL_CERT_FILE", roots.to_str().unwrap());
    home = home.env("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", &json!(hosts).to_string());
    for (tenant, (host, _)) in &receivers {
        let mut config = acme(&json!({"kind": "webhook", "url": format!("https://{host}/"), "secret": "hook"}));
        config["tenant_id"] = (*tenant).into();
        home.put_tenant(&config);
        home = home.env(&format!("SWITCHBOARD_SECRET_{}__HOOK", tenant.to_uppercase()), "a secret of the test");
    }
    let server = home.start_empty();
    for (tenant, (_, requests)) in &receivers {
        let api = server.api(&home.make_key(tenant, &[]));
        api.accept(&ticket("T-1")).await;
        let tried = |ticket: &Value| ticket["sync_status"] == "success" || ticket["sync"]["failed_attempts"] == 1;
        let shown =
            until(&format!("{tenant} is tried"), SOON, async || Some(api.ticket("T-1").await).filter(tried)).await;
        let (status, error) = (&shown["sync_status"], shown["sync"]["last_error"].as_str().unwrap_or_default());
        if *tenant == "good" {
            assert_eq!((status, requests.load(Ordering::SeqCst)), (&json!("success"), 1), "{error}");
        } else {
            assert_eq!((status, requests.load(Ordering::SeqCst)), (&json!("pending"), 0), "{tenant}: {error}");
        }
    }
}
