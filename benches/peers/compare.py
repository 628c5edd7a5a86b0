"""Runs ours and each peer in turn (A B A B ...) and prints a table in Markdown.

Arguments: how many pairs, how many customers, which Python. Interpreted peers get a tenth of the customers: what a customer
costs depends on their number in none of them, and a pair must fit into one quiet minute. Every program times its own
simulation; processor time is that of its whole process but for the interpreters, which time their own.
"""

import os
import platform
import statistics
import subprocess
import sys

# The exact mean response in ms: three times 1 + C(8, 6.4) / 1.6.
EXACT_MEAN = 3.8580842
COMPILED, INTERPRETED = "target/peers/release/", "benches/peers/with_"
OURS = ("this simulator", ["target/release/examples/tandem"], 1, "a scenario file, run by `Simulation::new`")
PEERS = [
    ("bare loop, 4-ary heap", [COMPILED + "bare-4ary"], 1, "no topology, no names: four events and a histogram"),
    ("bare loop, std heap", [COMPILED + "bare-std"], 1, "the same on `BinaryHeap`"),
    ("simu-des 0.1", [COMPILED + "simu-des"], 1, "an async process a customer, a resource a station"),
    ("nexosim 1.0", [COMPILED + "nexosim"], 1, "a model a station, one thread"),
    ("SimPy 4.1", [INTERPRETED + "simpy.py"], 10, "a generator a customer, a resource a station"),
    ("Ciw 3.2", [INTERPRETED + "ciw.py"], 10, "its network of nodes, its own records"),
]


def play(command, customers, seed):
    """(nanoseconds a customer, of processor time, mean response) of one run."""
    process = subprocess.Popen([*command, str(customers), str(seed)], stdout=subprocess.PIPE, text=True)
    words = process.stdout.read().split()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} ended with {process.returncode}")
    count, seconds, mean = int(words[0]), float(words[1]), float(words[2])
    cpu = float(words[4]) if len(words) > 4 else usage.ru_utime + usage.ru_stime
    if not 0.9 < mean / EXACT_MEAN < 1.1 or not 0.95 < count / customers < 1.05:
        sys.exit(f"{command} simulated something else: {count} customers, mean response {mean} ms")
    return seconds / count * 1e9, cpu / count * 1e9, mean


def spread(values):
    return f"{min(values):,.0f} to {max(values):,.0f}"


def main():
    pairs, customers, python = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ours, rows = [], []
    for name, command, less, how in PEERS:
        command = [python, *command] if command[0].endswith(".py") else command
        play(OURS[1], customers, 0), play(command, customers // less, 0)  # Warms files and processor; not counted.
        mine, theirs = [], []
        for seed in range(1, pairs + 1):
            mine.append(play(OURS[1], customers, seed))
            theirs.append(play(command, customers // less, seed))
        ours += mine
        rows.append((name, how, customers // less, theirs, [b[0] / a[0] for a, b in zip(mine, theirs)],
                     [b[1] / a[1] for a, b in zip(mine, theirs)]))
    print("# Beside other simulators\n")
    print("Three M/M/8 stations in tandem at 80% load, Poisson arrivals, exponential services; every response recorded in a")
    print(f"histogram of three digits. {pairs} pairs with each peer, ours and theirs in turn, after one pair to warm up;")
    print("medians, and the least and greatest. *Times ours* is the median ratio within pairs. Made by `benches/peers/run`")
    print(f"on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load average before the"
          f" end {os.getloadavg()[1]:.1f}.\n")
    print("| simulator | customers | ns a customer | from to | CPU ns a customer | customers/s | times ours | by CPU | its model |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|---|")

    def line(name, how, count, runs, ratios, cpu_ratios):
        wall = [r[0] for r in runs]
        median = statistics.median(wall)
        times = [f"{statistics.median(r):.2f}" if r else "1" for r in (ratios, cpu_ratios)]
        print(f"| {name} | {count:,} | {median:,.0f} | {spread(wall)} | {statistics.median(r[1] for r in runs):,.0f} |"
              f" {1e9 / median:,.0f} | {times[0]} | {times[1]} | {how} |")

    line(OURS[0], OURS[3], customers, ours, None, None)
    for name, how, count, theirs, ratios, cpu_ratios in rows:
        line(name, how, count, theirs, ratios, cpu_ratios)


main()
