//! One connection to the database, made again when it is lost.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rustls_tokio_postgres::MakeRustlsConnect;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Error, NoTls, Row};

use super::address::{Access, Address};
use super::error::DatabaseError;
use super::parameter::Parameter;
use super::tls::tls;

/// The longest wait for an answer, unless the caller says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest wait for a connection, over all hosts.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The least of it that one host gets, if there are many.
const SHORTEST_CONNECT: Duration = Duration::from_secs(2);

/// One connection to the database. It is made when it is first needed, and again after any error, so that nothing of a failed
/// transaction is left.
///
/// All of it has to run on one [`Background`](super::Background).
#[derive(Debug)]
pub struct Session {
    address: Address,
    access: Access,
    /// Whether it is within a transaction, which can't go on with another connection.
    is_pinned: bool,
    /// Absent until it is needed. The system's certificates take some time to read.
    tls: Option<MakeTls>,
    connection: Option<Open>,
    generation: u64,
    /// The host that was connected last. It is tried first, as the others may be standbys.
    host: usize,
}

struct MakeTls(MakeRustlsConnect);

impl std::fmt::Debug for MakeTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeTls")
    }
}

#[derive(Debug)]
struct Open {
    client: Client,
    /// Moves the bytes. It returns what ended the connection.
    driver: JoinHandle<Result<(), Error>>,
    /// Its other end is dropped when the connection ends.
    ended: watch::Receiver<()>,
}

impl Open {
    fn new(client: Client, connection: impl Future<Output = Result<(), Error>> + Send + 'static) -> Self {
        let (open, ended) = watch::channel(());
        let driver = tokio::spawn(async move {
            let _open = open;
            connection.await
        });
        Self { client, driver, ended }
    }
}

