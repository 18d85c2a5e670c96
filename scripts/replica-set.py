"""Makes the mongods on these ports of this host one replica set, and waits until all are its members.

Usage: replica-set.py PORT...

The driver's retryable and majority writes need a replica set, even of one. Safe to run again: after a
change of a port it tells the members the new address. With GRIDSPOOL_MONGODB_PASSWORD the set has a user
`gridspool` of that password in the end, who may do what a sidecar and this program need.
"""

import os
import sys
import time

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from mongodb_user import AUTHENTICATION_FAILED, USER, has_user

SECONDS = 120
UNAUTHORIZED, ALREADY_INITIALIZED, NOT_YET_INITIALIZED = 13, 23, 94


def main(ports: list[int], password: str) -> None:
    # Without a name: until there is a user, MongoDB lets this host make a set and its first user.
    plain = [connect(port) for port in ports]
    named = [connect(port, username=USER, password=password) for port in ports] if password else []
    addresses = [f"127.0.0.1:{port}" for port in ports]
    deadline = time.monotonic() + SECONDS
    while True:
        trouble = None
        try:
            if not are_members(plain):
                configure(plain, named, addresses)
            elif not named or has_user(plain, named, password):
                return
        except PyMongoError as err:
            # A mongod that has just started does not know its own configuration yet, and one that
            # changes its role breaks connections.
            trouble = err
        if time.monotonic() > deadline:
            sys.exit(f"no replica set on ports {ports} after {SECONDS} s: {trouble}")
        time.sleep(0.1)


def connect(port: int, **options: str) -> pymongo.MongoClient:
    return pymongo.MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=SECONDS * 1000, **options
    )


def are_members(plain: list[pymongo.MongoClient]) -> bool:
    """Whether one is primary and all others follow it."""
    try:
        answers = [client.admin.command("hello") for client in plain]
    except PyMongoError:
        return False
    primaries = sum(answer["isWritablePrimary"] for answer in answers)
    return primaries == 1 and all(answer["isWritablePrimary"] or answer["secondary"] for answer in answers)


def configure(plain: list[pymongo.MongoClient], named: list[pymongo.MongoClient], addresses: list[str]) -> None:
    known = [configuration(clients) for clients in zip(*filter(None, (named, plain)), strict=True)]
    client, current = known[0]
    if current is None:
        # If another mongod has a configuration, the first one learns of it.
        if all(configured is None for _, configured in known):
            initiate(plain[0], addresses)
        return
    if [member["host"] for member in current["members"]] != addresses:
        for member, address in zip(current["members"], addresses, strict=True):
            member["host"] = address
        current["version"] += 1
        client.admin.command("replSetReconfig", current, force=True)


def configuration(clients: tuple[pymongo.MongoClient, ...]) -> tuple[pymongo.MongoClient, dict | None]:
    """The configuration that a member has, and the first of its clients that may ask for it."""
    for client in clients:
        try:
            return client, client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as err:
            if err.code not in (UNAUTHORIZED, AUTHENTICATION_FAILED, NOT_YET_INITIALIZED):
                raise
    return clients[-1], None


def initiate(first: pymongo.MongoClient, addresses: list[str]) -> None:
    members = [{"_id": place, "host": address} for place, address in enumerate(addresses)]
    try:
        first.admin.command("replSetInitiate", {"_id": "gridspool", "members": members})
    except OperationFailure as err:
        if err.code != ALREADY_INITIALIZED:
            raise


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]], os.environ.get("GRIDSPOOL_MONGODB_PASSWORD", ""))
