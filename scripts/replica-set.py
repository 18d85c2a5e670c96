"""Makes the mongods on these ports of this host one replica set, and waits until all are its members.

Usage: replica-set.py PORT...

The driver's retryable and majority writes need a replica set, even of one. Safe to run again: after a
change of a port it tells the members the new address.
"""

import sys
import time

import pymongo

SECONDS = 60


def main(ports: list[int]) -> None:
    clients = [
        pymongo.MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=SECONDS * 1000)
        for port in ports
    ]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    deadline = time.monotonic() + SECONDS
    while not are_members(clients):
        trouble = None
        try:
            configure(clients, addresses)
        except pymongo.errors.PyMongoError as err:
            # A mongod that has just started does not know its own configuration yet, and one that
            # changes its role breaks connections.
            trouble = err
        if time.monotonic() > deadline:
            sys.exit(f"no replica set on ports {ports} after {SECONDS} s: {trouble}")
        time.sleep(0.1)


def are_members(clients: list[pymongo.MongoClient]) -> bool:
    """Whether one is primary and all others follow it."""
    try:
        answers = [client.admin.command("hello") for client in clients]
    except pymongo.errors.PyMongoError:
        return False
    primaries = sum(answer["isWritablePrimary"] for answer in answers)
    return primaries == 1 and all(answer["isWritablePrimary"] or answer["secondary"] for answer in answers)


def configure(clients: list[pymongo.MongoClient], addresses: list[str]) -> None:
    first = clients[0]
    configuration = first.local["system.replset"].find_one()
    if configuration is None:
        # Where another has one, the first hears of it.
        if not any(client.local["system.replset"].find_one() for client in clients[1:]):
            members = [{"_id": place, "host": address} for place, address in enumerate(addresses)]
            first.admin.command("replSetInitiate", {"_id": "gridspool", "members": members})
        return
    if [member["host"] for member in configuration["members"]] != addresses:
        for member, address in zip(configuration["members"], addresses, strict=True):
            member["host"] = address
        configuration["version"] += 1
        first.admin.command("replSetReconfig", configuration, force=True)


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])
