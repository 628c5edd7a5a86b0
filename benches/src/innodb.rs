//! MariaDB's InnoDB, and the model of its buffer pool.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sim::sql_store::buffer_pool::{BufferPool, Settings, leaves_of_row};
use tempfile::TempDir;

use crate::trace;

const ROWS: u64 = 200_000;
/// Coprime with the number of rows, so that popular rows are spread over the table.
const SPREAD: u64 = 77_773;
/// Statements between two looks at the clock.
const BATCH: usize = 250;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Statements.
    pub requests: usize,
    /// Of Zipf's law.
    pub exponent: f64,
    /// `innodb_buffer_pool_size`.
    pub pool_mebibytes: u32,
    /// `innodb_lru_scan_depth`.
    pub reserve: u32,
    /// `innodb_old_blocks_time`. Statements follow each other much faster here than on a server with users, so that with
    /// the default of a second hardly a page stays in the old part for long enough to become young.
    pub old_millis: u32,
}

/// The rows of the table.
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for exponent in [0.8, 1.0] {
        for pool_mebibytes in [16, 32, 64] {
            cells.push(Cell { requests: 240_000, exponent, pool_mebibytes, reserve: 100, old_millis: 20 });
        }
    }
    let large = Cell { requests: 240_000, exponent: 1.0, pool_mebibytes: 64, reserve: 1536, old_millis: 20 };
    cells.extend([large, Cell { reserve: 100, old_millis: 1000, ..large }]);
    cells
}

/// What both made of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Of hits over the second half, in the server.
    pub real_ratio: f64,
    /// The same in the model.
    pub model_ratio: f64,
    real_young: u64,
    model_young: u64,
}

/// Plays a cell and makes its row.
///
/// # Errors
/// Where the server cannot be started or does not answer.
pub fn compare(table: &Table, cell: &Cell) -> std::io::Result<String> {
    let outcome = play(table, cell)?;
    Ok(format!(
        "| {} | {} | {} MiB | {} | {} ms | {:.4} | {:.4} | {:+.4} | {}, {} |",
        cell.requests,
        cell.exponent,
        cell.pool_mebibytes,
        cell.reserve,
        cell.old_millis,
        outcome.real_ratio,
        outcome.model_ratio,
        outcome.model_ratio - outcome.real_ratio,
        outcome.real_young,
        outcome.model_young,
    ))
}

/// Plays a cell's trace through a server, cold, then with the same instants through the model.
///
/// # Errors
/// Where the server cannot be started or does not answer.
pub fn play(table: &Table, cell: &Cell) -> std::io::Result<Outcome> {
    let ranks = trace::ranks(ROWS, cell.exponent, cell.requests);
    let mut server = Server::start(
        table.directory.path(),
        &[
            &format!("--innodb-buffer-pool-size={}M", cell.pool_mebibytes),
            "--innodb-buffer-pool-chunk-size=1M",
            &format!("--innodb-lru-scan-depth={}", cell.reserve),
            &format!("--innodb-old-blocks-time={}", cell.old_millis),
            "--innodb-read-ahead-threshold=0",
        ],
    )?;
    let resident = server.status()?["Innodb_buffer_pool_pages_data"];
    let start = Instant::now();
    let mut times = Vec::with_capacity(ranks.len());
    let mut before = BTreeMap::new();
    let half = ranks.len() / 2;
    for (i, batch) in ranks.chunks(BATCH).enumerate() {
        if i * BATCH == half / BATCH * BATCH {
            before = server.status()?;
        }
        let text: String =
            batch.iter().map(|rank| format!("SELECT id FROM test.t WHERE id={};\n", row(*rank))).collect();
        server.client.write_all(text.as_bytes())?;
        for _ in batch {
            server.line()?;
            times.push(start.elapsed().as_millis() as u32);
        }
    }
    let after = server.status()?;
    let count = |name: &str| after.get(name).copied().unwrap_or(0) - before.get(name).copied().unwrap_or(0);
    let counted = ranks.len() - half / BATCH * BATCH;
    let reads = count("Innodb_buffer_pool_reads");
    let total = after["Innodb_buffer_pool_pages_total"] - after["Innodb_buffer_pool_pages_misc"];
    let real_young = count("Innodb_buffer_pool_pages_made_young");
    drop(server);

    // Inner pages are resident, one to about 1,200 leaves.
    let inner = 1 + table.leaves / 1_200;
    let settings = Settings {
        free_reserve: cell.reserve,
        old_millis: cell.old_millis,
        ..Settings::with_pages((total - inner) as u32)
    };
    let mut model = BufferPool::new(settings);
    // What the server's start has read, and nobody asks for again.
    for page in 0..resident {
        model.access(u64::MAX - page, 0);
    }
    for (i, (rank, at)) in ranks.iter().zip(&times).enumerate() {
        if i == half / BATCH * BATCH {
            model.take_counts();
        }
        // The first leaf was split in the middle when the root was full of rows; all others are full.
        let place = row(*rank) - 1 + table.rows_per_leaf - table.rows_per_leaf / 2;
        for leaf in leaves_of_row(place, table.rows_per_leaf) {
            model.access(leaf, *at);
        }
    }
    let counts = model.counts();
    Ok(Outcome {
        real_ratio: 1.0 - reads as f64 / counted as f64,
        model_ratio: 1.0 - counts.misses as f64 / counted as f64,
        real_young,
        model_young: counts.made_young,
    })
}

