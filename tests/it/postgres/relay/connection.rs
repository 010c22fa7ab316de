//! The connections of a relay: where messages, requests and replies end, and what becomes of them.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Cut, Mode, Shared};

/// What asks for TLS or encryption by GSSAPI, instead of the start of a session.
const ASKS_FOR_ENCRYPTION: [[u8; 4]; 2] = [80_877_103_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()];

/// What one direction of a connection has to know of the other.
#[derive(Default)]
struct Conversation {
    /// Requests that were forwarded on this connection.
    requests: usize,
    /// Which reply, counted from 1, is treated how.
    cut: Option<(usize, Cut)>,
}

/// Accepts connections as long as the relay lives.
pub(super) async fn listen(first: TcpListener, shared: Arc<Shared>) {
    let address = first.local_addr().unwrap();
    let (mut listener, mut mode) = (Some(first), shared.mode.subscribe());
    loop {
        if *mode.borrow_and_update() == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        shared.listens.send_replace(listener.is_some());
        let Some(listener) = &listener else {
            mode.changed().await.unwrap();
            continue;
        };
        tokio::select! {
            accepted = listener.accept() => {
                let client = accepted.unwrap().0;
                shared.state().connections += 1;
                tokio::spawn(connect(client, Arc::clone(&shared), shared.generation.subscribe()));
            }
            changed = mode.changed() => changed.unwrap(),
        }
    }
}

/// Carries one connection until an end closes it or it is cut. Then both ends are closed.
async fn connect(client: TcpStream, shared: Arc<Shared>, mut generation: watch::Receiver<usize>) {
    tokio::select! {
        // An end that closes its connection, in whatever manner, is not an error of the relay.
        _ = relay(client, &shared) => {}
        _ = generation.changed() => {}
    }
}

async fn relay(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let start = start(&mut client).await?;
    passes(shared).await;
    let mut server = TcpStream::connect(shared.server).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    server.write_all(&start).await?;
    let conversation = Mutex::new(Conversation::default());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = requests(from_client, to_server, shared, &conversation) => ended,
        ended = replies(from_server, to_client, shared, &conversation) => ended,
    }
}

/// Reads the start of a session. Before it, a client may ask for encryption, which there is none of.
async fn start(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    loop {
        let mut message = vec![0; 4];
        client.read_exact(&mut message).await?;
        read_rest(client, &mut message).await?;
        if !ASKS_FOR_ENCRYPTION.iter().any(|code| message.get(4..8) == Some(code)) {
            return Ok(message);
        }
        client.write_all(b"N").await?;
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    conversation: &Mutex<Conversation>,
) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        let kind = read_message(&mut client, &mut request).await?;
        // Passwords and the end of a session are no requests.
        let is_request = !matches!(kind, b'p' | b'X');
        if is_request && !matches!(kind, b'Q' | b'S') {
            continue;
        }
        passes(shared).await;
        let cut = if is_request { due(shared, &request) } else { None };
        match cut {
            Some(Cut::BeforeRequest) => {
                happens(shared);
                return Ok(());
            }
            Some(Cut::HalfRequest) => {
                server.write_all(&request[..request.len() / 2]).await?;
                happens(shared);
                return Ok(());
            }
            Some(Cut::BeforeReply | Cut::HalfReply | Cut::HoldReply) | None => {}
        }
        if is_request {
            let mut conversation = conversation.lock().unwrap();
            conversation.requests += 1;
            if let Some(cut) = cut {
                conversation.cut = Some((conversation.requests, cut));
            }
            shared.state().requests += 1;
        }
        server.write_all(&request).await?;
        request.clear();
    }
}

async fn replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    conversation: &Mutex<Conversation>,
) -> io::Result<()> {
    let (mut reply, mut replies, mut has_started) = (Vec::new(), 0, false);
    loop {
        let kind = match read_message(&mut server, &mut reply).await {
            Ok(kind) => kind,
            // The server's last words, such as why it ends the connection.
            Err(error) => {
                passes(shared).await;
                client.write_all(&reply).await?;
                return Err(error);
            }
        };
        // A server that is sent rows says that it is ready for them.
        let is_end = matches!(kind, b'Z' | b'G');
        if has_started && !is_end {
            continue;
        }
        passes(shared).await;
        let is_reply = has_started && kind == b'Z';
        has_started |= kind == b'Z';
        replies += usize::from(is_reply);
        let cut = conversation.lock().unwrap().cut;
        let cut = cut.and_then(|(number, cut)| (is_reply && number == replies).then_some(cut));
        match cut {
            Some(Cut::BeforeReply) => {
                happens(shared);
                return Ok(());
            }
            Some(Cut::HalfReply) => {
                client.write_all(&reply[..reply.len() / 2]).await?;
                happens(shared);
                return Ok(());
            }
            Some(Cut::HoldReply) => {
                happens(shared);
                std::future::pending::<()>().await;
            }
            Some(Cut::BeforeRequest | Cut::HalfRequest) | None => client.write_all(&reply).await?,
        }
        reply.clear();
    }
}

/// What is armed for this request. It stays armed until it has happened, and is handed out once.
fn due(shared: &Shared, request: &[u8]) -> Option<Cut> {
    let mut state = shared.state();
    let armed = state.armed.as_mut()?;
    let contains = armed.containing.is_empty()
        || request.windows(armed.containing.len()).any(|window| window == armed.containing);
    if !contains || armed.is_due {
        return None;
    }
    armed.is_due = armed.to_pass == 0;
    armed.to_pass = armed.to_pass.saturating_sub(1);
    armed.is_due.then_some(armed.cut)
}

fn happens(shared: &Shared) {
    shared.state().armed = None;
    shared.happened.send_modify(|happened| *happened += 1);
}

/// Returns when nothing is stalled.
async fn passes(shared: &Shared) {
    shared.mode.subscribe().wait_for(|mode| *mode == Mode::Pass).await.unwrap();
}

/// Adds the next message to what was read before it, and returns its type.
async fn read_message(from: &mut OwnedReadHalf, messages: &mut Vec<u8>) -> io::Result<u8> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    let kind = message.remove(0);
    let read = read_rest(from, &mut message).await;
    messages.push(kind);
    messages.append(&mut message);
    read.map(|()| kind)
}

/// Reads the rest of a message that begins with its length.
async fn read_rest(from: &mut (impl AsyncReadExt + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::from_be_bytes(message.as_slice().try_into().unwrap());
    message.resize(length as usize, 0);
    from.read_exact(&mut message[4..]).await.map(drop)
}
