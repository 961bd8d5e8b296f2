//! The guard under attack. What would be connected to is counted where connections are made: behind the resolver, and at a
//! listener on this machine.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use switchboard_core::error::ErrorKind;
use switchboard_testkit::doubles::{CustomerDouble, Fault};
use tokio::net::TcpListener;

use super::{
    guard::{Found, Lookup},
    *,
};
use crate::address::tests::iana;

/// `refused`: never gets to a connection. `name`: gets to the resolver, which finds this machine. `public`: may be called.
const TARGETS: &str = include_str!("tests/targets.txt");

fn targets() -> impl Iterator<Item = (&'static str, String)> {
    TARGETS.lines().map(|line| {
        let (kind, url) = line.split_once(' ').unwrap();
        (kind, url.replace("\\t", "\t").replace("\\n", "\n").replace("\\x01", "\u{1}"))
    })
}

/// Counts the connections to a port of this machine, and ends each at once.
struct Trap {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Trap {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A name server that says one thing after the other; the last answer stays.
#[derive(Clone)]
pub(super) struct Scripted(Arc<Mutex<VecDeque<Vec<IpAddr>>>>);

impl Scripted {
    pub(super) fn new(answers: &[&[&str]]) -> Self {
        let parsed = answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect());
        Self(Arc::new(Mutex::new(parsed.collect())))
    }
}

impl Lookup for Scripted {
    fn lookup(&self, _name: String) -> Found {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        Box::pin(async move { Ok(answer.into_iter().map(|address| SocketAddr::new(address, 0)).collect()) })
    }
}

/// Stands where connections are made: writes down each address that is handed there, and leads the connection to a trap.
#[derive(Clone)]
struct Recorder {
    inner: Arc<dyn Resolve>,
    handed: Arc<Mutex<Vec<Vec<IpAddr>>>>,
    to: SocketAddr,
}

impl Recorder {
    fn new(inner: impl Resolve + 'static, to: SocketAddr) -> Self {
        Self { inner: Arc::new(inner), handed: Arc::default(), to }
    }

    fn handed(&self) -> Vec<Vec<IpAddr>> {
        self.handed.lock().unwrap().clone()
    }
}

impl Resolve for Recorder {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, handed, to) = (self.inner.resolve(name), Arc::clone(&self.handed), self.to);
        Box::pin(async move {
            let found: Vec<IpAddr> = found.await?.map(|address| address.ip()).collect();
            handed.lock().unwrap().push(found);
            Ok(Box::new(std::iter::once(to)) as Addrs)
        })
    }
}

/// The resolver without the guard, to see that the traps work.
struct Unguarded(Scripted);

impl Resolve for Unguarded {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.0.lookup(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as Addrs) })
    }
}

fn get(url: Url) -> Request<'static> {
    let time = Duration::from_secs(5);
    let (headers, body) = (Vec::new(), None);
    Request { method: Method::GET, url, who: "the source", credential: None, headers, body, reads_body: true, time }
}

