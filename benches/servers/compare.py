"""Runs ours and each peer in turn (A B A B ...) behind the same load and prints a table in Markdown.

Arguments: `servers` or `spikes`, how many pairs, seconds a run, and a part of the titles of the tables wanted, or none. The server under test has core 1 to itself; core 0 has the
load generator (wrk, one thread, 50 connections) and, where requests are passed on, the origin (nginx, 128-byte answers). A
server's processor time is that of its processes by the scheduler's own accounting. It is to be started in a network namespace
of its own (`run` does), where Reno is the congestion control of all of them: BBR spaces packets by a timer, which has no
place on a loopback interface.
"""

import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SERVER_CORE, LOAD_CORE = 1, 0
CONNECTIONS = 50
LISTEN = ("127.0.0.1", 18080)
ORIGIN = ("127.0.0.1", 18081)
HERE = tempfile.mkdtemp(prefix="rehearsal-servers-")


def text(address):
    return f"{address[0]}:{address[1]}"


def write(name, content):
    path = os.path.join(HERE, name)
    with open(path, "w") as file:
        file.write(content)
    return path


NGINX = """
daemon off; user root; worker_processes 1; pid {pid}; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_body_temp_path {here}; proxy_temp_path {here}/p;
  fastcgi_temp_path {here}; uwsgi_temp_path {here}; scgi_temp_path {here}; tcp_nopush off;
  {more}
}}
"""


def nginx(name, more):
    content = NGINX.format(pid=os.path.join(HERE, name + ".pid"), here=HERE, more=more)
    return ["nginx", "-p", HERE, "-e", "/dev/null", "-c", write(name + ".conf", content)]


def origin():
    big = "".join(f"location = /big{n} {{ root {HERE}; add_header Cache-Control max-age=3600; }}" for n in ("1k", "100k"))
    write("big1k", "x" * 1024)
    write("big100k", "x" * 102400)
    answer = '{"item":1,"data":"' + "x" * (128 - 20) + '"}'
    return nginx("origin", f"server {{ listen {text(ORIGIN)}; location / {{ default_type application/json; return 200 '{answer}'; }} {big} }}")


def nginx_proxy():
    return nginx("proxy", f"""upstream o {{ server {text(ORIGIN)}; keepalive 128; keepalive_requests 1000000000; }}
      server {{ listen {text(LISTEN)}; location / {{ proxy_pass http://o; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}""")


def nginx_cache(sendfile):
    """With the settings that are its fastest for the size: the open files kept, and `sendfile` for what is large."""
    return nginx(f"cache-{sendfile}", f"""upstream o {{ server {text(ORIGIN)}; keepalive 128; }}
      proxy_cache_path {HERE}/cache keys_zone=z:10m; sendfile {sendfile};
      open_file_cache max=1000 inactive=1h; open_file_cache_valid 1h;
      server {{ listen {text(LISTEN)}; location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_cache z;
      proxy_cache_valid 200 1h; proxy_set_header Connection ""; }} }}""")


