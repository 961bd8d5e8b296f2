use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Aws {
    /// Check what a deployment needs: permissions, tables, indexes, queue, bus, bucket and the clock; exit code 3 if something is
    /// missing.
    Doctor,
    /// Put a tenant's configuration into the bucket, once it is checked.
    PutTenant {
        /// The file `config.json`. The tenant is the one of --tenant, or the folder that the file lies in.
        file: PathBuf,
    },
}
