"""SimPy: a process per customer, a resource per station. Arguments: customers, seed."""

import random


import peers
import simpy


def simulate(customers, seed):
    draws = random.Random(seed)
    env = simpy.Environment()
    stations = [simpy.Resource(env, peers.SERVERS) for _ in range(peers.STATIONS)]
    responses = peers.Histogram()

    def customer():
        came = env.now
        for station in stations:
            with station.request() as turn:
                yield turn
                yield env.timeout(draws.expovariate(1 / peers.SERVICE))
        responses.add(env.now - came)

    def source():
        for _ in range(customers):
            yield env.timeout(draws.expovariate(1 / peers.BETWEEN))
            env.process(customer())

    env.process(source())
    env.run()
    return responses


peers.program(simulate)
