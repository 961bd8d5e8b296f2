use std::{fs, io, path::Path};

use switchboard_core::{access::Pepper, ports::Ids};

use crate::files;

/// The server's secret in every key hash, from `pepper` in the data folder; made there at the first start.
/// With `has_keys` it must be there: a new one would make every key wrong.
pub fn load_or_make_pepper(data: &Path, has_keys: bool, ids: &dyn Ids) -> io::Result<Pepper> {
    let path = data.join("pepper");
    match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map(Pepper::new).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "the file `pepper` must hold 32 bytes; restore it from a backup")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_keys => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the file `pepper` is gone and no key works without it; restore it from a backup, or remove the database",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            ids.fill(&mut bytes);
            files::write_private(&path, &bytes)?;
            Ok(Pepper::new(bytes))
        }
        Err(error) => Err(error),
    }
}
