//! Several devices, on one machine or many, train together: they average their gradients in a ring over TCP.
//! Patarasuk and Yuan, *Bandwidth Optimal All-reduce Algorithms* (2009). Burn 0.22.1 has collectives for CUDA only;
//! this works with any device, since gradients pass through the host.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The first bytes of every connection.
const HELLO: &[u8; 8] = b"marscope";
/// How long ranks wait for each other: at the start, and for a step (a checkpoint may be written meanwhile).
const PATIENCE: Duration = Duration::from_mins(10);

/// One member of the ring.
pub struct Ranks {
    rank: usize,
    world: usize,
    /// Connections to the next rank and from the previous one; `None` with a single rank.
    ring: Option<(TcpStream, TcpStream)>,
}

/// Why ranks cannot train together.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// The rank is not below the number of ranks.
    #[error("rank {rank} of {world} is not possible: ranks count from 0, and there must be at least one")]
    Number {
        /// This rank.
        rank: usize,
        /// Ranks in all.
        world: usize,
    },
    /// Rank 0 cannot be reached, or cannot listen at its address.
    #[error("rank {rank} cannot connect at {at}: {source}. Rank 0 listens there: start it, or give another --meet")]
    Meet {
        /// This rank.
        rank: usize,
        /// Where.
        at: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A rank of another run.
    #[error(
        "rank {rank} met one that runs something else ({what}): all machines need the same arguments except --machine"
    )]
    Other {
        /// This rank.
        rank: usize,
        /// What does not fit.
        what: String,
    },
    /// The connection was lost.
    #[error("rank {rank} lost rank {peer}: {source}. Start all ranks again with --resume")]
    Lost {
        /// This rank.
        rank: usize,
        /// The lost rank.
        peer: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Ranks {
    /// A single device.
    pub fn alone() -> Self {
        Self { rank: 0, world: 1, ring: None }
    }

    /// Joins `world` ranks as `rank` through rank 0, which listens at `meet` (`host:port`). All must give the same
    /// `run`, a number that identifies the plan.
    ///
    /// # Errors
    /// See [`RankError`]. Fails after ten minutes when other ranks do not connect.
    pub fn join(rank: usize, world: usize, meet: &str, run: u64) -> Result<Self, RankError> {
        let io = |source| RankError::Meet { rank, at: meet.to_owned(), source };
        if rank >= world {
            return Err(RankError::Number { rank, world });
        }
        if rank == 0 {
            return Self::listen(&TcpListener::bind(meet).map_err(io)?, world, run);
        }
        let stream = connect(meet).map_err(io)?;
        Self::follow(stream, rank, world, run)
    }

    /// Rank 0 of `world`, where the others connect to `listener`.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn listen(listener: &TcpListener, world: usize, run: u64) -> Result<Self, RankError> {
        if world < 2 {
            return Ok(Self::alone());
        }
        let at = listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
        let io = |source| RankError::Meet { rank: 0, at: at.clone(), source };
        let deadline = Instant::now() + PATIENCE;
        listener.set_nonblocking(true).map_err(io)?;
        // Every rank reports the address where its predecessor can reach it; rank 0 passes the addresses on.
        let mut met: Vec<Option<(TcpStream, SocketAddr)>> = (1..world).map(|_| None).collect();
        while met.iter().any(Option::is_none) {
            let mut stream = accept(listener, deadline).map_err(io)?;
            let address = stream.peer_addr().map_err(io)?;
            let Hello { rank, world: theirs, run: their_run, port } = read_hello(&mut stream).map_err(io)?;
            if (theirs, their_run) != (world as u64, run) || rank == 0 || rank >= world as u64 {
                let what = format!("rank {rank} of {theirs}, run {their_run:x}, not {run:x}");
                return Err(RankError::Other { rank: 0, what });
            }
            met[rank as usize - 1] = Some((stream, SocketAddr::new(address.ip(), port as u16)));
        }
        let mut met: Vec<_> = met.into_iter().map(|one| one.expect("all ranks have connected")).collect();
        // Rank r learns where rank r + 1 listens. The last rank's connection to rank 0 closes the ring.
        for i in 0..met.len() {
            let next = met.get(i + 1).map_or_else(String::new, |(_, address)| address.to_string());
            let line = format!("{next}\n");
            met[i].0.write_all(line.as_bytes()).map_err(io)?;
        }
        let next = connect(met[0].1).map_err(io)?;
        let (previous, _) = met.pop().expect("at least one");
        Self { rank: 0, world, ring: Some((next, previous)) }.settled()
    }

    fn follow(mut leader: TcpStream, rank: usize, world: usize, run: u64) -> Result<Self, RankError> {
        let lost = |source| RankError::Lost { rank, peer: 0, source };
        let here = leader.local_addr().map_err(lost)?;
        let listener = TcpListener::bind(SocketAddr::new(here.ip(), 0)).map_err(lost)?;
        let port = listener.local_addr().map_err(lost)?.port();
        let mut hello = HELLO.to_vec();
        for number in [rank as u64, world as u64, run, u64::from(port)] {
            hello.extend(number.to_le_bytes());
        }
        leader.write_all(&hello).map_err(lost)?;
        leader.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        let next = read_line(&mut leader).map_err(lost)?;
        listener.set_nonblocking(true).map_err(lost)?;
        let deadline = Instant::now() + PATIENCE;
        // The next rank already listens: it opened its port before it reported to rank 0.
        let next = if next.is_empty() { leader } else { connect(&next).map_err(lost)? };
        let previous = accept(&listener, deadline);
        let previous = previous.map_err(|source| RankError::Lost { rank, peer: rank - 1, source })?;
        Self { rank, world, ring: Some((next, previous)) }.settled()
    }

    /// Sets the timeouts for training.
    fn settled(self) -> Result<Self, RankError> {
        if let Some((next, previous)) = &self.ring {
            for stream in [next, previous] {
                let set = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
                let set = set.and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
                set.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(|source| self.lost(source))?;
            }
        }
        Ok(self)
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Ranks in all.
    pub fn world(&self) -> usize {
        self.world
    }

    /// Replaces `numbers` by their mean over all ranks, which must have the same count. Every rank gets the same bits.
    ///
    /// # Errors
    /// [`RankError::Lost`] when another rank is gone.
    pub fn mean(&mut self, numbers: &mut [f32]) -> Result<(), RankError> {
        let (world, rank) = (self.world, self.rank);
        if world == 1 {
            return Ok(());
        }
        let count = numbers.len();
        let bounds = |chunk: usize| chunk * count / world..(chunk + 1) * count / world;
        // In W - 1 rounds every chunk collects the sum along the ring; in W - 1 more rounds the sums are passed around.
        for round in 0..2 * (world - 1) {
            let gathering = round < world - 1;
            let give = (rank + if gathering { world - round } else { 2 * world - round }) % world;
            let take = (give + world - 1) % world;
            let sent: Vec<u8> = numbers[bounds(give)].iter().flat_map(|number| number.to_le_bytes()).collect();
            let received = self.exchange(&sent, 4 * bounds(take).len())?;
            for (mine, theirs) in numbers[bounds(take)].iter_mut().zip(received.chunks_exact(4)) {
                let theirs = f32::from_le_bytes([theirs[0], theirs[1], theirs[2], theirs[3]]);
                *mine = if gathering { *mine + theirs } else { theirs };
            }
        }
        for number in numbers {
            *number /= world as f32;
        }
        Ok(())
    }

    /// Sends to the next rank while receiving from the previous one.
    fn exchange(&self, sent: &[u8], count: usize) -> Result<Vec<u8>, RankError> {
        let Some((next, previous)) = &self.ring else { return Ok(Vec::new()) };
        let mut received = vec![0; count];
        let (mut next, mut previous) = (next, previous);
        // Both at once: if all ranks sent first, full buffers would block them.
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || next.write_all(sent));
            let read = previous.read_exact(&mut received);
            let sent = sending.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()));
            read.and(sent)
        })
        .map_err(|source| self.lost(source))?;
        Ok(received)
    }

    fn lost(&self, source: std::io::Error) -> RankError {
        RankError::Lost { rank: self.rank, peer: (self.rank + self.world - 1) % self.world, source }
    }
}

