"""Writes files as any user of pymongo's gridfs would, and prints as JSON how long that took.

Arguments: a MongoDB URI, a database, bytes of each file, how many files, and seconds after which
no file is begun any more.
"""

import json
import os
import resource
import sys
import time

import gridfs
import pymongo

uri, database = sys.argv[1:3]
length, count = map(int, sys.argv[3:5])
seconds = float(sys.argv[5])
block = os.urandom(min(length, 1 << 24))
content = (block * (length // len(block) + 1))[:length]
bucket = gridfs.GridFS(pymongo.MongoClient(uri)[database], "fs")
bucket.exists({"filename": "nothing"})
files = 0
cpu, begun = time.process_time(), time.monotonic()
while files < count and time.monotonic() - begun < seconds:
    bucket.put(content, filename=f"file-{files}")
    files += 1
usage = resource.getrusage(resource.RUSAGE_SELF)
json.dump(
    {
        "files": files,
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": usage.ru_maxrss / 1024,
    },
    sys.stdout,
)