impl Session {
    /// A session without a connection. Only a session that may write insists on a server that can.
    pub fn new(address: Address, access: Access) -> Self {
        Self { address, access, is_pinned: false, tls: None, connection: None, generation: 0, host: 0 }
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections there have been. If it changes between two statements, they ran on different connections.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether there is a connection, as far as it is known.
    pub fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|open| !open.client.is_closed())
    }

    /// Waits until the connection is closed, if there is one.
    pub async fn closed(&self) {
        if let Some(open) = &self.connection {
            let mut ended = open.ended.clone();
            while ended.changed().await.is_ok() {}
        }
    }

    /// Closes the connection. The next statement makes a new one.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// A transaction has begun: until it ends, no other connection is made.
    pub fn pin(&mut self) {
        self.is_pinned = true;
    }

    /// The transaction has ended. If it failed, the caller closes the connection.
    pub fn unpin(&mut self) {
        self.is_pinned = false;
    }

    /// Connects if there is no connection.
    ///
    /// # Errors
    /// When no server accepts the connection.
    pub async fn connect(&mut self) -> Result<(), DatabaseError> {
        if self.is_open() {
            return Ok(());
        }
        if self.is_pinned {
            return Err(DatabaseError::away("the connection was lost within a transaction"));
        }
        self.close();
        let hosts = self.address.hosts().len();
        let each = CONNECT_DEADLINE / u32::try_from(hosts.max(2)).unwrap_or(u32::MAX);
        let each = each.max(SHORTEST_CONNECT);
        let mut failure: Option<DatabaseError> = None;
        for n in 0..hosts {
            let host = (self.host + n) % hosts;
            match self.connect_to(host, each).await {
                Ok(open) => {
                    self.host = host;
                    self.generation += 1;
                    self.connection = Some(open);
                    return Ok(());
                }
                // Waiting can help if it can for one of them. Otherwise, the first one says most.
                Err(error) => {
                    let is_better = failure.as_ref().is_none_or(|first| error.is_away() && !first.is_away());
                    if is_better {
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| DatabaseError::refused("the address of the database names no host")))
    }

    async fn connect_to(&mut self, host: usize, deadline: Duration) -> Result<Open, DatabaseError> {
        let host = self.address.hosts()[host].clone();
        let config = self.address.config(&host, self.access, deadline / 2);
        let tls = if self.address.uses_tls(&host) { Some(self.tls()?) } else { None };
        let connected = timeout(deadline, async {
            match tls {
                Some(tls) => {
                    config.connect(tls).await.map(|(client, connection)| Open::new(client, connection))
                }
                None => config.connect(NoTls).await.map(|(client, connection)| Open::new(client, connection)),
            }
        });
        let error = match connected.await {
            Ok(Ok(open)) => return Ok(open),
            Ok(Err(error)) => DatabaseError::of(&error, &self.address, &host),
            Err(_elapsed) => DatabaseError::away("the server doesn't answer"),
        };
        Err(error.at(&host.to_string()))
    }

    fn tls(&mut self) -> Result<MakeRustlsConnect, DatabaseError> {
        if self.tls.is_none() {
            self.tls = Some(MakeTls(tls(self.address.root_certificate())?));
        }
        let made = self.tls.as_ref().map(|MakeTls(made)| made.clone());
        Ok(made.expect("it was made above"))
    }

    /// Runs a statement, and returns its rows.
    ///
    /// # Errors
    /// When the server can't be reached, doesn't answer in time or refuses the statement. There is no connection then.
    pub async fn query(&mut self, sql: &str, parameters: Vec<Parameter>) -> Result<Vec<Row>, DatabaseError> {
        self.query_within(DEADLINE, sql, parameters).await
    }

    /// The same with this deadline.
    ///
    /// # Errors
    /// As there.
    pub async fn query_within(
        &mut self,
        deadline: Duration,
        sql: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.connect().await?;
        let client = self.client();
        let typed: Vec<_> = parameters.iter().map(Parameter::typed).collect();
        let result = within(deadline, client.query_typed(sql, &typed)).await;
        self.outcome(result).await
    }

    /// Runs statements without parameters, as one transaction unless they say otherwise.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.batch_within(DEADLINE, sql).await
    }

    /// The same with this deadline.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn batch_within(&mut self, deadline: Duration, sql: &str) -> Result<(), DatabaseError> {
        self.connect().await?;
        let result = within(deadline, self.client().batch_execute(sql)).await;
        self.outcome(result).await
    }

    /// Begins a transaction, and runs statements in it. All are sent before the first answer is waited for. Returns the rows of
    /// each statement.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn begin_with(
        &mut self,
        deadline: Duration,
        begin: &str,
        statements: &[Statement],
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.connect().await?;
        self.pin();
        let client = self.client();
        let typed: Vec<Vec<_>> = statements
            .iter()
            .map(|(_, parameters)| parameters.iter().map(Parameter::typed).collect())
            .collect();
        let mut answers: Vec<Answer<'_>> =
            vec![Box::pin(async { client.batch_execute(begin).await.map(|()| Vec::new()) })];
        for ((sql, _), typed) in statements.iter().zip(&typed) {
            answers.push(Box::pin(client.query_typed(sql, typed)));
        }
        let result = within(deadline, all(answers)).await;
        let mut rows = self.outcome(result).await?;
        rows.remove(0);
        Ok(rows)
    }

    /// The client of the connection that [`connect`](Self::connect) made.
    fn client(&self) -> &Client {
        &self.connection.as_ref().expect("it is connected").client
    }

    /// What came of a step. After an error there is no connection.
    async fn outcome<T>(&mut self, result: Result<T, Step>) -> Result<T, DatabaseError> {
        let host = self.address.hosts()[self.host].clone();
        let error = match result {
            Ok(value) => return Ok(value),
            Err(Step::Late(deadline)) => {
                DatabaseError::away(&format!("no answer within {}s", deadline.as_secs_f64()))
            }
            Err(Step::Failed(error)) => {
                let ended = if error.is_closed() { self.end().await } else { None };
                DatabaseError::of(ended.as_ref().unwrap_or(&error), &self.address, &host)
            }
        };
        self.abandon();
        Err(error.at(&host.to_string()))
    }

    /// What ended the connection, if that is known.
    async fn end(&mut self) -> Option<Error> {
        let driver = &mut self.connection.as_mut()?.driver;
        if !driver.is_finished() {
            return None;
        }
        driver.await.ok()?.err()
    }

    /// Closes the connection without waiting for answers that are on their way.
    fn abandon(&mut self) {
        if let Some(open) = self.connection.take() {
            open.driver.abort();
        }
    }
}

/// A statement, and what stands for its `$1`, `$2` and so on.
pub type Statement = (String, Vec<Parameter>);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

/// Waits for all answers, or for the first error. What is asked is sent in this order.
async fn all(mut answers: Vec<Answer<'_>>) -> Result<Vec<Vec<Row>>, Error> {
    let mut results: Vec<Option<Vec<Row>>> = answers.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (answer, result) in answers.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            match answer.as_mut().poll(context) {
                Poll::Ready(Ok(rows)) => *result = Some(rows),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(results.into_iter().flatten().collect())
}

/// Why a step has no result.
enum Step {
    Late(Duration),
    Failed(Error),
}

async fn within<T>(deadline: Duration, step: impl Future<Output = Result<T, Error>>) -> Result<T, Step> {
    match timeout(deadline, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Step::Failed(error)),
        Err(_elapsed) => Err(Step::Late(deadline)),
    }
}
