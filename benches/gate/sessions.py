"""Sessions of `report gate`, the same server on both sides or a slower one, quiet or beside a neighbour: holds some more and
appends them to the log, then makes the table of all."""

import json
import math
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time

LOG = "benches/tables/gate-sessions.jsonl"
TABLE = "benches/tables/gate.md"
BLOCKS = ["scenarios/library/gate/steady.toml"]
ROUNDS = 150_000
# Rounds of arithmetic are not all of a request's work, and less of its time: so many more make one or the other 5% worse, as measured; the
# table says how much it was.
CANDIDATES = {"the same": 1.0, "5% more processor time": 1.06, "5% slower median": 1.085}
# As many that are the same as that are slower in one way or the other.
SHARES = {"the same": 2, "5% more processor time": 1, "5% slower median": 1}
NAMES = {0: "pass", 111: "invalid", 112: "regressed", 113: "inconclusive"}
BUDGETS = {"as it is": "5m", "beside a neighbour": "12m"}
# The gate's own.
MARGIN = "1%"
KINDS = [(candidate, machine) for machine in BUDGETS for candidate in CANDIDATES]


def server(side, rounds):
    return f"target/gate/{side}/answering {{port}} {rounds}"


def build(seed):
    """Compiles and links both sides for a session of their own, as two versions would be: with names of their own for symbols, so that
    linkers place them otherwise. The server needs nothing but the standard library, so the compiler alone makes it."""
    for side in ("base", "candidate"):
        os.makedirs(f"target/gate/{side}", exist_ok=True)
        command = ["rustc", "--edition", "2024", "-C", "opt-level=3", "-C", f"metadata={side}{seed}", "--crate-name", "answering"]
        subprocess.run([*command, "-o", f"target/gate/{side}/answering", "benches/examples/answering.rs"], check=True)


def wilson(hits, of):
    if of == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)


class Neighbour:
    """Takes a core for some tenths of a second, now and then."""

    def __init__(self, wanted):
        self.wanted, self.process = wanted, None

    def __enter__(self):
        burst = "import random,time\nwhile True:\n e=time.time()+random.uniform(.1,.6)\n while time.time()<e: pass\n time.sleep(random.uniform(.2,1.2))"
        if self.wanted:
            self.process = subprocess.Popen([sys.executable, "-c", burst])

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def known():
    """The sessions that were held; a line that was cut off when the machine went down is none."""
    sessions = []
    if os.path.exists(LOG):
        with open(LOG) as file:
            for line in file:
                if line.endswith("\n"):
                    sessions.append(json.loads(line))
    return sessions


