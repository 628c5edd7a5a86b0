"""Sessions of `report gate`, the same server on both sides or a slower one, quiet or beside a neighbour; prints the table."""

import json
import math
import os
import platform
import random
import signal
import subprocess
import sys
import time

BLOCKS = ["scenarios/library/gate/steady.toml", "scenarios/library/gate/saturated.toml"]
ROUNDS = 150_000
NAMES = {0: "pass", 111: "invalid", 112: "regressed", 113: "inconclusive"}


def server(side, rounds):
    return f"target/gate/{side}/release/examples/answering {{port}} {rounds}"


def wilson(hits, of):
    if of == 0:
        return 0.0, 1.0
    z, p = 1.959964, hits / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)


class Neighbour:
    """Takes a core for some tenths of a second, now and then."""

    def __enter__(self):
        burst = "import random,time\nwhile True:\n e=time.time()+random.uniform(.1,.6)\n while time.time()<e: pass\n time.sleep(random.uniform(.2,1.2))"
        self.process = subprocess.Popen([sys.executable, "-c", burst])

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def session(base, candidate, save, seed):
    begun = time.time()
    command = ["target/release/report", "gate", *BLOCKS, "--base", base, "--candidate", candidate]
    command += ["--save", save, "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in NAMES:
        sys.exit(done.stderr)
    print(f"{NAMES[done.returncode]}, {time.time() - begun:.0f} s: {done.stdout.splitlines()[0]}", file=sys.stderr)
    return NAMES[done.returncode], time.time() - begun


def effect(save):
    """The median worsening in processor time and median, by the rounds of a session."""
    with open(save) as file:
        recorded = json.load(file)
    out = {}
    for i, quantity in enumerate(recorded["quantities"]):
        worse = sorted(
            math.log(c[i] / math.sqrt(b[i] * k[i]))
            for b, k, c in (r["values"] for r in recorded["rounds"])
            if min(b[i], k[i], c[i]) > 0
        )
        if worse:
            out[f'{quantity["metric"]} of {quantity["scenario"]}'] = worse[len(worse) // 2]
    return out


def main():
    count = int(sys.argv[1])
    slower = int(ROUNDS * float(os.environ.get("SLOWER", "1.065")))
    kinds = [("the same", ROUNDS, False), ("5% slower", slower, False), ("the same", ROUNDS, True), ("5% slower", slower, True)]
    outcomes = {kind: [] for kind in range(4)}
    quiet, effects = [], []
    for number in range(count):
        half = number % 2 == 1
        for place in random.Random(number).sample([0, 1], 2):
            kind = place + (2 if half else 0)
            _, rounds, noisy = kinds[kind]
            save = f"benches/tables/gate-rounds/{number:02}-{'same' if place == 0 else 'slower'}-{'noisy' if noisy else 'quiet'}.json"
            run = lambda: session(server("base", ROUNDS), server("candidate", rounds), save, number + 1)
            if noisy:
                with Neighbour():
                    outcomes[kind].append(run())
            else:
                outcomes[kind].append(run())
            if not os.path.exists(save):
                continue
            if place == 0:
                quiet.append(save)
            else:
                effects.append(effect(save))
    print("# The gate's false alarms and power\n")
    print(f"Made by `benches/gate/run {count}` on {platform.machine()}, {os.cpu_count()} cores. Base and candidate were built and linked apart.\n")
    for name in sorted({name for e in effects for name in e}):
        values = sorted(e[name] for e in effects if name in e)
        print(f"- put in, as measured: {name} {100 * math.expm1(values[len(values) // 2]):+.1f}%")
    print("\n## Measured, whole sessions\n")
    print("| the candidate | machine | sessions | regressed | 95% interval | pass | inconclusive | invalid | seconds, median |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind, (name, _, noisy) in enumerate(kinds):
        ended = [o for o, _ in outcomes[kind]]
        low, high = wilson(ended.count("regressed"), len(ended))
        seconds = sorted(s for _, s in outcomes[kind]) or [0]
        cells = [name, "beside a neighbour" if noisy else "as it is", len(ended), ended.count("regressed")]
        cells += [f"{100 * low:.0f} to {100 * high:.0f}%", ended.count("pass"), ended.count("inconclusive"), ended.count("invalid")]
        print("| " + " | ".join(map(str, cells)) + f" | {seconds[len(seconds) // 2]:.0f} |")
    print("\n## Simulated, from the noise of the sessions above in which both sides were the same\n", flush=True)
    for name, wanted in [("as it is", "quiet"), ("beside a neighbour", "noisy")]:
        files = [f for f in quiet if wanted in f]
        if files:
            print(f"{name}:", end=" ", flush=True)
            subprocess.run(["target/release/report", "gate", "--self-test", "--from", *files], check=True)
            print()


main()
