"""Runs ours and each peer in turn (A B A B ...) against nginx on the other core and prints tables in Markdown.

Arguments: how many rounds, seconds a run. The generator has core 0 to itself, nginx core 1. Processor time is the generator
process's own, by the scheduler's accounting (getrusage of the child), over the requests that it says it made. What is on the
wire is taken from a packet socket on `lo`: the kernel's own timestamps of each request and of its answer. It is to be started in
a network namespace of its own (`run` does).
"""

import os
import platform
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

CLIENT_CORE, SERVER_CORE = 0, 1
PORT = 18090
CONNECTIONS = 50
HERE = tempfile.mkdtemp(prefix="rehearsal-loadgen-")
URL = f"http://127.0.0.1:{PORT}/item"
ETH_P_ALL, SO_TIMESTAMPNS = 3, 35


def write(name, content):
    path = os.path.join(HERE, name)
    with open(path, "w") as file:
        file.write(content)
    return path


def nginx():
    return ["nginx", "-p", HERE, "-e", "/dev/null", "-c", write("nginx.conf", f"""
daemon off; user root; worker_processes 1; pid {HERE}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_body_temp_path {HERE}; proxy_temp_path {HERE}/p;
  fastcgi_temp_path {HERE}; uwsgi_temp_path {HERE}; scgi_temp_path {HERE};
  server {{ listen 127.0.0.1:{PORT}; location / {{ return 200 '{"x" * 128}'; }} }} }}""")]


def scenario(name, seconds, traffic, more=""):
    return write(f"{name}.toml", f"""title = "{name}"
[run]
duration = "{seconds}s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 8
{more or '''[requests.item]
path = "/item"'''}
[traffic.people]
to = "shop"
{traffic}
""")


def ours(name, seconds, traffic, more=""):
    mix = "" if "mix" in traffic else "mix = { item = 1 }\n"
    return ["target/release/examples/play", scenario(name, seconds, mix + traffic, more), f"127.0.0.1:{PORT}"]


def closed(seconds):
    return ours("closed", seconds, f'executor = "constant-vus"\nvus = {CONNECTIONS}\nthink = "0s"')


def open_loop(rate, seconds):
    return ours(f"open-{rate}", seconds, f'executor = "constant-arrival-rate"\nrate = "{rate}/s"\nconnections = {CONNECTIONS}')


def rich(seconds):
    """Ten classes, a million keys, checks, extraction and feeds that say something: what the words cost."""
    classes = "[components.kv]\nkind = \"kv-store\"\nhost = \"app\"\n[keyspaces.items]\nin = \"kv\"\nkeys = 1_000_000\nvalue = \"100B\"\npopularity = \"zipf(0.9)\"\n"
    for n in range(10):
        classes += f"""[requests.c{n}]
path = "/c{n}/{{items}}"
headers = {{ accept = "text/{n}" }}
check = {{ contains = "xxx" }}
extract = {{ t{n} = {{ regex = "(x+)" }} }}
"""
    mix = ", ".join(f"c{n} = 1" for n in range(10))
    return ours("rich", seconds, f'executor = "constant-vus"\nvus = {CONNECTIONS}\nthink = "0s"\nmix = {{ {mix} }}', classes)


def oha(seconds, *more):
    return ["oha", "--no-tui", "--no-color", "--worker-threads", "1", "-u", "us", "-c", str(CONNECTIONS), "-z", f"{seconds}s", *more, URL]


def wrk2(seconds, rate):
    return ["wrk2", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"-R{rate}", "--latency", URL]


def run(command, core=CLIENT_CORE):
    """Output, and processor seconds of the child: all, and in user space."""
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        sys.exit(f"{command}: {output}")
    return output, usage.ru_utime + usage.ru_stime, usage.ru_utime


def requests_of(output):
    for pattern in (r"(\d+) requests in", r"(\d+) due, ", r"\[200\] (\d+) responses"):
        found = re.search(pattern, output)
        if found:
            return int(found.group(1))
    sys.exit(f"no number of requests in: {output}")


