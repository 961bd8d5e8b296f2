use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
};

use async_trait::async_trait;
use futures_channel::oneshot;
use switchboard_core::{
    limits,
    models::{
        BatchLimits, Embedded, ModelError, ModelErrorKind, Purpose, Usage,
        embedding::{check_texts, unit_vectors, wire},
    },
    ports,
    tenants::{EmbedLink, OWN_EMBEDDING_MODEL, ProviderConfig, Tenant},
    untrusted::Untrusted,
};

use super::{Embedder, MODEL_NAME};

/// Texts of one call: some tenths of a second, so that callers take turns.
const BATCH_TEXTS: usize = 16;

/// Calls that wait for their turn; more are refused at once.
const WAITING: usize = 64;

/// Why there is no model, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// The port's embedder over [`Embedder`], on one thread of its own: calls take turns there and block nobody else, and tickets
/// keep the other processors. It ends with this value. Question and passage are read in the same way.
pub struct LocalEmbedder {
    work: SyncSender<Work>,
}

type Load = dyn Fn() -> Result<Arc<Embedder>, Missing> + Send;

struct Work {
    texts: Vec<Untrusted<String>>,
    tell: oneshot::Sender<Result<Made, Missing>>,
}

/// The vectors, and the tokens that were read.
type Made = (Vec<Vec<f32>>, usize);

impl LocalEmbedder {
    /// An embedder whose model `load` gives at the first call, and is asked for again as long as it cannot.
    ///
    /// # Errors
    /// When there is no room for a thread.
    pub fn new(load: impl Fn() -> Result<Arc<Embedder>, Missing> + Send + 'static) -> std::io::Result<Self> {
        let (work, waiting) = mpsc::sync_channel(WAITING);
        thread::Builder::new().name("embedder".to_owned()).spawn(move || embed_in_turn(&waiting, &load))?;
        Ok(Self { work })
    }
}

fn embed_in_turn(waiting: &Receiver<Work>, load: &Load) {
    let mut embedder = None;
    while let Ok(Work { texts, tell }) = waiting.recv() {
        // Whoever dropped the call wants no answer any more.
        if tell.is_canceled() {
            continue;
        }
        // What goes wrong with one call is the end of that call only.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let loaded = embedder.take().map_or_else(load, Ok)?;
            let texts: Vec<&str> = texts.iter().map(wire).collect();
            let answer = loaded.embed_passages(&texts, 1);
            embedder = Some(loaded);
            Ok(answer)
        }));
        if let Ok(outcome) = outcome {
            // The caller may have gone by now, which is its own affair.
            let _ = tell.send(outcome);
        }
    }
}

