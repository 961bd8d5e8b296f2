use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::routes;

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
        (name = "reviews", description = "Confirm and correct decisions."),
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
    }
}

/// The OpenAPI document of all routes, generated from their code.
pub fn document() -> Document {
    let mut document = routes::documented().split_for_parts().1;
    add_answers_of_the_door(&mut document);
    document
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
