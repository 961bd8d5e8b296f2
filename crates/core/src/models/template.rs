//! Prompts as data: each a file beside its feature, with its version in its first line.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// The template of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// Its version: a change that may change answers has a new one.
    pub version: u32,
    /// The text, in the syntax of Jinja.
    pub source: &'static str,
}

impl Template {
    /// The name and version that records of answers carry, such as `decide_ticket/1`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// The prompt for `values`: program values and the tenant's configuration. What a template asks for must be there.
    ///
    /// # Errors
    /// `Internal` when the template is broken or asks for what is not there.
    pub fn render(&self, values: &impl Serialize) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let broken =
            |error| Error::new(ErrorKind::Internal, format!("the prompt {} is broken", self.id())).caused_by(error);
        environment.render_named_str(self.name, self.source, minijinja::Value::from_serialize(values)).map_err(broken)
    }
}