struct Hello {
    rank: u64,
    world: u64,
    run: u64,
    port: u64,
}

fn read_hello(stream: &mut TcpStream) -> std::io::Result<Hello> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut bytes = [0; 40];
    stream.read_exact(&mut bytes)?;
    if bytes[..8] != *HELLO {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "a program that is no rank connected"));
    }
    let number = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * (i + 1)].try_into().expect("eight bytes"));
    Ok(Hello { rank: number(1), world: number(2), run: number(3), port: number(4) })
}

fn read_line(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        match byte[0] {
            b'\n' => {
                return String::from_utf8(line).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error));
            }
            other if line.len() < 256 => line.push(other),
            _ => return Err(std::io::Error::new(ErrorKind::InvalidData, "an address of over 256 bytes")),
        }
    }
}

/// Connects, and retries while nobody listens yet.
fn connect(at: impl ToSocketAddrs + Copy) -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(at) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

/// The next connection; `listener` does not block, so the wait can time out.
fn accept(listener: &TcpListener, deadline: Instant) -> std::io::Result<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            Err(_) if Instant::now() > deadline => return Err(ErrorKind::TimedOut.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The result of every rank of a ring; rank r starts with row r of `rows`.
    fn means(rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let meet = listener.local_addr().unwrap().to_string();
        let world = rows.len();
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..world)
                .map(|rank| {
                    let meet = &meet;
                    scope.spawn(move || (rank, Ranks::join(rank, world, meet, 7).unwrap()))
                })
                .collect();
            let first = (0, Ranks::listen(&listener, world, 7).unwrap());
            let all: Vec<_> = std::iter::once(first).chain(others.into_iter().map(|one| one.join().unwrap())).collect();
            let averaging: Vec<_> = all
                .into_iter()
                .map(|(rank, mut ranks)| {
                    let mut numbers = rows[rank].clone();
                    scope.spawn(move || {
                        ranks.mean(&mut numbers).unwrap();
                        ranks.mean(&mut numbers).unwrap();
                        numbers
                    })
                })
                .collect();
            averaging.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn every_rank_gets_the_mean_to_the_bit(world in 1usize..5, count in 0usize..40, seed: u64) {
            let philox = marscope_core::random::Philox::new(seed);
            let rows: Vec<Vec<f32>> = (0..world)
                .map(|rank| {
                    let mut row = vec![0.0; count];
                    philox.normal([rank as u32, 0, 0], &mut row);
                    row
                })
                .collect();
            let found = means(&rows);
            for row in &found {
                prop_assert_eq!(row, &found[0]);
            }
            for (at, &number) in found[0].iter().enumerate() {
                let mean = rows.iter().map(|row| f64::from(row[at])).sum::<f64>() / world as f64;
                prop_assert!((f64::from(number) - mean).abs() < 1e-6, "{} for {}", number, mean);
            }
        }
    }

    #[test]
    fn ranks_of_another_run_and_strangers_are_refused() {
        let message = |talk: fn(SocketAddr)| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = listener.local_addr().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || talk(at));
                Ranks::listen(&listener, 2, 7).err().unwrap().to_string()
            })
        };
        let other = message(|at| assert!(Ranks::join(1, 2, &at.to_string(), 8).is_err()));
        assert!(other.contains("something else") && other.contains("run 8"), "{other}");
        let stranger = message(|at| TcpStream::connect(at).unwrap().write_all(&[b'x'; 64]).unwrap());
        assert!(stranger.contains("no rank"), "{stranger}");
        assert!(matches!(Ranks::join(2, 2, "127.0.0.1:1", 7), Err(RankError::Number { rank: 2, world: 2 })));
    }

    #[test]
    fn a_rank_that_goes_is_missed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(Ranks::join(1, 2, &at, 7).unwrap()));
            let mut ranks = Ranks::listen(&listener, 2, 7).unwrap();
            let error = ranks.mean(&mut [1.0; 8]).unwrap_err();
            assert!(error.to_string().contains("--resume"), "{error}");
        });
    }
}
