//! Signature Version 4, as far as its form goes: the secret is not known here, so the signature itself is not checked.

use axum::http::{HeaderMap, header::AUTHORIZATION};

/// The access key that signed, or what the service says instead: error type and message.
pub(super) fn access_key(headers: &HeaderMap) -> Result<String, (&'static str, &'static str)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Err(("MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    let incomplete =
        ("IncompleteSignatureException", "Authorization header requires Credential, SignedHeaders and Signature");
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(incomplete)?;
    let field = |name: &str| {
        fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('=')).ok_or(incomplete)
    };
    let date = text("x-amz-date").ok_or((
        "IncompleteSignatureException",
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
    ))?;
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = date
        .split_once('T')
        .is_some_and(|(day, time)| digits(day, 8) && time.strip_suffix('Z').is_some_and(|time| digits(time, 6)));
    if !is_date {
        return Err(("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'."));
    }
    let scope: Vec<_> = field("Credential")?.split('/').collect();
    let [key, day, region, service, end] = scope.as_slice() else { return Err(incomplete) };
    if *service != "bedrock" {
        return Err(("InvalidSignatureException", "Credential should be scoped to correct service: 'bedrock'."));
    }
    if key.is_empty() || region.is_empty() || *end != "aws4_request" || !date.starts_with(day) {
        return Err(("InvalidSignatureException", "Credential should be scoped to a valid date, region and request."));
    }
    let signed: Vec<_> = field("SignedHeaders")?.split(';').collect();
    let is_there = |name: &&str| *name == "host" || headers.contains_key(*name);
    if !signed.contains(&"host") || !signed.contains(&"x-amz-date") || !signed.iter().all(is_there) {
        return Err((
            "InvalidSignatureException",
            "'Host' and 'X-Amz-Date' must be signed, and what is signed be sent.",
        ));
    }
    let signature = field("Signature")?;
    let is_hex = signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if signature.len() != 64 || !is_hex {
        return Err(("InvalidSignatureException", "The request signature we calculated does not match."));
    }
    Ok((*key).to_owned())
}
