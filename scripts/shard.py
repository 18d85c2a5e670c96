"""Runs commands that shard collections, on a mongos that has so many shards, and on nothing else.

Usage: shard.py SHARDS (DATABASE COMMAND)...

The commands are JSON; the address is in GRIDSPOOL_MONGODB_URI. Everything is looked at before anything is
changed.
"""

import json
import os
import sys

import pymongo


def main(shards: int, commands: list[tuple[str, dict]]) -> None:
    client = pymongo.MongoClient(os.environ["GRIDSPOOL_MONGODB_URI"])
    require_cluster(client, shards)
    wanted = [(database, fit(client, command)) for database, command in commands]
    for database, command in wanted:
        if command is not None:
            print(f"{database}: {json.dumps(command)}", flush=True)
            client[database].command(command)


def require_cluster(client: pymongo.MongoClient, shards: int) -> None:
    hello = client.admin.command("hello")
    if hello.get("msg") != "isdbgrid":
        member = f"a member of the replica set {hello['setName']}" if "setName" in hello else "a mongod"
        refuse(f"this is no mongos, but {member}: only a mongos can shard")
    found = len(client.admin.command("listShards")["shards"])
    if found != shards:
        refuse(f"the cluster has another number of shards: say --shards {found}")


def fit(client: pymongo.MongoClient, command: dict) -> dict | None:
    """The command as it fits what is there; None if that is done already."""
    namespace = command.get("shardCollection")
    if namespace is None:
        return command
    sharded = client.config.collections.find_one(
        # This leaves out dropped collections (MongoDB 4), and collections that only the router knows (8).
        {"_id": namespace, "dropped": {"$ne": True}, "unsplittable": {"$ne": True}}
    )
    if sharded is not None:
        if sharded["key"] != command["key"]:
            refuse(f"{namespace} is sharded by {json.dumps(sharded['key'])} already; reshardCollection changes that")
        print(f"{namespace} is sharded so already", flush=True)
        return None
    database, collection = namespace.split(".", 1)
    if client[database][collection].find_one({}, {"_id": 1}) is None:
        return command
    # MongoDB splits beforehand what is empty, and nothing else.
    print(f"{namespace} has documents: MongoDB's balancer will move them bit by bit", flush=True)
    return {name: value for name, value in command.items() if name != "numInitialChunks"}


def refuse(why: str) -> None:
    sys.exit(f"shard: {why}; nothing was changed")


if __name__ == "__main__":
    words = sys.argv[2:]
    try:
        main(int(sys.argv[1]), [(name, json.loads(text)) for name, text in zip(words[::2], words[1::2], strict=True)])
    except pymongo.errors.PyMongoError as err:
        sys.exit(f"shard: {err}")