def haproxy():
    return ["haproxy", "-f", write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  option forwardfor
  option httpchk GET /
  http-reuse always
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  retries 3
  option redispatch 1
frontend f
  bind {text(LISTEN)}
  default_backend b
backend b
  balance roundrobin
  server s1 {text(ORIGIN)} check inter 2s
  server s2 {text(ORIGIN)} check inter 2s
""")]


SCENARIO = """
title = "One server, for a benchmark"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
[components.front]
host = "edge"
to = "shop"
%s
[components.shop]
kind = "service"
host = "app"
workers = 64
[requests.item]
path = "/item"
[[requests.item.steps]]
work = "1ms"
[traffic.people]
to = "front"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { item = 1 }
"""


def front(kind, origins):
    return ["target/release/reference", "proxy", write("front.toml", SCENARIO % kind), "front", "--listen", text(LISTEN),
            *[word for _ in range(origins) for word in ("--to", text(ORIGIN))]]


def ours():
    return front('kind = "load-balancer"\nhealth_check = { http = "/", interval = "2s" }', 2)


def our_cache():
    return front('kind = "http-cache"\nmemory = "256MiB"', 1)


def varnish():
    return ["varnishd", "-F", "-j", "none", "-n", os.path.join(HERE, "varnish"), "-a", text(LISTEN), "-b", text(ORIGIN),
            "-s", "malloc,256m", "-p", "thread_pools=1"]


def spike(name):
    return [f"target/spikes/release/spike-{name}", text(LISTEN), text(ORIGIN)]


SPIKES = [("epoll, httparse", spike("epoll")), ("tokio, httparse", spike("tokio")), ("hyper 1", spike("hyper")),
          ("pingora 0.9", spike("pingora"))]
SPIKES = [s for s in SPIKES if os.path.exists(s[1][0])]


def tables(what):
    """(title, path, ours, peers) of each table."""
    if what == "spikes":
        base, peers = SPIKES[0], SPIKES[1:] + [("HAProxy", haproxy())]
        yield "Passing on, 128 bytes", "/item", base, [*peers, ("nginx", nginx_proxy())]
        yield "A hit of 1 KB", "/cached", base, SPIKES[1:]
    else:
        yield "Passing on, 128 bytes", "/item", ("ours", ours()), [("HAProxy", haproxy()), ("nginx", nginx_proxy())]
        for size, sendfile in [("1 KB", "off"), ("100 KB", "on")]:
            caches = [("nginx", nginx_cache(sendfile)), ("Varnish", varnish())]
            yield f"A hit of {size}", "/big" + size.replace(" KB", "k"), ("ours", our_cache()), caches


def start(command, core, port):
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(500):
        try:
            socket.create_connection(port, timeout=1).close()
            return process
        except OSError:
            time.sleep(0.01)
    sys.exit(f"{command} does not listen")


def stop(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while True:
        try:
            socket.create_connection(LISTEN, timeout=1).close()
            time.sleep(0.01)
        except ConnectionRefusedError:
            return
        except OSError:
            pass  # It was about to end.


def cpu_nanos(group):
    """Nanoseconds on a processor of all threads of all processes of a group."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getpgid(int(pid)) == group:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                        total += int(file.read().split()[0])
        except (OSError, ProcessLookupError):
            pass
    return total


def load(path, seconds):
    out = subprocess.run(["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}",
                          f"http://{text(LISTEN)}{path}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    return int(re.search(r"(\d+) requests in", out)[1])


def delay(address, path, seconds, rate=2000):
    """Median and 99th percentile, in milliseconds, of the time from sending to the answer, one request after another."""
    stream = socket.create_connection(address)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    times, began = [], time.perf_counter()
    for i in range(rate * seconds):
        time.sleep(max(0, began + i / rate - time.perf_counter()))
        sent = time.perf_counter()
        stream.sendall(request)
        stream.recv(65536)
        times.append((time.perf_counter() - sent) * 1000)
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def delays(servers, rounds, seconds):
    """Rows of the latency that each adds to that of the origin itself."""
    added = {name: [] for name, _ in servers}
    for _ in range(rounds):
        for name, command in servers:
            process = start(command, SERVER_CORE, LISTEN)
            try:
                delay(LISTEN, "/item", 1)
                direct, through = delay(ORIGIN, "/item", seconds), delay(LISTEN, "/item", seconds)
            finally:
                stop(process)
            added[name].append((through[0] - direct[0], through[1] - direct[1]))
    for name, pairs in added.items():
        medians, tails = [p[0] for p in pairs], [p[1] for p in pairs]
        yield (f"| {name} | {statistics.median(medians):.3f} | {min(medians):.3f} to {max(medians):.3f} |"
               f" {statistics.median(tails):.3f} |")


def play(command, path, seconds):
    """(requests a second, microseconds of processor time a request)."""
    process = start(command, SERVER_CORE, LISTEN)
    try:
        load(path, 1)
        before, began = cpu_nanos(process.pid), time.monotonic()
        count = load(path, seconds)
        took, cpu = time.monotonic() - began, cpu_nanos(process.pid) - before
    finally:
        stop(process)
    return count / took, cpu / count / 1000


HEADS = {
    "spikes": """# Bases for the proxy

Bases that the proxy could stand on, and two peers, one core each; the code is in `benches/spikes`.""",
    "servers": """# Beside the servers whose roles it takes

The reference's proxy and its peers, one core each.""",
}
METHOD = """The load generator (wrk, one thread, 50 connections) and the origin (nginx) have the other core; all have Reno. The rates
vary with whatever else the machine does; the processor time of a request, by the scheduler's own accounting, is the figure to
read. *Times*: the first one's rate or cost over this one's, median within rounds. Made by `benches/servers/run {what} {pairs} {seconds}`."""


def main():
    what, pairs, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(HEADS[what], METHOD.format(what=what, pairs=pairs, seconds=seconds), sep="\n")
    source = start(origin(), LOAD_CORE, ORIGIN)
    try:
        for title, path, base, peers in tables(what):
            if len(sys.argv) > 4 and sys.argv[4] not in title:
                continue
            runs = {name: [] for name, _ in [base, *peers]}
            for _ in range(pairs):
                for name, command in [base, *peers]:
                    runs[name].append(play(command, path, seconds))
            print(f"\n## {title}\n")
            print(f"| server | requests/s | from to | CPU µs | {base[0]}'s rate, times | {base[0]}'s CPU, times |")
            print("|---|--:|--:|--:|--:|--:|")
            mine = runs[base[0]]
            for name, theirs in runs.items():
                rates, costs = [r[0] for r in theirs], [r[1] for r in theirs]
                rate = statistics.median(a[0] / b[0] for a, b in zip(mine, theirs))
                cost = statistics.median(a[1] / b[1] for a, b in zip(mine, theirs))
                print(f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} |"
                      f" {statistics.median(costs):.1f} | {rate:.2f} | {cost:.2f} |", flush=True)
        if what == "servers" and len(sys.argv) == 4:
            print("\n## Latency added at 2,000 requests/s, in ms\n")
            print("One connection, one request at a time, against the origin itself in the same round.\n")
            print("| server | p50 | from to | p99 |")
            print("|---|--:|--:|--:|")
            servers = [("ours", ours()), ("HAProxy", haproxy()), ("nginx", nginx_proxy())]
            print(*delays(servers, pairs, seconds), sep="\n", flush=True)
        print(f"\n{pairs} rounds of {seconds} s; {platform.machine()}, {os.cpu_count()} cores,"
              f" load average at the end {os.getloadavg()[0]:.1f}.")
    finally:
        os.killpg(source.pid, signal.SIGKILL)
        shutil.rmtree(HERE, ignore_errors=True)


main()