def mend():
    """Takes off what of a line was written when the machine went down, so that the next one does not stand behind it."""
    if os.path.exists(LOG):
        with open(LOG, "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def worse(rounds):
    """The median worsening of each quantity, over a session's rounds."""
    out = {}
    for i, quantity in enumerate(rounds["quantities"]):
        values = sorted(
            math.log(c[i] / math.sqrt(b[i] * k[i]))
            for b, k, c in (r["values"] for r in rounds["rounds"])
            if min(b[i], k[i], c[i]) > 0
        )
        if values:
            out[f'{quantity["metric"]} of {quantity["scenario"]}'] = round(values[len(values) // 2], 6)
    return out


def shortened(rounds):
    """Six digits are more than the noise leaves."""
    short = lambda value: float(f"{value:.6g}")
    for played in rounds["rounds"]:
        played["values"] = [[short(value) for value in arm] for arm in played["values"]]
        played["seconds"] = round(played["seconds"], 3)
    return rounds


def session(kind, seed):
    candidate, machine = kind
    rounds = int(ROUNDS * CANDIDATES[candidate])
    build(seed)
    with tempfile.TemporaryDirectory() as directory, Neighbour(machine == "beside a neighbour"):
        save = f"{directory}/rounds.json"
        command = ["target/release/report", "gate", *BLOCKS, "--base", server("base", ROUNDS), "--candidate", server("candidate", rounds)]
        command += ["--save", save, "--seed", str(seed), "--budget", BUDGETS[machine], "--margin", MARGIN]
        begun, load = time.time(), os.getloadavg()[0]
        gate = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # Whoever is ended is to end the gate as well, as from a terminal.
        signal.signal(signal.SIGTERM, lambda *_: (gate.send_signal(signal.SIGINT), signal.raise_signal(signal.SIGINT)))
        try:
            said, _ = gate.communicate()
        except KeyboardInterrupt:
            # It was interrupted as well, and ends its server.
            gate.wait(timeout=30)
            raise
        seconds = time.time() - begun
        if gate.returncode not in NAMES:
            sys.exit(f"the session ended with exit code {gate.returncode}, and is not counted")
        with open(save) as file:
            recorded = json.load(file)
    verdict = NAMES[gate.returncode]
    if said.startswith("improved"):
        verdict = "improved"
    held = {
        "candidate": candidate,
        "machine": machine,
        "seed": seed,
        "margin": MARGIN,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)),
        "load_before": load,
        "verdict": verdict,
        "seconds": round(seconds, 1),
        "rounds_played": len(recorded["rounds"]),
        "worse": worse(recorded),
        "said": said.splitlines()[0],
    }
    held["rounds"] = shortened(recorded)
    return held


def hold(more, machines):
    for _ in range(more):
        sessions = known()
        kinds = [kind for kind in KINDS if kind[1] in machines]
        held = lambda kind: sum((s["candidate"], s["machine"]) == kind for s in sessions)
        fewest = [(held(kind) / SHARES[kind[0]], kind) for kind in kinds]
        least = min(count for count, _ in fewest)
        # Which of several comes next is chance, so that no kind has the same hour of the day each time.
        kind = random.Random(len(sessions)).choice([kind for count, kind in fewest if count == least])
        held = session(kind, len(sessions) + 1)
        mend()
        with open(LOG, "a") as file:
            file.write(json.dumps(held, separators=(",", ":")) + "\n")
        print(f'{", ".join(kind)}: {held["said"]}', file=sys.stderr, flush=True)


def table(sessions, to):
    say = lambda text="": print(text, file=to, flush=True)
    say("# The gate's false alarms and power\n")
    say(f"Made by `benches/gate/run` on {platform.machine()}, {os.cpu_count()} cores, from the {len(sessions)} sessions in")
    say(f"`gate-sessions.jsonl`, with a margin of {MARGIN}. Base and candidate were built and linked apart, anew for each session; but the work of")
    say("the server that they are is the same wherever it lies in memory, so that what the layout of other programs makes of them is not in these")
    say("figures. A session's time does not count the builds.\n")
    for candidate in CANDIDATES:
        effects = [s["worse"] for s in sessions if s["candidate"] == candidate]
        for name in sorted({name for effect in effects for name in effect}):
            values = sorted(effect[name] for effect in effects if name in effect)
            least, middle, most = (f"{100 * math.expm1(v):+.1f}%" for v in (values[0], values[len(values) // 2], values[-1]))
            say(f"- {candidate}, as measured: {name} {middle} (sessions {least} to {most})")
    say("\n## Measured, whole sessions\n")
    say("| the candidate | machine | sessions | regressed | 95% interval | in CPU | in p50 | pass, improved | inconclusive | invalid | seconds, median | longest |")
    say("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    kinds = KINDS + [(candidate, "both") for candidate in CANDIDATES]
    for candidate, machine in kinds:
        of = [s for s in sessions if s["candidate"] == candidate and machine in (s["machine"], "both")]
        count = lambda *names: sum(s["verdict"] in names for s in of)
        low, high = wilson(count("regressed"), len(of))
        seconds = sorted(s["seconds"] for s in of) or [0]
        found = lambda metric: sum(f"{metric} of steady is worse" in s["said"] for s in of if s["verdict"] == "regressed")
        cells = [candidate, machine, len(of), count("regressed"), f"{100 * low:.0f} to {100 * high:.0f}%"]
        cells += [found("cpu_per_request"), found("p50"), count("pass", "improved")]
        cells += [count("inconclusive"), count("invalid"), f"{seconds[len(seconds) // 2]:.0f}", f"{seconds[-1]:.0f}"]
        say("| " + " | ".join(map(str, cells)) + " |")
    say("\n## Simulated, from the noise of the sessions above in which both sides were the same\n")
    for machine, budget in BUDGETS.items():
        same = [s for s in sessions if s["machine"] == machine and s["candidate"] == "the same"]
        noise = [s["rounds"] for s in same if s.get("rounds", {}).get("rounds")]
        if not noise:
            continue
        with tempfile.TemporaryDirectory() as directory:
            files = [f"{directory}/{i}.json" for i in range(len(noise))]
            for path, rounds in zip(files, noise):
                with open(path, "w") as file:
                    json.dump(rounds, file)
            command = ["target/release/report", "gate", "--self-test", "--budget", budget, "--margin", MARGIN, "--from", *files]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        say(f"The machine {machine}: {done.stdout}")


def main():
    try:
        hold(int(sys.argv[1]), sys.argv[2:] or list(BUDGETS))
    except KeyboardInterrupt:
        print("interrupted: the session that was going on is not counted", file=sys.stderr)
    sessions = known()
    with open(TABLE + ".new", "w") as to:
        table(sessions, to)
    os.replace(TABLE + ".new", TABLE)
    with open(TABLE) as made:
        print(made.read())


main()
