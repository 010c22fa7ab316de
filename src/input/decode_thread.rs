//! Decodes an input in a thread of its own, while another thread builds rows.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// The bytes of a chunk, and the most chunks that wait to be read. One MiB in all is enough to keep both threads busy.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;

/// Reads what the other thread has decoded.
#[derive(Debug)]
pub(super) struct DecodeThread {
    /// An empty chunk or an error is the last.
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
    has_ended: bool,
}

impl DecodeThread {
    /// Starts the thread. Fails if the system allows no more threads.
    pub(super) fn spawn(input: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        // The thread ends with the input, or when the receiver is dropped.
        thread::Builder::new().spawn(move || read(input, &sender))?;
        Ok(Self { chunks, chunk: Vec::new(), at: 0, has_ended: false })
    }
}

fn read(mut input: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = match input.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let is_last = matches!(read, Ok(0) | Err(_));
        let sent = sender.send(read.map(|len| {
            chunk.truncate(len);
            chunk
        }));
        if is_last || sent.is_err() {
            return;
        }
    }
}

impl Read for DecodeThread {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.has_ended {
            self.at = 0;
            let next =
                self.chunks.recv().unwrap_or_else(|_gone| Err(io::Error::other("decoding has failed")));
            self.has_ended = next.as_ref().map_or(true, Vec::is_empty);
            self.chunk = next.inspect_err(|_| self.chunk.clear())?;
        }
        let read = (&self.chunk[self.at..]).read(into)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at the end.
    struct Torn(io::Cursor<Vec<u8>>);

    impl Read for Torn {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn all_bytes_come_in_their_order_and_then_the_error() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut whole = Vec::new();
        DecodeThread::spawn(io::Cursor::new(bytes.clone())).unwrap().read_to_end(&mut whole).unwrap();
        assert!(whole == bytes);

        let (mut torn, mut before) =
            (DecodeThread::spawn(Torn(io::Cursor::new(bytes.clone()))).unwrap(), Vec::new());
        assert_eq!(torn.read_to_end(&mut before).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(before == bytes);
    }
}
