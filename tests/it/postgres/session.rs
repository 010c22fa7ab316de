//! A connection of a test, without anything of the program.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A connection to PostgreSQL that blocks its thread.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Connects without TLS.
    #[track_caller]
    pub(crate) fn open(address: &str) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    pub(crate) fn try_open(address: &str) -> Result<Self, tokio_postgres::Error> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let mut config: Config = address.parse()?;
            config.connect_timeout(Duration::from_secs(20));
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        })?;
        Ok(Self { runtime, client })
    }

    /// Runs statements by the simple protocol.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The rows, as text; an empty text stands for NULL.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub(crate) fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }
}
