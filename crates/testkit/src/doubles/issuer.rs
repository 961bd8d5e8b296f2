//! A double of an OpenID Connect issuer: it publishes its discovery document and its keys, changes them when told to, and
//! signs whatever a test wants signed.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, response::Response, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};

use super::{Server, answer, lock};

/// A key of 2048 bits that signs in tests and nowhere else.
const RSA: &[u8] = include_bytes!("issuer_rsa.der");

/// A key that an issuer signs with.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    pair: Arc<Pair>,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    fn new(id: &str, pair: Pair) -> Self {
        Self { id: id.to_owned(), pair: Arc::new(pair) }
    }

    /// A new key for `ES256`.
    pub fn p256(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key pair");
        Self::new(id, Pair::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key pair")))
    }

    /// A new key for `ES384`.
    pub fn p384(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key pair");
        Self::new(id, Pair::P384(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key pair")))
    }

    /// A new key for `EdDSA`.
    pub fn ed25519(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key pair");
        Self::new(id, Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key pair")))
    }

    /// The one key for `RS256` and `PS256`.
    pub fn rsa(id: &str) -> Self {
        Self::new(id, Pair::Rsa(RsaKeyPair::from_pkcs8(RSA).expect("a key pair")))
    }

    /// The algorithm that it signs with when nobody says otherwise.
    pub fn algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A token with this header, truly signed.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.sign(header["alg"] == "PS256", message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, is_pss: bool, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self.pair.as_ref() {
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let by: &dyn ring::signature::RsaEncoding = if is_pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(by, &random, message, &mut signature).expect("a signature");
                signature
            }
        }
    }

    /// The public numbers as bytes: what an attacker would try as the secret of an HMAC.
    pub fn public(&self) -> Vec<u8> {
        match self.pair.as_ref() {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The key as the issuer publishes it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.public();
        let point = |crv: &str| {
            let (x, y) = public[1..].split_at((public.len() - 1) / 2);
            json!({"kty": "EC", "crv": crv, "x": text(x), "y": text(y)})
        };
        let mut jwk = match self.pair.as_ref() {
            Pair::P256(_) => point("P-256"),
            Pair::P384(_) => point("P-384"),
            Pair::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(&public)}),
            Pair::Rsa(pair) => {
                let key = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": text(&key.n), "e": text(&key.e)})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// An issuer with the audience `switchboard`, a tenant claim `tenant` and a role claim `groups`.
pub struct IssuerDouble {
    server: Server,
    state: Arc<Mutex<Published>>,
}

#[derive(Default)]
struct Published {
    issuer: String,
    keys: BTreeMap<String, Value>,
    fetched: u64,
}

impl IssuerDouble {
    /// Starts one that publishes these keys.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let state = Arc::<Mutex<Published>>::default();
        let api = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(jwks))
            .with_state(Arc::clone(&state));
        let double = Self { server: Server::start(api).await, state };
        lock(&double.state).issuer = double.url();
        double.publish(keys);
        double
    }

    /// From now on these are the keys.
    pub fn publish(&self, keys: &[&SigningKey]) {
        lock(&self.state).keys = keys.iter().map(|key| (key.id.clone(), key.jwk())).collect();
    }

    /// Says in its discovery document that it is somebody else.
    pub fn claim_to_be(&self, issuer: &str) {
        lock(&self.state).issuer = issuer.to_owned();
    }

    /// The only key that is published.
    pub fn published(&self) -> Value {
        lock(&self.state).keys.values().next().cloned().unwrap_or_default()
    }

    /// How often the keys were fetched.
    pub fn key_fetches(&self) -> u64 {
        lock(&self.state).fetched
    }

    /// Claims of a person of `tenant` in `group` that hold from `now` for five minutes; both times in seconds.
    pub fn claims(&self, tenant: &str, group: &str, now: i64) -> Value {
        json!({
            "iss": self.url(), "aud": "switchboard", "sub": "auth0|ada@example.com", "iat": now, "nbf": now,
            "exp": now + 300, "tenant": tenant, "groups": ["everybody", group],
        })
    }
}

impl Deref for IssuerDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn discovery(State(state): State<Arc<Mutex<Published>>>) -> Response {
    let issuer = lock(&state).issuer.clone();
    answer(200, json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"]}))
}

async fn jwks(State(state): State<Arc<Mutex<Published>>>) -> Response {
    let mut state = lock(&state);
    state.fetched += 1;
    answer(200, json!({"keys": state.keys.values().collect::<Vec<_>>()}))
}
