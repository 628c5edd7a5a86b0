"""Ciw: its own network of three nodes, its own records of every customer. Arguments: customers, seed."""

import ciw
import peers


def simulate(customers, seed):
    ciw.seed(seed)
    rate = 1 / peers.BETWEEN
    services = [ciw.dists.Exponential(1 / peers.SERVICE) for _ in range(peers.STATIONS)]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate), None, None],
        service_distributions=services,
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        number_of_servers=[peers.SERVERS] * peers.STATIONS,
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers)
    responses = peers.Histogram()
    came = {}
    for record in simulation.get_all_records():
        if record.node == 1:
            came[record.id_number] = record.arrival_date
    for record in simulation.get_all_records():
        if record.node == peers.STATIONS:
            responses.add(record.exit_date - came[record.id_number])
    return responses


peers.program(simulate)
