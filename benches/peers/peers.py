"""What the peers in Python share: the system, the histogram, the line that each prints."""

import math
import sys
import time

STATIONS = 3
SERVERS = 8
SERVICE = 1.0  # The mean service, in milliseconds.
BETWEEN = SERVICE / (0.8 * SERVERS)


class Histogram:
    """Three digits: a bucket per thousandth of a decade, cheap enough not to matter beside an event."""

    def __init__(self):
        self.counts = {}
        self.sum = 0.0

    def add(self, response):
        bucket = int(math.log(response + 1e-9) * 1000)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.sum += response

    def total(self):
        return sum(self.counts.values())

    def percentile(self, share):
        rank, so_far = share * self.total(), 0
        for bucket in sorted(self.counts):
            so_far += self.counts[bucket]
            if so_far >= rank:
                return math.exp(bucket / 1000)
        return math.nan


def program(simulate):
    """Prints customers, seconds, the mean and the p99 of the responses in ms, and the seconds of processor time."""
    customers, seed = int(sys.argv[1]), int(sys.argv[2])
    started, cpu = time.perf_counter(), time.process_time()
    responses = simulate(customers, seed)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    total = responses.total()
    print(total, seconds, responses.sum / total, responses.percentile(0.99), cpu)
