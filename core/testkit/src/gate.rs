//! A door between the hub and a server that it needs: forwards connections, until a test shuts it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the door stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Every connection is broken, and new ones are refused at once.
    Shut,
    /// Every connection stays, and nothing goes through.
    Stuck,
}

/// The door; connections through it end when it is dropped.
pub struct Gate {
    /// Where to connect instead of to the server.
    pub address: SocketAddr,
    door: watch::Sender<Door>,
    tries: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Gate {
    /// An open door to a server, given as `host:port`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (door, watching) = watch::channel(Door::Open);
        let tries = Arc::new(AtomicUsize::new(0));
        let (counted, server) = (Arc::clone(&tries), server.to_owned());
        let accepting = tokio::spawn(async move {
            let mut through = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (watching, server) = (watching.clone(), server.clone());
                through.spawn(async move { drop(pass(stream, &server, watching).await) });
                while through.try_join_next().is_some() {}
            }
        });
        Self { address, door, tries, accepting }
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.door.send_replace(Door::Open);
    }

    /// Breaks all connections and refuses new ones.
    pub fn shut(&self) {
        self.door.send_replace(Door::Shut);
    }

    /// Holds everything without a word.
    pub fn stick(&self) {
        self.door.send_replace(Door::Stuck);
    }

    /// How many connections were tried so far.
    pub fn tries(&self) -> usize {
        self.tries.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut stream: TcpStream, server: &str, mut door: watch::Receiver<Door>) -> io::Result<()> {
    if *door.borrow() == Door::Shut {
        return stream.set_zero_linger();
    }
    stream.set_nodelay(true)?;
    let mut beyond = TcpStream::connect(server).await?;
    beyond.set_nodelay(true)?;
    loop {
        let standing = *door.borrow_and_update();
        match standing {
            Door::Shut => return stream.set_zero_linger(),
            Door::Stuck => drop(door.changed().await),
            Door::Open => {
                tokio::select! {
                    _ = door.changed() => {}
                    done = tokio::io::copy_bidirectional(&mut stream, &mut beyond) => return done.map(drop),
                }
            }
        }
    }
}