fn row(rank: u64) -> u64 {
    rank * SPREAD % ROWS + 1
}

/// The server's name for itself.
///
/// # Errors
/// Where it is not installed.
pub fn version() -> std::io::Result<String> {
    let output = Command::new("mariadbd").arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().find(|word| word.contains("MariaDB")).unwrap_or("MariaDB").to_owned())
}

/// A table on disk, and how its rows lie in its leaves.
#[derive(Debug)]
pub struct Table {
    directory: TempDir,
    rows_per_leaf: u64,
    leaves: u64,
}

impl Table {
    /// Makes a database with the table in it.
    ///
    /// # Errors
    /// Where the server cannot be started or refuses the table.
    pub fn load() -> std::io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--user=root"])
            .arg(format!("--datadir={}", directory.path().join("data").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !made.success() {
            return Err(std::io::Error::other("mariadb-install-db fails"));
        }
        let mut server = Server::start(directory.path(), &["--innodb-buffer-pool-size=512M"])?;
        server.run("CREATE DATABASE test; USE test")?;
        server.run(
            "CREATE TABLE test.t (id INT UNSIGNED PRIMARY KEY, filler CHAR(250) CHARACTER SET ascii NOT NULL, \
             f2 CHAR(250) CHARACTER SET ascii NOT NULL, f3 CHAR(250) CHARACTER SET ascii NOT NULL, \
             f4 CHAR(230) CHARACTER SET ascii NOT NULL) ENGINE=InnoDB STATS_AUTO_RECALC=0",
        )?;
        for from in (1..=ROWS).step_by(10_000) {
            let until = (from + 9_999).min(ROWS);
            server.run(&format!("INSERT INTO test.t SELECT seq,'','','','' FROM seq_{from}_to_{until}"))?;
        }
        // Rows in each leaf; all but the last have the same number.
        server.ask(
            "SELECT CONCAT(number_records,' ',COUNT(*)) FROM information_schema.innodb_buffer_page \
             WHERE table_name='`test`.`t`' AND page_type='INDEX' AND number_records < 100 \
             GROUP BY number_records ORDER BY COUNT(*) DESC",
        )?;
        let mut rows_per_leaf = 0;
        let mut leaves = 0;
        loop {
            let line = server.line()?;
            if line == "end" {
                break;
            }
            let mut numbers = line.split(' ').filter_map(|n| n.parse::<u64>().ok());
            let (Some(rows), Some(count)) = (numbers.next(), numbers.next()) else { continue };
            if leaves == 0 {
                rows_per_leaf = rows;
            }
            leaves += count;
        }
        if rows_per_leaf == 0 || leaves.abs_diff(ROWS / rows_per_leaf) > 8 {
            return Err(std::io::Error::other(format!(
                "{leaves} leaves of {rows_per_leaf} rows hold no {ROWS}"
            )));
        }
        drop(server);
        Ok(Self { directory, rows_per_leaf, leaves })
    }
}

/// A running server with a client connected to it; stopped when dropped.
struct Server {
    process: Child,
    shell: Child,
    client: ChildStdin,
    answers: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        // Orderly, so that the next start has nothing to recover.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Server {
    fn start(directory: &Path, options: &[&str]) -> std::io::Result<Self> {
        let socket = directory.join("socket");
        let mut process = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", "--skip-grant-tables"])
            .args(["--innodb-buffer-pool-dump-at-shutdown=0", "--innodb-buffer-pool-load-at-startup=0"])
            .args(["--innodb-flush-method=fsync", "--innodb-log-file-size=64M", "--innodb-fast-shutdown=0"])
            .args(["--innodb-stats-persistent=0", "--innodb-stats-auto-recalc=0"])
            .arg(format!("--datadir={}", directory.join("data").display()))
            .arg(format!("--socket={}", socket.display()))
            .args(options)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.join("log"))?)
            .spawn()?;
        let patience = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if Instant::now() > patience || process.try_wait()?.is_some() {
                let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
                let _ = process.kill();
                return Err(std::io::Error::other(format!("mariadbd did not start: {log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut shell = Command::new("mariadb")
            .args(["--no-defaults", "-u", "root", "--batch", "--unbuffered", "--skip-column-names"])
            .arg(format!("--socket={}", socket.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let client = shell.stdin.take().ok_or_else(|| std::io::Error::other("the client has no input"))?;
        let answers = shell.stdout.take().ok_or_else(|| std::io::Error::other("the client has no output"))?;
        Ok(Self { process, shell, client, answers: BufReader::new(answers), socket })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("the client ended: a statement failed"));
        }
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, statement: &str) -> std::io::Result<()> {
        writeln!(self.client, "{statement};\nSELECT 'end';")
    }

    fn run(&mut self, statement: &str) -> std::io::Result<()> {
        self.ask(statement)?;
        while self.line()? != "end" {}
        Ok(())
    }

    fn status(&mut self) -> std::io::Result<BTreeMap<String, u64>> {
        self.ask("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool%'")?;
        let mut status = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line == "end" {
                return Ok(status);
            }
            if let Some((name, value)) = line.split_once('\t')
                && let Ok(value) = value.parse()
            {
                status.insert(name.to_owned(), value);
            }
        }
    }
}
