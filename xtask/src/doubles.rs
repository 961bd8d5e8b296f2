//! The doubles of other people's systems, driven by clients that nobody here wrote: a double that only our own code talks to
//! could share its mistakes.

use anyhow::{Context as _, Result};

use crate::claim;
use crate::commands::no_arguments;
use crate::process;
use crate::project::Project;
use crate::tools;

/// What OpenAI's own package for Python does with the double of OpenAI's API.
const OPENAI_CHECK: &str = "xtask/openai/check.py";
/// What AWS's own package for Python does with the double of Bedrock.
const BEDROCK_CHECK: &str = "xtask/bedrock/check.py";

/// `cargo xtask doubles`: this step alone.
pub(crate) fn doubles(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let _claim = claim::take(project)?;
    check(project)
}

/// Builds the doubles as programs of their own, and lets the clients at them.
pub(crate) fn check(project: &Project) -> Result<()> {
    let (openai, aws) = (tools::openai_client(project)?, tools::aws_client(project)?);
    // The features that `test` has built already.
    let build = "build --workspace --features switchboard/aws --example openai_double --example bedrock_double";
    process::run(&mut project.cargo(build))?;
    let double = |name: &str| project.cache.target.join("debug/examples").join(name);
    process::run(project.command(openai).arg(OPENAI_CHECK).arg(double("openai_double")))
        .context("the double of OpenAI's API and OpenAI's client differ; the lines above name the check")?;
    process::run(project.command(aws).arg(BEDROCK_CHECK).arg(double("bedrock_double")))
        .context("the double of Bedrock and AWS's client differ; the lines above name the check")
}
