//! TLS on the server's own port.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client};

use super::socket::{Step, act};
use crate::{
    server::Home,
    wait::{SOON, until},
};

/// A certificate for 127.0.0.1, and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    Pair { certificate: cert.pem(), key: signing_key.serialize_pem() }
}

/// A home whose server speaks TLS with the files that are given back.
fn home_with(pair: &Pair) -> (Home, PathBuf, PathBuf) {
    let home = Home::new();
    let (certificate, key) = (home.beside("certificate.pem"), home.beside("key.pem"));
    write(&certificate, &key, pair);
    let home = home.env("SWITCHBOARD_SERVER__TLS__CERTIFICATE", certificate.to_str().unwrap());
    let home = home.env("SWITCHBOARD_SERVER__TLS__KEY", key.to_str().unwrap());
    (home, certificate, key)
}

fn write(certificate: &PathBuf, key: &PathBuf, pair: &Pair) {
    fs::write(certificate, &pair.certificate).unwrap();
    fs::write(key, &pair.key).unwrap();
}

/// A client that trusts that certificate and no other.
fn client(pair: &Pair) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = Certificate::from_pem(pair.certificate.as_bytes()).unwrap();
    Client::builder().tls_certs_only([certificate]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_tls_are_answered_and_a_new_certificate_is_taken_over() {
    let first = pair();
    let (home, certificate, key) = home_with(&first);
    let server = home.start();
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let url = format!("{}/health", server.url);
    let old = client(&first);
    let answer = old.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");

    // Rubbish in the files: the one before stays in force.
    fs::write(&certificate, "rubbish").unwrap();
    server.signal("HUP");
    until("the rubbish is told", SOON, async || home.log().contains("the new certificate is refused").then_some(()))
        .await;
    assert_eq!(client(&first).get(&url).send().await.unwrap().status(), 200);

    // A key that is another certificate's is no better.
    let second = pair();
    fs::write(&certificate, &second.certificate).unwrap();
    server.signal("HUP");
    until("the wrong key is told", SOON, async || {
        (home.log().matches("the new certificate is refused").count() >= 2).then_some(())
    })
    .await;
    assert_eq!(client(&first).get(&url).send().await.unwrap().status(), 200);

    write(&certificate, &key, &second);
    server.signal("HUP");
    let new = client(&second);
    until("the new certificate is in force", SOON, async || new.get(&url).send().await.is_ok().then_some(())).await;
    assert!(client(&first).get(&url).send().await.is_err(), "new connections get the new certificate alone");
    assert_eq!(old.get(&url).send().await.unwrap().status(), 200, "the open connection goes on");
}

/// Without a signal: the files are looked at every few seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_seen() {
    let (home, certificate, key) = home_with(&pair());
    let server = home.start();
    let second = pair();
    write(&certificate, &key, &second);
    let (url, new) = (format!("{}/health", server.url), client(&second));
    until("the new certificate is in force", SOON, async || new.get(&url).send().await.is_ok().then_some(())).await;
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start() {
    let good = pair();
    let other = pair();
    let (home, certificate, key) = home_with(&good);
    let check = |certificate_text: &str, key_text: &str, parts: &[&str]| {
        fs::write(&certificate, certificate_text).unwrap();
        fs::write(&key, key_text).unwrap();
        let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for part in parts {
            assert!(ran.stderr.contains(part), "{part:?} is not in {}", ran.stderr);
        }
    };
    check("", &good.key, &["server.tls", "has no certificate in it", "certificate.pem"]);
    check("rubbish", &good.key, &["has no certificate in it"]);
    check(&good.certificate, "", &["the key file", "key.pem"]);
    check(&good.certificate, &good.certificate, &["the key file"]);
    check(&good.certificate, &other.key, &["cannot be used with the key"]);
    fs::remove_file(&certificate).unwrap();
    let ran = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("the certificate file"), "{}", ran.stderr);
    let half = Home::new().env("SWITCHBOARD_SERVER__TLS__KEY", "key.pem");
    let ran = half.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(ran.stderr.contains("server.tls needs both certificate and key"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_tls_ends_and_harms_nobody() {
    let pair = pair();
    let (home, ..) = home_with(&pair);
    let server = home.start();
    let address = server.address();
    let silent: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    let (url, client) = (format!("{}/health", server.url), client(&pair));
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200, "silent connections keep nobody waiting");
    let rubbish = [
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0; 5_000],
        vec![0xff; 5_000],
        [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 5_000]].concat(),
        [&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0][..], &[0; 100]].concat(),
        [&[0x80, 0x2e, 1, 0, 2][..], &[0; 100]].concat(),
    ];
    let started = Instant::now();
    for bytes in rubbish {
        let seen = tokio::task::block_in_place(|| {
            act(address, vec![Step::Send(bytes.clone()), Step::EndSending, Step::ReadAll])
        });
        assert!(seen.ended, "{:?}", &bytes[..8]);
        assert!(!String::from_utf8_lossy(&seen.bytes).contains("HTTP"), "{:?}", &bytes[..8]);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    drop(silent);
}
