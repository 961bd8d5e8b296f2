use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has not in it what it should.
    #[error("{what} {path} cannot be used")]
    File {
        /// Which of the files.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("the certificate file {0} has no certificate in it; it must be PEM, the server's own certificate first")]
    NoCertificate(PathBuf),
    /// They are refused: broken, of an unknown kind, or the key is another certificate's.
    #[error("the certificate {certificate} cannot be used with the key {key}")]
    Refused {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// TLS 1.2 and 1.3 with a certificate and a key in PEM files. New files are taken over for new connections; those that are
/// open go on.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    /// What the files were when they were last read.
    seen: Mutex<Stamps>,
}

/// What tells one state of the files from another: time of change and size of each.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads and checks the files.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let seen = stamps(&certificate, &key);
        let config = RwLock::new(read(&certificate, &key)?);
        Ok(Self { certificate, key, config, seen: Mutex::new(seen) })
    }

    /// Reads the files again. When something is wrong with them, the ones before stay in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        // Before they are read: what changes while they are read is a change still to be seen.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.certificate, &self.key);
        let config = read(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Whether the files are others than those that were read last.
    pub fn has_changed(&self) -> bool {
        stamps(&self.certificate, &self.key) != *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable("the certificate file", certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("the key file", key))?;
    let refused = |source| TlsError::Refused { certificate: certificate.to_owned(), key: key.to_owned(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}
