"""Answers on a port of this host like the mongos of an empty cluster, as far as scripts/shard can tell.

Usage: router.py SHARDS LOG

Prints its port, and writes commands that change something to LOG, a line of JSON each. It keeps the shard keys
that it is given. A collection that is called full has documents.
"""

import json
import socketserver
import struct
import sys

import bson

HEAD = struct.Struct("<iiii")
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HELLO = {"isWritablePrimary": True, "ismaster": True, "msg": "isdbgrid", "minWireVersion": 0, "maxWireVersion": 17}

keys: dict[str, dict] = {}


def answer(command: dict) -> dict:
    name = next(iter(command))
    if name in ("hello", "ismaster", "isMaster"):
        return HELLO
    if name == "listShards":
        return {"shards": [{"_id": str(number)} for number in range(int(sys.argv[1]))]}
    if name == "find":
        found = []
        if command["$db"] == "config":
            namespace = command["filter"]["_id"]
            found = [{"_id": namespace, "key": keys[namespace]}] if namespace in keys else []
        elif command["find"].startswith("full."):
            found = [{"_id": 1}]
        return {"cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}
    if name != "endSessions":
        with open(sys.argv[2], "a", encoding="utf-8") as log:
            told = {key: value for key, value in command.items() if key not in ("lsid", "$clusterTime", "txnNumber")}
            log.write(json.dumps(told) + "\n")
    if name == "shardCollection":
        keys[command[name]] = command["key"]
    return {}


class Client(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(head := self.rfile.read(HEAD.size)) == HEAD.size:
            length, request, _, kind = HEAD.unpack(head)
            body = self.rfile.read(length - HEAD.size)
            # A query: flags, the name of a collection, two numbers. A message: flags and a section's kind.
            start = body.index(b"\0", 4) + 9 if kind == OP_QUERY else 5
            reply = bson.encode(answer(bson.decode(body[start:])) | {"ok": 1.0})
            reply = struct.pack("<iqii", 8, 0, 0, 1) + reply if kind == OP_QUERY else bytes(5) + reply
            kind = OP_REPLY if kind == OP_QUERY else OP_MSG
            self.wfile.write(HEAD.pack(HEAD.size + len(reply), 0, request, kind) + reply)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


with Server(("127.0.0.1", 0), Client) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