#[tokio::test]
async fn no_spelling_gets_a_connection_to_what_is_not_public() {
    let trap = Trap::start().await;
    let recorder = Recorder::new(GuardedResolver(Scripted::new(&[&["127.0.0.1", "::1"]])), trap.address);
    let outbound = Outbound::resolving_by(OutboundPolicy::default(), recorder.clone()).unwrap();
    let (mut tried, mut resolved, mut wrong) = (0, 0, Vec::new());
    for (kind, text) in targets() {
        let text = text.replace("{port}", &trap.address.port().to_string());
        tried += 1;
        let Ok(url) = base_url(&text, "the source") else {
            // What is no URL is refused as well.
            if kind == "public" {
                wrong.push(format!("{text} is no URL"));
            }
            continue;
        };
        let checked =
            guard::check_url(&url, "the source").is_ok() && url.username().is_empty() && url.password().is_none();
        if checked != (kind != "refused") {
            wrong.push(format!("{text} is let through to the resolver or connector: {checked}"));
        }
        if kind == "public" {
            continue;
        }
        resolved += u32::from(kind == "name");
        match outbound.send(get(url)).await {
            Err(error) if error.kind() == ErrorKind::Invalid && !error.may_have_applied() => {}
            Err(error) => wrong.push(format!("{text} failed otherwise: {error}")),
            Ok(_) => wrong.push(format!("{text} was called")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 300 && resolved >= 50, "{tried} targets, {resolved} of them by name");
    assert_eq!((trap.connections(), recorder.handed().len()), (0, 0));
}

#[tokio::test]
async fn without_the_guard_the_same_names_do_connect() {
    let trap = Trap::start().await;
    let recorder = Recorder::new(Unguarded(Scripted::new(&[&["127.0.0.1"]])), trap.address);
    let outbound = Outbound::resolving_by(OutboundPolicy::default(), recorder.clone()).unwrap();
    let error = outbound.send(get("https://127.0.0.1.nip.io/".parse().unwrap())).await.err().unwrap();
    assert_eq!((error.kind(), trap.connections(), recorder.handed().len()), (ErrorKind::Unavailable, 1, 1));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_leads_to_public_addresses_only() {
    let answers: &[&[&str]] = &[
        &["93.184.216.34"],
        &["127.0.0.1"],
        &["93.184.216.34", "127.0.0.1"],
        &["10.0.0.1", "169.254.169.254", "93.184.216.34"],
        &["::ffff:127.0.0.1", "2606:4700::1"],
        &["64:ff9b::a9fe:a9fe"],
        &["2002:7f00:1::1", "fe80::1", "::"],
        &[],
        &["93.184.216.34"],
        &["0.0.0.0"],
    ];
    let is_public = |address: &str| iana::is_globally_reachable(address.parse().unwrap());
    let expected: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| {
            answer.iter().filter(|address| is_public(address)).map(|address| address.parse().unwrap()).collect()
        })
        .filter(|answer: &Vec<IpAddr>| !answer.is_empty())
        .collect();
    let trap = Trap::start().await;
    let recorder = Recorder::new(GuardedResolver(Scripted::new(answers)), trap.address);
    let outbound = Outbound::resolving_by(OutboundPolicy::default(), recorder.clone()).unwrap();
    for answer in answers {
        let error = outbound.send(get("https://rebind.example/".parse().unwrap())).await.err().unwrap();
        let reached = answer.iter().any(|address| is_public(address));
        let kind = if reached || answer.is_empty() { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        assert_eq!((error.kind(), error.may_have_applied()), (kind, false), "{answer:?}: {error}");
    }
    assert_eq!(recorder.handed(), expected);
    assert_eq!(trap.connections(), 5);
}

#[tokio::test]
async fn a_redirect_to_any_of_them_is_not_followed() {
    let (trap, double) = (Trap::start().await, CustomerDouble::start().await);
    let recorder = Recorder::new(GuardedResolver(Scripted::new(&[&["127.0.0.1"]])), trap.address);
    let policy = OutboundPolicy { allow_hosts: vec![double.host()] };
    let outbound = Outbound::resolving_by(policy, recorder.clone()).unwrap();
    let url: Url = format!("{}/customers/1", double.url()).parse().unwrap();
    let mut tried = 0;
    for (_, target) in targets() {
        let target = target.replace("{port}", &trap.address.port().to_string());
        if reqwest::header::HeaderValue::from_str(&target).is_err() {
            continue;
        }
        double.next(Fault::Redirect { to: target.clone() });
        let error = outbound.send(get(url.clone())).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::BadAnswer, "{target}: {error}");
        tried += 1;
    }
    assert!(tried >= 250, "{tried} redirects");
    assert_eq!((trap.connections(), recorder.handed().len(), double.requests()), (0, 0, tried));
}

/// Set in the process that [`proxies_of_the_environment_are_not_asked`] starts.
const INNER: &str = "SWITCHBOARD_TEST_BEHIND_A_PROXY";

/// The variables are read when a client is built, and a test cannot set them for itself: it runs itself again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment_are_not_asked() {
    if std::env::var_os(INNER).is_some() {
        return behind_a_proxy().await;
    }
    let proxy = Trap::start().await;
    let address = format!("http://{}", proxy.address);
    let run = |what: &'static str| {
        let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
        inner.args(["--exact", "outbound::tests::proxies_of_the_environment_are_not_asked"]).env(INNER, what);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            inner.env(name, &address);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            inner.env_remove(name);
        }
        inner
    };
    let inner = run("calls").output().unwrap();
    assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
    assert_eq!(proxy.connections(), 0);
    // The operator's own downloads do use it, which shows that the variables count.
    let inner = run("download").output().unwrap();
    assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
    assert!(proxy.connections() > 0);
}

async fn behind_a_proxy() {
    let url: Url = "https://proxied.example/".parse().unwrap();
    if std::env::var(INNER).unwrap() == "download" {
        assert!(for_download(&url).unwrap().get(url).send().await.is_err());
        return;
    }
    let trap = Trap::start().await;
    let recorder = Recorder::new(GuardedResolver(Scripted::new(&[&["93.184.216.34"]])), trap.address);
    let outbound = Outbound::resolving_by(OutboundPolicy::default(), recorder.clone()).unwrap();
    assert!(outbound.send(get(url)).await.is_err());
    assert_eq!((trap.connections(), recorder.handed().len()), (1, 1));
    let allowed = Outbound::new(OutboundPolicy { allow_hosts: vec![trap.address.to_string()] }).unwrap();
    assert!(allowed.send(get(format!("http://{}/", trap.address).parse().unwrap())).await.is_err());
    assert_eq!(trap.connections(), 2);
}
