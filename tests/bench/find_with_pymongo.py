"""Finds pages of receivers' lists, each by one indexed find, and prints as JSON how long they took.

Arguments: a MongoDB URI, a database, how many receivers, entries of a page, and seconds.
"""

import hashlib
import json
import sys
import time

import pymongo
from bson.binary import Binary
from bson.timestamp import Timestamp

uri, database = sys.argv[1:3]
receivers, page = map(int, sys.argv[3:5])
seconds = float(sys.argv[5])
inbox = pymongo.MongoClient(uri)[database]["fs.inbox"]
numbers = [Binary(hashlib.sha256(f"receiver-{number}".encode()).digest()[:12]) for number in range(receivers)]
times = []
begun = time.monotonic()
while time.monotonic() - begun < seconds:
    number = numbers[len(times) % receivers]
    before = time.perf_counter()
    query = {"r": number, "ts": {"$gt": Timestamp(0, 0), "$lte": Timestamp(2**31, 0)}}
    found = list(inbox.find(query, batch_size=page + 1).sort([("r", 1), ("ts", 1)]).limit(page))
    times.append(time.perf_counter() - before)
    if len(found) != page:
        sys.exit(f"{len(found)} entries, and not {page}")
times.sort()
json.dump(
    {
        "finds": len(times),
        "seconds": time.monotonic() - begun,
        "p99_ms": times[len(times) * 99 // 100] * 1e3,
    },
    sys.stdout,
)
