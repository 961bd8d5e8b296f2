//! A deployment on AWS, seen from outside.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use serde_json::json;
use switchboard_aws::{Clients, doctor::doctor};
use switchboard_core::{
    access::{Scope, keys},
    ids::TenantId,
    ports::TenantScope,
};

use super::{IN_PART, Session, access::keys::Wanted};
use crate::{args::Aws, aws, output};
