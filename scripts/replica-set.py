"""Makes the mongod on a port of this host a replica set of one member, and waits until it is primary.

Usage: replica-set.py PORT

The driver's retryable and majority writes need a replica set, even of one. Safe to run again: after a
change of the port it tells the member its new address.
"""

import sys
import time

import pymongo

SECONDS = 60


def main(port: int) -> None:
    client = pymongo.MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=SECONDS * 1000
    )
    deadline = time.monotonic() + SECONDS
    while not client.admin.command("hello")["isWritablePrimary"]:
        trouble = None
        try:
            configure(client, f"127.0.0.1:{port}")
        except pymongo.errors.OperationFailure as err:
            # A mongod that has just started does not know its own configuration yet.
            trouble = err
        if time.monotonic() > deadline:
            sys.exit(f"mongod on port {port} is not primary after {SECONDS} s: {trouble}")
        time.sleep(0.1)


def configure(client: pymongo.MongoClient, address: str) -> None:
    configuration = client.local["system.replset"].find_one()
    if configuration is None:
        members = [{"_id": 0, "host": address}]
        client.admin.command("replSetInitiate", {"_id": "gridspool", "members": members})
    elif configuration["members"][0]["host"] != address:
        configuration["members"][0]["host"] = address
        configuration["version"] += 1
        client.admin.command("replSetReconfig", configuration, force=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
