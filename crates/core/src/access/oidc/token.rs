//! A token (RFC 7519 in the compact form of RFC 7515): taken apart, and its claims checked.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{limits, time::Timestamp};

/// The algorithms that are taken, all asymmetric (RFC 7518; RFC 8037). There is no `none` and no HMAC: a public key is no
/// secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" => Self::EdDSA,
            _ => return None,
        })
    }
}

/// Why a token is not taken. The caller is told the same for all of them; this goes to the log and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no token in the compact form, or its header is not one that is understood.
    Malformed,
    /// Its algorithm is not one of the list.
    Algorithm,
    /// It names no key, or one that the issuer does not have.
    UnknownKey,
    /// Its key is not for its algorithm.
    WrongKey,
    /// The signature is not right.
    Signature,
    /// It has no end, or that is over.
    Expired,
    /// Its time has not come, or it was issued in the future.
    NotYet,
    /// It is from another issuer.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It has no subject.
    Subject,
    /// It names no tenant, or none that is here.
    Tenant,
    /// No role is mapped for it.
    Role,
}

impl Refusal {
    /// The name, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::WrongKey => "wrong_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Tenant => "tenant",
            Self::Role => "role",
        }
    }
}

/// A token taken apart. Nothing in it is believed yet.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key: String,
    /// What is signed.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
    payload: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > limits::TOKEN_BYTES {
            return Err(Refusal::Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        if payload.contains('.') {
            return Err(Refusal::Malformed);
        }
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| Refusal::Malformed)?;
        let is_jwt = |typ: &str| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt");
        if header.crit.is_some() || header.typ.as_deref().is_some_and(|typ| !is_jwt(typ)) {
            return Err(Refusal::Malformed);
        }
        let algorithm = Algorithm::parse(&header.alg).ok_or(Refusal::Algorithm)?;
        let key = header.kid.ok_or(Refusal::UnknownKey)?;
        Ok(Self { algorithm, key, message, signature: decoded(signature)?, payload })
    }

    /// The claims, to be called when the signature is right.
    pub(super) fn claims(&self) -> Result<Claims, Refusal> {
        serde_json::from_slice(&decoded(self.payload)?).map(Claims).map_err(|_| Refusal::Malformed)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// What the issuer says of the token.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Checks that the token is for now, from this issuer, for this audience.
    pub(super) fn check(&self, issuer: &str, audience: &str, leeway: Duration, now: Timestamp) -> Result<(), Refusal> {
        let now = now.as_millis() as f64 / 1e3;
        let leeway = leeway.as_secs_f64();
        // A time that is there and is no number refuses the token, as a missing end does.
        if self.time("exp", Refusal::Expired)?.ok_or(Refusal::Expired)? + leeway <= now {
            return Err(Refusal::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name, Refusal::NotYet)?.is_some_and(|from| from - leeway > now) {
                return Err(Refusal::NotYet);
            }
        }
        if self.0.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(Refusal::Issuer);
        }
        if !words(self.0.get("aud")).any(|one| one == audience) {
            return Err(Refusal::Audience);
        }
        Ok(())
    }

    /// The subject, never empty.
    pub(super) fn subject(&self) -> Option<&str> {
        self.0.get("sub")?.as_str().filter(|subject| !subject.is_empty())
    }

    /// The texts of a claim that is one text or a list of them. `claim` is its name, or from `/` on a JSON pointer to it.
    pub(super) fn texts(&self, claim: &str) -> impl Iterator<Item = &str> {
        let found = match claim.strip_prefix('/') {
            Some(pointer) => {
                let (first, rest) = match pointer.find('/') {
                    Some(end) => pointer.split_at(end),
                    None => (pointer, ""),
                };
                self.0.get(&first.replace("~1", "/").replace("~0", "~")).and_then(|value| value.pointer(rest))
            }
            None => self.0.get(claim),
        };
        words(found)
    }

    fn time(&self, name: &str, refusal: Refusal) -> Result<Option<f64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().filter(|seconds| seconds.is_finite()).map(Some).ok_or(refusal),
        }
    }
}

