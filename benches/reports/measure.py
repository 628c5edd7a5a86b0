"""Makes inputs, renders each some times, and prints the table: the median time and the greatest memory."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

TIMES = 3
INPUTS = [("an interval log of 1 GB", "1000000000"), ("a week in a million intervals", "week")]
LIMITS = (10, 500, 2)


def run(command):
    """Seconds, and the greatest resident memory in megabytes."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    return time.monotonic() - begun, usage.ru_maxrss * 1024 / 1e6


def main():
    print("# Reports of long logs\n")
    cores = os.cpu_count()
    print(f"Made by `benches/reports/run` on {platform.machine()}, {cores} cores, which also did other things. The median of {TIMES} renderings,")
    print(f"with the file in the page cache. Limits: {LIMITS[0]} s, {LIMITS[1]} MB of memory, {LIMITS[2]} MB of page.\n")
    print("| input | bytes | intervals | seconds | processor seconds | memory, MB | page, kB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    beyond = []
    with tempfile.TemporaryDirectory() as directory:
        log, page = f"{directory}/latency.hlog", f"{directory}/page.html"
        for name, kind in INPUTS:
            subprocess.run(["target/release/examples/interval_log", log, kind], check=True)
            with open(log, "rb") as file:
                intervals = sum(not line.startswith(b"#") for line in file)
            runs, before = [], os.times()
            for _ in range(TIMES):
                runs.append(run(["target/release/report", "render", log, "-o", page]))
            after = os.times()
            used = (after.children_user + after.children_system - before.children_user - before.children_system) / TIMES
            seconds, memory = statistics.median(r[0] for r in runs), max(r[1] for r in runs)
            size = os.path.getsize(page)
            print(f"| {name} | {os.path.getsize(log):,} | {intervals:,} | {seconds:.1f} | {used:.1f} | {memory:.0f} | {size / 1e3:.0f} |", flush=True)
            if seconds > LIMITS[0] or memory > LIMITS[1] or size > LIMITS[2] * 1e6:
                beyond.append(name)
    if beyond:
        sys.exit(f"beyond the limits: {', '.join(beyond)}")


main()
