"""Messages the usual way: gevent, web.py and pymongo's GridFS, behind an nginx.

A message is answered when MongoDB has it: its binaries as files of GridFS, its words in a document that names
them. A receiver's list is one indexed find of such documents.

Arguments: a unix socket, a MongoDB URI, a database, and how many processes serve.
"""

from gevent import monkey

monkey.patch_all()

import json
import socket
import sys

import bson
import gridfs
import pymongo
import web
from gevent.pywsgi import WSGIServer

path, uri, database = sys.argv[1:4]
urls = ("/messages", "Messages", "/receivers/([^/]+)/messages", "List")


class Messages:
    """POST: a form of words in JSON, receivers, and files."""

    def POST(self):
        form = web.input(to=[], message={}, clip={}, image={})
        parts = []
        for part in (form.clip, form.image):
            file = bucket.put(part.file, filename=part.filename)
            parts.append({"file": file, "filename": part.filename})
        words = json.loads(form.message.file.read())
        sent = messages.insert_one({"to": form.to, "message": words, "parts": parts})
        web.ctx.status = "201 Created"
        web.header("Location", f"/messages/{sent.inserted_id}")
        return answer({"id": str(sent.inserted_id)})


class List:
    """GET: messages to a receiver, the oldest first, after the id of one if that is given."""

    def GET(self, receiver):
        asked = web.input(after=None, limit="50")
        query = {"to": receiver}
        if asked.after:
            query["_id"] = {"$gt": bson.ObjectId(asked.after)}
        limit = int(asked.limit)
        found = list(messages.find(query, batch_size=limit + 1).sort("_id", 1).limit(limit))
        return answer({"messages": found})



def answer(said):
    body = json.dumps(said, default=str).encode()
    web.header("Content-Type", "application/json")
    web.header("Content-Length", len(body))
    return body


found = pymongo.MongoClient(uri)[database]
bucket, messages = gridfs.GridFS(found, "fs"), found["messages"]
bucket.exists({"filename": "nothing"})
messages.create_index([("to", 1), ("_id", 1)])
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1024)
listener.setblocking(False)
application = web.application(urls, globals(), autoreload=False)
WSGIServer(listener, application.wsgifunc(), log=None).serve_forever()
