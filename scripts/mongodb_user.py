"""The user of the mongods of scripts/up; for replica-set.py."""

import pymongo
from pymongo.errors import OperationFailure

USER = "gridspool"
# Roles in all databases, because nodes and trials on one MongoDB have their own; and one for replica-set.py.
ROLES = ["readWriteAnyDatabase", "clusterAdmin"]

AUTHENTICATION_FAILED = 18


def has_user(plain: list[pymongo.MongoClient], named: list[pymongo.MongoClient], password: str) -> bool:
    """Sees that each member knows the user."""
    unknown = 0
    for client in named:
        try:
            client.admin.command("connectionStatus")
        except OperationFailure as err:
            if err.code != AUTHENTICATION_FAILED:
                raise
            unknown += 1
    if unknown == len(named):
        for client in plain:
            if client.admin.command("hello")["isWritablePrimary"]:
                client.admin.command("createUser", USER, pwd=password, roles=ROLES)
    return unknown == 0
