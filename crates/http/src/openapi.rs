use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, Required, ResponseBuilder, Type,
        path::{ParameterBuilder, ParameterIn},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    auth::{TENANT_HEADER, cookie_name},
    routes,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchboard",
        description = "Routes support tickets: send one in, and get back which team has it, how urgent it is, and why.\n\n\
            Every error is a problem document (RFC 9457) whose `errors` name the fields. Every answer carries \
            `x-correlation-id`; send your own to follow a request.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Keys),
    tags(
        (name = "tickets", description = "Send tickets in and read what became of them."),
        (name = "hooks", description = "Web hooks of other systems, which are signed and need no key."),
        (name = "reviews", description = "Confirm and correct decisions."),
        (name = "access", description = "Sign in, look after API keys, read the audit log."),
        (name = "operations", description = "Health and metrics."),
    ),
)]
pub(crate) struct Base;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        components.add_security_scheme("api_key", header);
        components.add_security_scheme("bearer", bearer);
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            cookie_name(true),
            "The operator's session, from POST /session. By plain http its name is `switchboard`.",
        )));
        components.add_security_scheme("session", cookie);
    }
}

/// The OpenAPI document of all routes, generated from their code.
pub fn document() -> Document {
    let mut document = routes::documented().split_for_parts().1;
    add_answers_of_the_door(&mut document);
    with_sessions(document)
}

/// What every route may be answered with before it is reached.
pub(crate) fn add_answers_of_the_door(document: &mut Document) {
    let answers = [
        ("414", "Path and query are too long."),
        ("429", "The address or the key sends too many requests; try again after `Retry-After`."),
        ("431", "The headers are too large."),
        ("503", "The server has all the requests in work that it can serve; try again after `Retry-After`."),
    ];
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete] {
            let Some(operation) = operation else { continue };
            for (status, description) in answers {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| {
                    let problem = Ref::from_schema_name("Problem");
                    let content = ContentBuilder::new().schema(Some(problem)).build();
                    let response = ResponseBuilder::new().description(description);
                    RefOr::T(response.content("application/problem+json", content).build())
                });
            }
        }
    }
}

/// Says of every route that takes a key that it takes a session, too, and how that names its tenant.
pub(crate) fn with_sessions(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let Some(security) = operation.security.as_mut().filter(|security| !security.is_empty()) else { continue };
            security.push(SecurityRequirement::new("session", Vec::<String>::new()));
            let tenant = ParameterBuilder::new()
                .name(TENANT_HEADER)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some("The tenant that a session means, when there is more than one."))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build();
            operation.parameters.get_or_insert_default().push(tenant.into());
            for (status, description) in [
                ("400", "The header `x-switchboard-tenant` is not valid, or missing where a session has to choose."),
                ("404", "A session chose a tenant that is not there."),
            ] {
                let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/problem+json", problem)
                    .build();
                operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let generated = format!("{}\n", document().to_pretty_json().unwrap());
        assert!(committed == generated, "crates/http/openapi.json is out of date: run `cargo xtask openapi`");
    }
}
