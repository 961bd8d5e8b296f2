//! The keys of an issuer (RFC 7517), as far as they can check signatures here.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use url::Url;

use super::token::{Algorithm, Refusal};
use crate::{limits, untrusted::Closed};

/// The keys that sign tokens, by their ids.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, Key>);

/// A promise as [`Closed`] asks for: numbers of keys under ids that are only compared.
impl Closed for KeySet {}

/// What a discovery document is read for.
pub(super) struct Discovered {
    /// Where the keys are. It is only handed to the outbound client, which guards where calls go.
    pub(super) jwks: Url,
}

impl Closed for Discovered {}

/// The document is not what it should be; the words are ours.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadDocument(&'static str);

impl Closed for BadDocument {}

struct Key {
    /// The one algorithm that the issuer uses the key with, when it says so.
    only: Option<Algorithm>,
    numbers: Numbers,
}

enum Numbers {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Discovered {
    /// Reads a discovery document, which must be the one of `issuer` (OpenID Connect Discovery, 4.3).
    pub(super) fn read(bytes: &[u8], issuer: &str) -> Result<Self, BadDocument> {
        let found: Discovery = serde_json::from_slice(bytes)
            .map_err(|_| BadDocument("its discovery document has not the fields `issuer` and `jwks_uri`"))?;
        if found.issuer != issuer {
            return Err(BadDocument(
                "its discovery document is of another issuer; write oidc.issuer exactly as it does",
            ));
        }
        let jwks =
            Url::parse(&found.jwks_uri).map_err(|_| BadDocument("its discovery document's `jwks_uri` is no URL"))?;
        Ok(Self { jwks })
    }
}

impl KeySet {
    /// Reads a set of keys. Keys that cannot check signatures here are left out: for encryption, of another kind, without
    /// an id, symmetric. Of two keys with the same id the first counts.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadDocument> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|_| BadDocument("its set of keys is no JSON with `keys`"))?;
        let mut keys = HashMap::new();
        for jwk in document.keys.into_iter().take(limits::ISSUER_KEYS) {
            if let Ok(jwk) = serde_json::from_value::<Jwk>(jwk)
                && let Some((id, key)) = usable(jwk)
            {
                keys.entry(id).or_insert(key);
            }
        }
        if keys.is_empty() {
            return Err(BadDocument("its set has no key with an id that can check signatures"));
        }
        Ok(Self(keys))
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks a signature with the key of that id, which must be one for the algorithm.
    pub(super) fn verify(
        &self,
        id: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Refusal> {
        let key = self.0.get(id).ok_or(Refusal::UnknownKey)?;
        if key.only.is_some_and(|only| only != algorithm) {
            return Err(Refusal::WrongKey);
        }
        let plain = |by, public: &[u8]| UnparsedPublicKey::new(by, public).verify(message, signature);
        let rsa = |by, n: &[u8], e: &[u8]| RsaPublicKeyComponents { n, e }.verify(by, message, signature);
        let checked = match (&key.numbers, algorithm) {
            (Numbers::Rsa { n, e }, Algorithm::RS256) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256, n, e),
            (Numbers::Rsa { n, e }, Algorithm::RS384) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384, n, e),
            (Numbers::Rsa { n, e }, Algorithm::RS512) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512, n, e),
            (Numbers::Rsa { n, e }, Algorithm::PS256) => rsa(&signature::RSA_PSS_2048_8192_SHA256, n, e),
            (Numbers::Rsa { n, e }, Algorithm::PS384) => rsa(&signature::RSA_PSS_2048_8192_SHA384, n, e),
            (Numbers::Rsa { n, e }, Algorithm::PS512) => rsa(&signature::RSA_PSS_2048_8192_SHA512, n, e),
            (Numbers::P256(point), Algorithm::ES256) => plain(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Numbers::P384(point), Algorithm::ES384) => plain(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Numbers::Ed25519(public), Algorithm::EdDSA) => plain(&signature::ED25519, public),
            _ => return Err(Refusal::WrongKey),
        };
        checked.map_err(|_| Refusal::Signature)
    }
}

fn usable(jwk: Jwk) -> Option<(String, Key)> {
    let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.as_deref().is_none_or(|all| all.iter().any(|one| one == "verify"));
    let id = jwk.kid.filter(|id| signs && !id.is_empty() && id.len() <= 256)?;
    let only = match &jwk.alg {
        Some(name) => Some(Algorithm::parse(name)?),
        None => None,
    };
    let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let point = |x: Option<String>, y: Option<String>, bytes: usize| {
        let (x, y) = (number(x)?, number(y)?);
        // Uncompressed, as SEC 1 writes it; both coordinates have their full length (RFC 7518, 6.2.1.2).
        (x.len() == bytes && y.len() == bytes).then(|| [&[4], x.as_slice(), &y].concat())
    };
    let numbers = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let unpadded = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            Numbers::Rsa { n: unpadded(number(jwk.n)?), e: unpadded(number(jwk.e)?) }
        }
        ("EC", Some("P-256")) => Numbers::P256(point(jwk.x, jwk.y, 32)?),
        ("EC", Some("P-384")) => Numbers::P384(point(jwk.x, jwk.y, 48)?),
        ("OKP", Some("Ed25519")) => Numbers::Ed25519(number(jwk.x).filter(|public| public.len() == 32)?),
        _ => return None,
    };
    Some((id, Key { only, numbers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &str) -> Vec<String> {
        let set = KeySet::read(format!("{{\"keys\":[{keys}]}}").as_bytes()).map(|set| set.0).unwrap_or_default();
        let mut ids: Vec<_> = set.into_keys().collect();
        ids.sort();
        ids
    }

    #[test]
    fn only_keys_that_check_signatures_are_taken() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"good","x":"{x}"}}"#);
        for (what, bad) in [
            ("for encryption", format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"bad","use":"enc","x":"{x}"}}"#)),
            ("of other use", format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"bad","key_ops":["sign"],"x":"{x}"}}"#)),
            ("symmetric", format!(r#"{{"kty":"oct","kid":"bad","k":"{x}"}}"#)),
            (
                "symmetric by its algorithm",
                format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"bad","alg":"HS256","x":"{x}"}}"#),
            ),
            ("without an id", format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)),
            ("with an empty id", format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"","x":"{x}"}}"#)),
            ("too short", r#"{"kty":"OKP","crv":"Ed25519","kid":"bad","x":"AAAA"}"#.to_owned()),
            ("of another curve", format!(r#"{{"kty":"EC","crv":"secp256k1","kid":"bad","x":"{x}","y":"{x}"}}"#)),
            ("half a point", format!(r#"{{"kty":"EC","crv":"P-256","kid":"bad","x":"{x}"}}"#)),
            ("no object", "7".to_owned()),
        ] {
            assert_eq!(ids(&format!("{bad},{good}")), ["good"], "{what}");
        }
        assert!(KeySet::read(b"{\"keys\":[]}").is_err());
        assert!(KeySet::read(b"[]").is_err());
    }

    #[test]
    fn discovery_is_of_the_issuer_that_is_meant() {
        let document = br#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys","other":1}"#;
        let found = Discovered::read(document, "https://id.example").unwrap();
        assert_eq!(found.jwks.as_str(), "https://id.example/keys");
        for issuer in ["https://id.example/", "https://evil.example"] {
            assert!(Discovered::read(document, issuer).is_err(), "{issuer}");
        }
        assert!(
            Discovered::read(br#"{"issuer":"https://id.example","jwks_uri":"/keys"}"#, "https://id.example").is_err()
        );
    }
}
