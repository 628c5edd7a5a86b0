//! Plays the same traces through a real Varnish, a real MariaDB and the simulator's models of them, and prints the table
//! `benches/tables/cache-fidelity.md`:
//!
//! ```text
//! cargo run --release -p benches --example cache-fidelity > benches/tables/cache-fidelity.md
//! ```
//!
//! It needs `varnishd`, `varnishstat`, a C compiler (Varnish's), `mariadbd`, `mariadb` and `mariadb-install-db`, starts
//! them by itself in a directory of its own, and takes about five minutes. The real servers run on the real clock, and
//! the models are given the instants at which the real answers came.
#![allow(clippy::print_stdout, reason = "the table is the output")]

use benches::{innodb, varnish};

/// Both halves, or the one that is named (`varnish`, `innodb`).
fn main() -> std::io::Result<()> {
    let only = std::env::args().nth(1);
    println!(
        "# How near the caches' models are\n\n\
         Made by `cargo run --release -p benches --example cache-fidelity`. Hit ratios over the second half of each trace, \
         in the real server and in the model that saw the same requests at the same instants. The traces are the same \
         on both sides, so their randomness is in neither column; what differs from run to run is the real clock.\n"
    );
    if only.as_ref().is_none_or(|only| only == "varnish") {
        print_varnish()?;
    }
    if only.is_none_or(|only| only == "innodb") {
        print_innodb()?;
    }
    Ok(())
}

fn print_varnish() -> std::io::Result<()> {
    println!("## {}\n", varnish::version()?);
    println!(
        "Bodies of 200 bytes to 60 kB, 20,000 objects; `storage` as a share of all of them. `alike` is the share of \
         requests that met the same (hit or miss) on both sides; `evictions` are `n_lru_nuked` and the model's.\n"
    );
    println!("| requests | Zipf | storage | ttl, grace | Varnish | model | difference | alike | evictions |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for cell in varnish::cells() {
        println!("{}", varnish::compare(&cell)?);
    }
    println!();
    Ok(())
}

fn print_innodb() -> std::io::Result<()> {
    println!("## {}\n", innodb::version()?);
    println!(
        "Point reads by primary key of 200,000 rows of 1 kB, the popular ones spread over the table; hit ratio as \
         1 - `Innodb_buffer_pool_reads` / statements; `reserve` is `innodb_lru_scan_depth`, `old for` \
         is `innodb_old_blocks_time`.\n"
    );
    println!(
        "| requests | Zipf | pool | reserve | old for | InnoDB | model | difference | made young, real and model |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let table = innodb::Table::load()?;
    for cell in innodb::cells() {
        println!("{}", innodb::compare(&table, &cell)?);
    }
    Ok(())
}