fn words(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(value.as_object().cloned().unwrap())
    }

    fn checked(value: Value) -> Result<(), Refusal> {
        let now = Timestamp::from_millis(1_000_000);
        claims(value).check("https://id.example", "switchboard", Duration::from_secs(60), now)
    }

    #[test]
    fn claims_are_checked_one_by_one() {
        let good = json!({"iss": "https://id.example", "aud": "switchboard", "exp": 1_100, "nbf": 900, "iat": 900});
        assert_eq!(checked(good.clone()), Ok(()));
        for (name, value, expected) in [
            ("exp", json!(941), Ok(())),
            ("exp", json!(940), Err(Refusal::Expired)),
            ("exp", json!(940.5), Ok(())),
            ("exp", json!("1100"), Err(Refusal::Expired)),
            ("exp", json!(null), Err(Refusal::Expired)),
            ("exp", json!([1_100]), Err(Refusal::Expired)),
            ("exp", json!(1e300), Ok(())),
            ("nbf", json!(1_060), Ok(())),
            ("nbf", json!(1_061), Err(Refusal::NotYet)),
            ("nbf", json!("900"), Err(Refusal::NotYet)),
            ("iat", json!(1_061), Err(Refusal::NotYet)),
            ("iss", json!("https://id.example/"), Err(Refusal::Issuer)),
            ("iss", json!(["https://id.example"]), Err(Refusal::Issuer)),
            ("aud", json!(["other", "switchboard"]), Ok(())),
            ("aud", json!(["other"]), Err(Refusal::Audience)),
            ("aud", json!("switchboard2"), Err(Refusal::Audience)),
            ("aud", json!({"switchboard": 1}), Err(Refusal::Audience)),
        ] {
            let mut changed = good.clone();
            changed[name] = value.clone();
            assert_eq!(checked(changed), expected, "{name} {value}");
        }
        for (name, expected) in [
            ("exp", Err(Refusal::Expired)),
            ("nbf", Ok(())),
            ("iat", Ok(())),
            ("iss", Err(Refusal::Issuer)),
            ("aud", Err(Refusal::Audience)),
        ] {
            let mut changed = good.clone();
            changed.as_object_mut().unwrap().remove(name);
            assert_eq!(checked(changed), expected, "without {name}");
        }
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = claims(json!({
            "role": "a", "https://x.example/roles": ["b", "c", 7], "realm_access": {"roles": ["d"]}, "a/b": {"c": "e"},
        }));
        let texts = |claim: &str| claims.texts(claim).collect::<Vec<_>>().join(" ");
        assert_eq!(texts("role"), "a");
        assert_eq!(texts("https://x.example/roles"), "b c");
        assert_eq!(texts("/realm_access/roles"), "d");
        assert_eq!(texts("/role"), "a");
        assert_eq!(texts("/a~1b/c"), "e");
        for missing in ["none", "/none/x", "realm_access", "/", ""] {
            assert_eq!(texts(missing), "", "{missing}");
        }
    }

    #[test]
    fn what_is_no_token_of_the_list_is_refused_before_its_claims_are_read() {
        let token = |header: Value| format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header.to_string()));
        let refused = |text: &str| Token::parse(text).err();
        assert!(refused(&token(json!({"alg": "ES256", "kid": "1", "typ": "jwt"}))).is_none());
        for name in ["none", "None", "NONE", "HS256", "HS384", "HS512", "es256", "ES256K", "ES512", "dir", ""] {
            assert_eq!(refused(&token(json!({"alg": name, "kid": "1"}))), Some(Refusal::Algorithm), "{name}");
        }
        assert_eq!(refused(&token(json!({"alg": "ES256"}))), Some(Refusal::UnknownKey));
        for header in [
            json!({"alg": "ES256", "kid": "1", "crit": ["exp"]}),
            json!({"alg": "ES256", "kid": "1", "typ": "JWE"}),
            json!({"alg": ["ES256"], "kid": "1"}),
            json!({"kid": "1"}),
            json!([]),
        ] {
            assert_eq!(refused(&token(header.clone())), Some(Refusal::Malformed), "{header}");
        }
        let good = token(json!({"alg": "ES256", "kid": "1"}));
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            &format!("{good}."),
            &format!(".{good}"),
            &format!("{good}="),
            &"a".repeat(20_000),
        ] {
            assert_eq!(refused(text), Some(Refusal::Malformed), "{text}");
        }
    }
}