#[async_trait]
impl ports::Embedder for LocalEmbedder {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        _: Purpose,
    ) -> Result<Embedded, ModelError> {
        let invalid = |message: String| ModelError::new(ModelErrorKind::Invalid, message);
        let provider = tenant.config.models.providers.get(&link.provider);
        if !matches!(provider, Some(ProviderConfig::Local {})) || link.model != OWN_EMBEDDING_MODEL {
            let message = format!("the provider `{}` does not mean the program's own {MODEL_NAME}", link.provider);
            return Err(invalid(message));
        }
        check_texts(texts, self.batch(tenant, link))?;
        if texts.is_empty() {
            return Ok(Embedded::nothing(MODEL_NAME));
        }
        let (tell, told) = oneshot::channel();
        let gone = |_| ModelError::new(ModelErrorKind::Down, "the program's own model died of this call");
        self.work.try_send(Work { texts: texts.to_vec(), tell }).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                ModelError::new(ModelErrorKind::Overloaded, "too many calls wait for the program's own model")
            }
            TrySendError::Disconnected(_) => gone(oneshot::Canceled),
        })?;
        let (vectors, tokens) = told.await.map_err(gone)?.map_err(|missing| invalid(missing.0))?;
        let bad = |words| ModelError::new(ModelErrorKind::BadOutput, format!("the program's own model {words}"));
        Ok(Embedded {
            vectors: unit_vectors(vectors, texts.len(), link.dimensions).map_err(bad)?,
            usage: Usage::of_input(tokens as u64),
            model: MODEL_NAME.to_owned(),
        })
    }

    fn batch(&self, _: &Tenant, _: &EmbedLink) -> BatchLimits {
        BatchLimits { texts: BATCH_TEXTS, bytes: limits::EMBED_BATCH_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::atomic::{AtomicBool, Ordering},
    };

    use serde_json::json;
    use switchboard_core::ports::Embedder as _;
    use switchboard_testkit::{
        contracts::{self, embedder::Provided},
        sample::{parsed, tenant_with},
    };

    use super::*;

    /// Names the folder of the model, as for the program itself.
    const FOLDER_VARIABLE: &str = "SWITCHBOARD_EMBEDDING_MODEL";

    struct Setup {
        embedder: Arc<LocalEmbedder>,
        tenant: Tenant,
        link: EmbedLink,
        was_called: Arc<AtomicBool>,
    }

    impl Setup {
        fn with(load: impl Fn() -> Result<Arc<Embedder>, Missing> + Send + 'static) -> Self {
            let tenant = tenant_with(|config| config["models"] = json!({"providers": {"own": {"kind": "local"}}}));
            let link =
                EmbedLink { provider: parsed("own"), model: MODEL_NAME.to_owned(), dimensions: None, price: None };
            let was_called = Arc::new(AtomicBool::new(false));
            let called = Arc::clone(&was_called);
            let load = move || {
                called.store(true, Ordering::SeqCst);
                load()
            };
            Self { embedder: Arc::new(LocalEmbedder::new(load).unwrap()), tenant, link, was_called }
        }

        async fn embed(&self, texts: &[&str]) -> Result<Embedded, ModelError> {
            let texts: Vec<_> = texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect();
            self.embedder.embed(&self.tenant, &self.link, &texts, Purpose::Passage).await
        }
    }

    impl Provided for Setup {
        fn embedder(&self) -> Arc<dyn ports::Embedder> {
            self.embedder.clone()
        }

        fn tenant(&self) -> &Tenant {
            &self.tenant
        }

        fn link(&self) -> &EmbedLink {
            &self.link
        }

        fn dimensions(&self) -> Vec<u32> {
            Vec::new()
        }

        fn was_called(&self) -> bool {
            self.was_called.load(Ordering::SeqCst)
        }
    }

    /// The model, where the environment names it.
    fn installed() -> Option<Arc<Embedder>> {
        let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else {
            println!("skipped: {FOLDER_VARIABLE} names no folder of {MODEL_NAME}");
            return None;
        };
        Some(Arc::new(Embedder::open(&PathBuf::from(folder)).expect("the model")))
    }

    #[tokio::test]
    async fn the_local_embedder_keeps_the_contract() {
        let Some(model) = installed() else { return };
        contracts::embedder(async || {
            let model = Arc::clone(&model);
            Setup::with(move || Ok(Arc::clone(&model)))
        })
        .await;
    }

    #[tokio::test]
    async fn texts_of_one_meaning_are_near() {
        let Some(model) = installed() else { return };
        let setup = Setup::with(move || Ok(Arc::clone(&model)));
        let asked = ["I was charged twice", "my invoice has the same amount two times", "the router shows no light"];
        let answer = setup.embed(&asked).await.unwrap();
        let near = |answer: &Embedded, one: usize, other: usize| {
            answer.vectors[one].iter().zip(&answer.vectors[other]).map(|(one, other)| one * other).sum::<f32>()
        };
        let (same, other) = (near(&answer, 0, 1), near(&answer, 0, 2));
        assert!(same > other + 0.2, "{same} and {other}");
        assert_eq!(answer.vectors[0].len(), super::super::DIMENSIONS);
        // What stands far behind counts as well, up to 256 tokens.
        let (early, late) = ("word ".repeat(70) + "red", "word ".repeat(300) + "red");
        let plain = ["word ".repeat(70), "word ".repeat(300)];
        let answer = setup.embed(&[&early, &plain[0], &late, &plain[1]]).await.unwrap();
        let (read, cut) = (near(&answer, 0, 1), near(&answer, 2, 3));
        assert!(read < 0.999 && cut > 0.999, "{read} and {cut}");
        assert_eq!(answer.usage.input_tokens, 73 + 72 + 256 + 256);
    }

    #[tokio::test]
    async fn without_the_model_the_way_to_it_is_told() {
        let setup = Setup::with(|| Err(Missing("run `switchboard models install`".to_owned())));
        for _ in 0..2 {
            let error = setup.embed(&["one"]).await.unwrap_err();
            assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Invalid, false));
            assert_eq!(error.to_string(), "run `switchboard models install`");
        }
        let other = EmbedLink { model: "text-embedding-3-small".to_owned(), ..setup.link.clone() };
        let texts = [Untrusted::new("one".to_owned())];
        let error = setup.embedder.embed(&setup.tenant, &other, &texts, Purpose::Query).await.unwrap_err();
        assert!(error.to_string().contains("all-MiniLM-L6-v2"), "{error}");
    }

    #[tokio::test]
    async fn a_model_that_dies_is_down_and_hangs_nobody() {
        let calls = AtomicBool::new(false);
        let setup = Setup::with(move || match calls.swap(true, Ordering::SeqCst) {
            false => panic!("the model dies"),
            true => Err(Missing("gone".to_owned())),
        });
        assert_eq!(setup.embed(&["one"]).await.unwrap_err().kind(), ModelErrorKind::Down);
        assert_eq!(setup.embed(&["one"]).await.unwrap_err().to_string(), "gone", "the thread goes on");
    }
}
