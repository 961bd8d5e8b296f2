//! Every limit, in one place, with a name. Sizes of text are counted in characters, bodies in bytes.

use std::time::Duration;

/// Characters of a ticket's subject.
pub const SUBJECT_CHARS: usize = 500;
/// Characters of a ticket's description.
pub const DESCRIPTION_CHARS: usize = 50_000;
/// Entries of a ticket's metadata.
pub const METADATA_ENTRIES: usize = 50;
/// Characters of a metadata key.
pub const METADATA_KEY_CHARS: usize = 64;
/// Characters of a metadata value.
pub const METADATA_VALUE_CHARS: usize = 1_000;
/// Attachments of a ticket.
pub const ATTACHMENTS: usize = 20;
/// Characters of an attachment's name or media type.
pub const ATTACHMENT_NAME_CHARS: usize = 255;
/// Characters of a URL.
pub const URL_CHARS: usize = 2_000;
/// Bytes of one ticket's body: the longest description in four-byte characters, escaped, fits with room.
pub const TICKET_BODY_BYTES: usize = 1024 * 1024;
/// Characters of the note of a review.
pub const REVIEW_NOTE_CHARS: usize = 2_000;
/// Bytes of a review's body: the longest note, each character escaped, fits with room.
pub const REVIEW_BODY_BYTES: usize = 64 * 1024;
/// Beginnings of one review, when others review the same ticket in between.
pub const REVIEW_TRIES: usize = 8;
/// How far back a category's share of the tickets is counted.
pub const REVIEW_SHARE_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Tickets of one batch.
pub const BATCH_TICKETS: usize = 1_000;
/// Tickets of a batch that are stored in one write, so that others need not wait for all of them.
pub const ACCEPT_AT_ONCE: usize = 200;
/// Batches that are parsed and stored at the same time.
pub const BATCHES_AT_ONCE: usize = 4;
/// Bytes of a batch's body.
pub const BATCH_BODY_BYTES: usize = 50 * 1024 * 1024;
/// Tickets of one page of a list.
pub const PAGE_TICKETS: u32 = 200;
/// Matches of one kind that are looked at in one ticket.
pub const MATCHES_PER_KIND: usize = 200;
/// Entities of one kind that are kept of one ticket.
pub const ENTITIES_PER_KIND: usize = 20;
/// Characters of one entity.
pub const ENTITY_CHARS: usize = 128;
/// Characters of a ticket that recognisers and classifier read: the rest adds time and no meaning.
pub const READ_CHARS: usize = 20_000;
/// Services asked for in one status request.
pub const STATUS_SERVICES: usize = 20;
/// Earlier decisions that count as a customer's history.
pub const HISTORY_DECISIONS: u32 = 5;
/// Time for one tool of ticket routing.
pub const TOOL_TIME: Duration = Duration::from_millis(2_500);
/// Time for one write-back to a ticketing system, all its calls together.
pub const DESK_TIME: Duration = Duration::from_secs(20);
/// How long an attempt whose sender has gone may still arrive at the other side; who looks earlier may look too early.
pub const EFFECT_ON_ITS_WAY: Duration = Duration::from_secs(30);
/// Bytes of an answer from another system.
pub const ANSWER_BYTES: usize = 1024 * 1024;
/// Deaths of the process while a job was leased, after which the job runs alone.
pub const JOB_INTERRUPTIONS_BEFORE_ALONE: u32 = 3;
/// Deaths while the job ran alone, after which it goes to the dead letters.
pub const JOB_INTERRUPTIONS_ALONE: u32 = 3;
/// How long a lease holds without renewal.
pub const LEASE_TIME: Duration = Duration::from_secs(60);
/// Events that a worker has in its hands.
///
/// A tenant holds no more than stays free ([`crate::jobs::fair`]): alone it has half.
pub const JOBS_IN_HAND: usize = 256;
/// Each so-many-eth turn of the queue begins with the last lane.
pub const LANES_TURN: u64 = 8;
/// Tickets of one request from which on they are bulk.
pub const BULK_TICKETS: usize = 20;
/// Events of a tenant in the queue from which on new tickets are looked at for urgency at the door.
pub const BACKLOG_TO_LOOK: u64 = 500;
/// Events of one tenant in the queue from which on its new tickets are refused.
pub const TENANT_BACKLOG: u64 = 250_000;
/// Events of all tenants in the queue from which on new tickets are refused.
pub const BACKLOG: u64 = 1_000_000;
/// When a refused caller may come back: by then some thousands of events were worked off.
pub const BACKLOG_RETRY: Duration = Duration::from_secs(10);
/// How often the lease of work in hand is renewed: two renewals may fail.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(20);
/// Longest time for the work of one event.
pub const JOB_TIME: Duration = Duration::from_secs(600);
/// When an event comes back that nothing could be tried for because our own storage was full.
pub const STORAGE_FULL_WAIT: Duration = Duration::from_secs(5);
/// Longest time that an event waits for its retry: the longest `Retry-After` that is believed, with jitter.
pub const RETRY_WAIT: Duration = Duration::from_secs(3_700);
/// How often a busy worker looks for an event that waits to run alone.
pub const SUSPECT_LOOK: Duration = Duration::from_secs(5);
/// Longest wait between two looks into the queue.
pub const QUEUE_IDLE: Duration = Duration::from_millis(500);
/// Age after which an unfinished ticket without a job is queued again.
pub const UNFINISHED_AGE: Duration = Duration::from_secs(120);
/// How long a ticket and its decision are kept, unless the settings say otherwise.
pub const TICKET_RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long events are archived for replay, unless the settings say otherwise.
pub const EVENT_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest retention that is not forever, in days: a hundred years.
pub const RETENTION_DAYS: u32 = 36_500;
/// How far the wall clock may move between two sweeps before nothing is deleted on its word.
pub const CLOCK_JUMP: Duration = Duration::from_secs(24 * 3600);
/// How long a clock that has jumped must run evenly before it is believed.
pub const CLOCK_PROOF: Duration = Duration::from_secs(24 * 3600);
/// Bytes of one line of a tenant's export: the largest configuration or ticket, escaped, fits with room.
pub const EXPORT_LINE_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a tenant's configuration.
pub const TENANT_CONFIG_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that one tenant's pattern may take when compiled.
pub const PATTERN_BYTES: usize = 1024 * 1024;
/// Examples of one page when a model is trained.
pub const PAGE_EXAMPLES: u32 = 1_000;
/// Examples that a model learns from: the newest; more would take minutes and gigabytes.
pub const EXAMPLES_TO_LEARN: usize = 50_000;
/// Examples beside the configuration's from which on a tenant's first model is trained by itself.
pub const EXAMPLES_FOR_A_MODEL: u64 = 50;
/// How often the use of a key or session is written at most; in between it is only remembered.
pub const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// How long before its end a key is pointed out.
pub const KEY_ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// The longest time that a rotated key still works beside its successor.
pub const KEY_OVERLAP_MOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Keys of a tenant that are in force; keys that are made at the same moment may be a few more. Lists of keys are not paged.
pub const KEYS_IN_FORCE: usize = 500;
/// Keys of a tenant that are kept after they were revoked or have expired; of more, those that ended first are forgotten. The
/// audit log keeps what became of them.
pub const DEAD_KEYS_KEPT: usize = 500;
/// Keys that one write forgets at most: well below the 100 items that a transaction of DynamoDB may have.
pub const KEYS_FORGOTTEN_AT_ONCE: usize = 50;
/// How long a store takes a key as it found it, so that one revoked by another process is refused within 5 seconds.
pub const KEY_CACHE_TIME: Duration = Duration::from_secs(4);
/// Keys that a store remembers, unknown ones too.
pub const KEYS_CACHED: u64 = 10_000;
/// Characters of a key's name.
pub const KEY_NAME_CHARS: usize = 200;
/// Entries of one page of the audit log.
pub const PAGE_AUDIT: u32 = 1_000;
/// A session that is not used for so long ends (OWASP ASVS 5.0, 7.3.1 asks for a figure).
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends after so long, however busy it is (OWASP ASVS 5.0, 7.3.2 asks for a figure).
pub const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions at the same time; the oldest make room.
pub const SESSIONS: u32 = 100;
/// Bytes of a login's body.
pub const LOGIN_BODY_BYTES: usize = 8 * 1024;
/// Bytes of the body of a request about keys.
pub const KEY_BODY_BYTES: usize = 8 * 1024;
/// Passwords that are checked at the same time: each takes 19 MiB and one processor.
pub const PASSWORDS_AT_ONCE: usize = 2;
/// Logins that wait for that at most; more are refused at once.
pub const LOGINS_WAITING: usize = 16;
/// Wrong passwords of one address from which on sign-in is locked for it.
pub const LOGIN_FAILURES: u64 = 5;
/// Wrong passwords of all addresses together from which on sign-in is locked for all.
pub const LOGIN_FAILURES_OF_ALL: u64 = 100;
/// The first lock; each further wrong password doubles it.
pub const LOGIN_LOCK_LEAST: Duration = Duration::from_secs(30);
/// The longest lock of one address.
pub const LOGIN_LOCK_MOST: Duration = Duration::from_secs(3600);
/// The longest lock of all: short, because it also locks out the operator.
pub const LOGIN_LOCK_OF_ALL_MOST: Duration = Duration::from_secs(60);
/// Without a further wrong password, the ones before are forgotten after so long.
pub const LOGIN_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// Addresses whose wrong passwords are remembered.
pub const LOGIN_ADDRESSES: usize = 10_000;
/// How far the timestamp of a web hook that comes in may be from our clock, either way.
pub const WEBHOOK_SKEW: Duration = Duration::from_secs(300);
/// Secrets of a tenant's web hook: the one in use, and the next or the last one.
pub const WEBHOOK_SECRETS: usize = 2;
/// Bytes of a token of an OIDC issuer.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Keys of an issuer.
pub const ISSUER_KEYS: usize = 100;
/// How often an issuer's keys are fetched again without a reason.
pub const ISSUER_KEYS_TIME: Duration = Duration::from_secs(600);
/// How often they are fetched at most because a token names an unknown one, or because the issuer was down.
pub const ISSUER_ASKED_EVERY: Duration = Duration::from_secs(30);
/// How long keys are trusted while the issuer cannot be reached.
pub const ISSUER_KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Time for one document of an issuer.
pub const ISSUER_TIME: Duration = Duration::from_secs(5);
/// Categories that a model chooses from: of more, the local classifier's most probable.
pub const MODEL_CATEGORIES: usize = 40;
/// Characters of a ticket that a model reads.
pub const MODEL_TICKET_CHARS: usize = 8_000;
/// The longest that a decision may be kept waiting for what a trial's configuration would have decided, in seconds.
pub const SHADOW_SECONDS: u64 = 60;
/// Times that a model which plans by itself is asked for its next step.
pub const AGENT_STEPS: u32 = 6;
/// Tools that it may call altogether.
pub const AGENT_TOOL_CALLS: usize = 14;
/// Tokens, read and written, after which it plans no further.
pub const AGENT_TOKENS: u64 = 30_000;
/// Models of a chain.
pub const MODEL_CHAIN: usize = 5;
/// Bytes of one text that is embedded: more than any model reads.
pub const EMBED_TEXT_BYTES: usize = 64 * 1024;
/// Texts of one call that embeds: some servers take no more.
pub const EMBED_BATCH_TEXTS: usize = 32;
/// Bytes of the texts of one such call: a token is a byte at least, and OpenAI takes 300,000 of them.
pub const EMBED_BATCH_BYTES: usize = 256 * 1024;
/// Calls that embed one list of texts at the same time.
pub const EMBED_AT_ONCE: usize = 4;
/// Texts of such a list.
pub const EMBED_TEXTS: usize = 10_000;
/// Dimensions of a vector.
pub const EMBED_DIMENSIONS: usize = 4_096;
/// Bytes of an answer with vectors: a full call of the most dimensions, its numbers written out, fits with room.
pub const EMBED_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest that one call that embeds may take.
pub const EMBED_TIME: Duration = Duration::from_secs(30);
/// Bytes of a model's name.
pub const MODEL_NAME_BYTES: usize = 256;
/// Bytes of the name of a region of AWS.
pub const REGION_BYTES: usize = 32;
/// Times that one model is asked the same before the next of its chain is.
pub const MODEL_TRIES: u32 = 3;
/// The wait before a model is asked again; it doubles with each try.
pub const MODEL_BACK_OFF: Duration = Duration::from_millis(250);
/// The longest `Retry-After` that is waited for; a longer one is the next model's turn.
pub const MODEL_RETRY_AFTER: Duration = Duration::from_secs(2);
/// A model that took so long to fail is not asked again.
pub const MODEL_TRIES_TIME: Duration = Duration::from_secs(5);
/// The longest that a guardrail may take.
pub const GUARDRAIL_TIME: Duration = Duration::from_secs(5);
/// The least that any model is waited for, however quick it is when it is well.
pub const MODEL_PATIENCE: Duration = Duration::from_secs(1);
/// The longest that a small model may take for an answer, and for each piece of one that is streamed.
pub const SMALL_MODEL_TIME: Duration = Duration::from_secs(10);
/// The same for a large one.
pub const LARGE_MODEL_TIME: Duration = Duration::from_secs(30);
/// The longest that a streamed answer may take as a whole.
pub const MODEL_STREAM_TIME: Duration = Duration::from_secs(300);
/// The longest that all tries of all models of a chain may take together.
pub const MODEL_ASK_TIME: Duration = Duration::from_secs(60);
/// Bytes of answers that are kept to be given again.
pub const MODEL_CACHE_BYTES: u64 = 16 << 20;
/// How long an answer is given again.
pub const MODEL_CACHE_TIME: Duration = Duration::from_secs(3600);
/// Calls of one tenant and customer within [`POOL_LOOK`] from which on money is reserved for several at once.
pub const POOL_FROM: u64 = 8;
/// The most calls for which money is reserved at once: so many that one in a hundred calls does not wait for the disk.
pub const POOL_CALLS: u64 = 256;
/// How long such calls are counted.
pub const POOL_LOOK: Duration = Duration::from_secs(1);
/// Such reservations of one tenant and customer at the same time.
pub const POOL_PURSES: usize = 16;
/// The part of the tightest ceiling that one such reservation takes at most: a hundredth.
pub const POOL_SHARE: u64 = 100;
/// How long such a reservation lies unused before it is given back.
pub const POOL_IDLE: Duration = Duration::from_secs(2);
/// After so long nothing more is taken out of it.
pub const POOL_LENDS: Duration = Duration::from_secs(60);
/// After so long its calls have ended or gone: each ends in [`MODEL_TIME`] or [`MODEL_STREAM_TIME`].
pub const POOL_TIME: Duration = Duration::from_secs(900);
/// Days for which a tenant's spend is kept.
pub const USAGE_DAYS: u32 = 400;
/// The highest budget in US dollars: one more digit is a slip.
pub const BUDGET_USD: f64 = 1_000_000.0;
/// The longest that one call of a model may take, whatever stands around it, its answer included.
pub const MODEL_TIME: Duration = Duration::from_secs(300);
/// The longest wait for the first or the next piece of a model's answer that comes as it is written: a large model may be
/// loaded first, or think.
pub const MODEL_IDLE: Duration = Duration::from_secs(60);
/// Bytes of an answer that comes as it is written: some 250 for a token, for the longest answers that models give.
pub const MODEL_STREAM_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one event of such an answer: some servers send the whole input of a tool in one.
pub const MODEL_EVENT_BYTES: usize = 1024 * 1024;
/// Tools that a model asks for in one answer.
pub const MODEL_TOOL_USES: usize = 32;