def wire(seconds, results):
    """Times from each request to its answer on `lo`, by the kernel's timestamps."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind(("lo", 0))
    raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    raw.settimeout(0.2)
    asked, end = {}, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            packet, extra, _, address = raw.recvmsg(96, 256)
        except TimeoutError:
            continue
        if address[2] == socket.PACKET_OUTGOING:
            continue
        stamp = next((struct.unpack("qq", data[:16]) for level, kind, data in extra if kind == SO_TIMESTAMPNS), None)
        if stamp is None:
            continue
        header = 14 + (packet[14] & 15) * 4
        source, target = struct.unpack("!HH", packet[header:header + 4])
        total = struct.unpack("!H", packet[16:18])[0]
        payload = total - (packet[14] & 15) * 4 - (packet[header + 12] >> 4) * 4
        at = stamp[0] * 1e9 + stamp[1]
        if payload > 0 and target == PORT:
            asked[source] = at
        elif payload > 0 and source == PORT and target in asked:
            results.append((at - asked.pop(target)) / 1e6)


def watched(command, seconds):
    """Output, and the median time on the wire meanwhile, in ms."""
    on_wire = []
    watch = threading.Thread(target=wire, args=(seconds + 1.5, on_wire))
    watch.start()
    output, _, _ = run(command)
    watch.join()
    return output, median(on_wire)


def p50_ms(name, output):
    """The median that a generator tells."""
    if name == "oha":
        return float(re.search(r"50\.00% in ([0-9.]+) us", output).group(1)) / 1e3
    if name == "wrk2":
        value, unit = re.search(r"50\.000%\s+([0-9.]+)(us|ms|s)", output).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    return float(re.search(rf"{name}: p50 ([0-9.]+)", output).group(1))


def unsent(outputs):
    """How many planned requests were not sent and answered, over all runs, and of how many."""
    planned = sum(int(re.search(r"(\d+) planned", output).group(1)) for output in outputs)
    good = sum(int(re.search(r"due, (\d+) good", output).group(1)) for output in outputs)
    return abs(planned - good), planned


def on_time(outputs):
    """Which share was sent within 50 µs of due, in percent."""
    return [float(re.search(r"within 50 us of due: ([0-9.]+)%", output).group(1)) for output in outputs]


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    rounds, seconds = int(sys.argv[1]), int(sys.argv[2])
    # A program's start is some milliseconds, which few requests would have to share.
    at_5000 = 4 * seconds
    server = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *nginx()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        kinds = {"ours, closed loop": closed(seconds), "wrk": ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", URL]}
        if shutil.which("oha"):
            kinds["oha"] = oha(seconds)
        kinds["ours, closed loop, 10 classes, 1,000,000 keys, checks, extraction"] = rich(seconds)
        kinds["ours, 5,000/s in open loop"] = open_loop(5000, at_5000)
        kinds["ours, 2,000/s in open loop"] = open_loop(2000, seconds)
        kinds["ours, 100/s in open loop"] = open_loop(100, seconds)
        for rate, length in ((5000, at_5000), (2000, seconds)):
            kinds[f"the floor, {rate:,}/s"] = [os.environ["FLOOR"], str(PORT), str(rate), str(length)]
        kinds["the floor, 5,000/s, gathered"] = [os.environ["FLOOR"], str(PORT), "5000", str(at_5000), "25", "5"]
        peers = {}
        if shutil.which("oha"):
            peers["oha"] = oha(seconds, "-q", "2000", "--latency-correction")
            kinds["oha, 5,000/s"] = oha(at_5000, "-q", "5000", "--latency-correction")
        if shutil.which("wrk2"):
            peers["wrk2"] = wrk2(seconds, 2000)
            kinds["wrk2, 5,000/s"] = wrk2(at_5000, 5000)
        found = {kind: ([], [], []) for kind in kinds}
        outputs = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, command in kinds.items():
                output, cpu, user = run(command)
                outputs[kind].append(output)
                requests, length = requests_of(output), at_5000 if "5,000/s" in kind else seconds
                for values, value in zip(found[kind], (cpu / requests * 1e6, user / requests * 1e6, requests / length)):
                    values.append(value)
        latency, seen = [], {name: [] for name in peers}
        for _ in range(rounds):
            output, on_wire = watched(open_loop(2000, seconds), seconds)
            plain, _, _ = run(open_loop(2000, seconds))
            p50 = [p50_ms(name, text) for text in (output, plain) for name in ("response_time", "service_time")]
            lag = [float(value) for value in re.search(r"send lag: p50 ([0-9.]+) ms, p99 ([0-9.]+) ms", plain).groups()]
            latency.append((on_wire, *p50, *lag))
            for name, command in peers.items():
                output, on_wire = watched(command, seconds)
                seen[name].append((on_wire, p50_ms(name, output)))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        shutil.rmtree(HERE, ignore_errors=True)
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read()).group(1)
    print("# The generator beside its peers\n")
    print(f"nginx on one core, the generator on the other, {CONNECTIONS} connections, {rounds} rounds of {seconds} s in turn, {at_5000} s at 5,000/s; {model}, "
          f"Linux {platform.release()}. `benches/loadgen/run` repeats it.\n")
    print("| generator | processor time a request, µs | of it in user space | requests/s |\n|---|--:|--:|--:|")
    for kind, (cpu, user, rate) in found.items():
        print(f"| {kind} | {spread(cpu)} | {median(user):.2f} | {median(rate):,.0f} |")
    print("\nThe floor is a program of some lines (`floor.c`) that sleeps until a request is due, sends it, reads the answer to the one "
          "before, and does nothing else: what remains is the kernel's sleep and its waking of nginx; gathered, requests within 25 µs "
          "of one another share a sleep, and five answers a reading. wrk2's timer ticks in "
          "milliseconds: at 5,000/s five requests share a sleep, and nginx wakes up once for them; each is up to a millisecond late. "
          "At 100/s most of it is the program's start; whoever waited awake would take 10,000 µs.")
    print("\nMedians of p50 at 2,000/s, in ms. The watcher of the wire takes processor time as well, so the run beside it is shown, and one without it:\n")
    print("| on the wire | `service_time` beside it | `response_time` beside it | `service_time` alone | `response_time` alone "
          "| send lag alone, p50 | p99 |\n|--:|--:|--:|--:|--:|--:|--:|")
    columns = list(zip(*latency))
    wire_p50, response, service, response_alone, service_alone, lag_p50, lag_p99 = (median(column) for column in columns)
    print(f"| {wire_p50:.3f} | {service:.3f} | {response:.3f} | {service_alone:.3f} | {response_alone:.3f} | {lag_p50:.4f} | {lag_p99:.4f} |")
    seen = {"ours, `response_time`": [row[:2] for row in latency], "ours, `service_time`": [(row[0], row[2]) for row in latency], **seen}
    print("\nWhat each generator sees at 2,000/s beside what is on the wire meanwhile, p50 in ms; apart is the median over rounds:\n")
    print("| generator | on the wire | it sees | apart, µs |\n|---|--:|--:|--:|")
    apart = {name: [(own - on_wire) * 1e3 for on_wire, own in pairs] for name, pairs in seen.items()}
    for name, pairs in seen.items():
        on_wire, own = (median(column) for column in zip(*pairs))
        print(f"| {name} | {on_wire:.3f} | {own:.3f} | {spread(apart[name])} |")
    rates = [f"ours, {rate:,}/s in open loop" for rate in (5000, 2000, 100)]
    lost, planned = unsent([output for kind in rates for output in outputs[kind]])
    closed_cpu, open_cpu = found["ours, closed loop"][0], found[rates[0]][0]
    rich_cpu = next(cpu for kind, (cpu, _, _) in found.items() if "10 classes" in kind)
    rich_times = [rich / plain for rich, plain in zip(rich_cpu, closed_cpu)]
    print("\n| what is asked for | found | limit |\n|---|--:|--:|")
    print(f"| closed loop, processor time a request, µs | {spread(closed_cpu)} | 10.6 (aim 7.1) |")
    print(f"| closed loop with 10 classes, 1,000,000 keys, checks and extraction, times that of one without | {spread(rich_times)} | 2 |")
    print(f"| 5,000/s, processor time a request, µs | {spread(open_cpu)} | 20 (aim 12) |")
    for kind in rates:
        print(f"| {kind}: sent within 50 µs of due, % | {spread(on_time(outputs[kind]))} | |")
    print(f"| planned requests that were not sent and answered, of {planned:,} | {lost} | 0 |")
    print(f"| p50 of `response_time` within so much of the time on the wire at 2,000/s, µs | {spread(apart['ours, `response_time`'])} | 30 |")


main()
