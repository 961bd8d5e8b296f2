//! Answers that the emulator never gives: requests are led to a server that gives them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut, retry::RetryConfig,
    },
    error::BoxError,
};
use switchboard_aws::Clients;

/// The next so many requests of one operation get one answer.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    operation: &'static str,
    address: SocketAddr,
    left: Arc<AtomicUsize>,
}

impl Faults {
    /// The clients with requests of `operation` answered by status 400 and `body`, when told to. The SDK tries once, so that
    /// a test need not wait for it.
    pub(crate) fn of(clients: &Clients, operation: &'static str, body: &'static str) -> (Clients, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || answer(stream, body));
            }
        });
        let faults = Self { operation, address, left: Arc::default() };
        let config = clients.dynamo.config().to_builder().interceptor(faults.clone());
        let config = config.retry_config(RetryConfig::disabled()).build();
        (Clients { dynamo: aws_sdk_dynamodb::Client::from_conf(config), ..clients.clone() }, faults)
    }

    /// From now on, so many.
    pub(crate) fn next(&self, requests: usize) {
        self.left.store(requests, Ordering::SeqCst);
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

impl Intercept for Faults {
    fn name(&self) -> &'static str {
        "faults"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let ours = request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(self.operation));
        let one_less = |left: usize| left.checked_sub(1);
        if ours && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            request.set_uri(format!("http://{}/", self.address))?;
        }
        Ok(())
    }
}

fn answer(mut stream: TcpStream, body: &str) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut sent = vec![0; length];
        if length == 0 || reader.read_exact(&mut sent).is_err() {
            return;
        }
        let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.0";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
}
