#!/usr/bin/env bats
# The output and the effects of shard: on a replica set, which it refuses, and on a stand-in for a mongos.

setup() {
  load helper
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  unset GRIDSPOOL_MONGODB_URI GRIDSPOOL_DATABASE GRIDSPOOL_BUCKET
  started=()
}

teardown() {
  for pid in "${started[@]}"; do
    kill -9 "${pid}"
    wait "${pid}" || true
  done
}

# Sets `python`, and `mongod`.
need_programs() {
  source "${checkout}/scripts/lib.sh"
  source "${checkout}/scripts/lib-install.sh"
  source "${checkout}/scripts/lib-mongod.sh"
  need_python "${checkout}/scripts/requirements/pymongo.txt"
  need_mongod
}

# Sets GRIDSPOOL_MONGODB_URI to a stand-in for a mongos with SHARDS.
start_router() { # SHARDS
  need_programs
  log=${BATS_TEST_TMPDIR}/log
  touch -- "${log}"
  "${python}" "${checkout}/tests/shell/router.py" "$1" "${log}" >"${BATS_TEST_TMPDIR}/port" 3>&- &
  started+=("$!")
  for ((tries = 0; tries < 600; tries++)); do
    [[ ! -s ${BATS_TEST_TMPDIR}/port ]] || break
    sleep 0.1
  done
  GRIDSPOOL_MONGODB_URI=mongodb://127.0.0.1:$(<"${BATS_TEST_TMPDIR}/port")
  export GRIDSPOOL_MONGODB_URI
}

@test "shard prints the commands for the database, bucket and shards that it is told" {
  run -0 --separate-stderr shard --nodes 100 --shards 10 --database chat --bucket media
  [[ ${output} == 'db.getSiblingDB("chat").runCommand({"createIndexes": "media.chunks", "indexes": [{"key": {"files_id": 1, "n": 1}, "name": "files_id_1_n_1", "unique": true}, {"key": {"files_id": "hashed"}, "name": "files_id_hashed"}]})
db.getSiblingDB("chat").runCommand({"createIndexes": "media.files", "indexes": [{"key": {"_id": "hashed"}, "name": "_id_hashed"}]})
db.getSiblingDB("chat").runCommand({"createIndexes": "media.gone", "indexes": [{"key": {"_id": "hashed"}, "name": "_id_hashed"}]})
db.getSiblingDB("chat").runCommand({"createIndexes": "media.inbox", "indexes": [{"key": {"r": 1, "ts": 1}, "name": "r_1_ts_1"}]})
db.getSiblingDB("admin").runCommand({"enableSharding": "chat"})
db.getSiblingDB("admin").runCommand({"shardCollection": "chat.media.chunks", "key": {"files_id": "hashed"}, "numInitialChunks": 160})
db.getSiblingDB("admin").runCommand({"shardCollection": "chat.media.files", "key": {"_id": "hashed"}, "numInitialChunks": 160})
db.getSiblingDB("admin").runCommand({"shardCollection": "chat.media.gone", "key": {"_id": "hashed"}, "numInitialChunks": 160})
db.getSiblingDB("admin").runCommand({"shardCollection": "chat.media.inbox", "key": {"r": 1}})' ]]
  [[ ${stderr} == *"2000 files, 4000 documents and 400 MB a second"*"10 shards 400 documents and 40 MB"* ]]
}

@test "shard takes the names of the bucket from the sidecar's settings" {
  GRIDSPOOL_DATABASE=d GRIDSPOOL_BUCKET=b run -0 --separate-stderr shard
  [[ ${lines[5]} == *'"d.b.chunks"'*'"numInitialChunks": 32'* ]]
  run -0 --separate-stderr shard
  [[ ${lines[5]} == *'"gridspool.fs.chunks"'* ]]
}

@test "shard refuses values that it cannot use" {
  for words in "--shards 0" "--shards two" --shards "--nodes -1" --nodes "--database a.b" --database "--bucket a$" --bucket; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 --separate-stderr shard --run ${words}
    [[ -z ${output} && ${stderr} == *"${words%% *}"* ]]
  done
}

@test "shard changes nothing on a replica set, and says that it is no mongos" {
  need_programs
  directory=${BATS_TEST_TMPDIR}/mongodb
  port=$(free_port)
  mkdir -- "${directory}"
  "${mongod}" --dbpath "${directory}" --bind_ip 127.0.0.1 --port "${port}" --nounixsocket --replSet gridspool \
    --wiredTigerCacheSizeGB 0.25 --oplogSize 100 >"${BATS_TEST_TMPDIR}/mongod.log" 3>&- &
  started+=("$!")
  "${python}" -B "${checkout}/scripts/replica-set.py" "${port}"
  export GRIDSPOOL_MONGODB_URI="mongodb://127.0.0.1:${port}/?replicaSet=gridspool"
  run -1 --separate-stderr shard --run
  [[ -z ${output} && ${stderr} == *"no mongos, but a member of the replica set gridspool"*"nothing was changed"* ]]
  run -0 "${python}" -c 'import pymongo, sys; print(pymongo.MongoClient(sys.argv[1]).list_database_names())' \
    "${GRIDSPOOL_MONGODB_URI}"
  [[ ${output} == "['admin', 'config', 'local']" ]]
}

@test "shard says when nobody answers" {
  need_programs
  GRIDSPOOL_MONGODB_URI="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100" run -1 --separate-stderr shard --run
  [[ -z ${output} && ${stderr} == *127.0.0.1:1* ]]
}

@test "shard runs what it prints on a mongos, and once only" {
  start_router 3
  run -0 --separate-stderr shard --shards 3
  printed=${output}
  run -0 --separate-stderr shard --run --shards 3
  # shellcheck disable=SC2016  # Python's own braces
  ran=$("${python}" -c 'import json, sys
for line in open(sys.argv[1]):
    command = json.loads(line)
    database = command.pop("$db")
    print(f"db.getSiblingDB(\"{database}\").runCommand({json.dumps(command)})")' "${log}")
  [[ ${ran} == "${printed}" ]]
  : >"${log}"
  run -0 --separate-stderr shard --run --shards 3
  for part in chunks files gone inbox; do
    [[ ${output} == *"gridspool.fs.${part} is sharded so already"* ]]
  done
  run ! grep -q shardCollection "${log}"
}

@test "shard adds what a bucket lacks that was sharded before it had messages" {
  start_router 2
  "${python}" -c 'import pymongo, sys
admin = pymongo.MongoClient(sys.argv[1]).admin
admin.command({"shardCollection": "gridspool.fs.chunks", "key": {"files_id": "hashed"}})
admin.command({"shardCollection": "gridspool.fs.files", "key": {"_id": "hashed"}})' "${GRIDSPOOL_MONGODB_URI}"
  : >"${log}"
  run -0 --separate-stderr shard --run
  run -0 sed -n 's/^{"shardCollection": "\([^"]*\)".*/\1/p' "${log}"
  [[ ${output} == $'gridspool.fs.gone\ngridspool.fs.inbox' ]]
}

@test "shard does not split a collection beforehand that has documents" {
  start_router 2
  run -0 --separate-stderr shard --run --bucket full
  [[ ${output} == *"gridspool.full.chunks has documents"* ]]
  [[ $(grep -c shardCollection "${log}") == 4 ]]
  run ! grep -q numInitialChunks "${log}"
}

@test "shard changes nothing where the cluster is not as it is told" {
  start_router 2
  run -1 --separate-stderr shard --run --shards 3
  [[ ${stderr} == *"say --shards 2; nothing was changed"* ]]
  "${python}" -c 'import pymongo, sys
pymongo.MongoClient(sys.argv[1]).admin.command({"shardCollection": "gridspool.fs.files", "key": {"filename": 1}})' \
    "${GRIDSPOOL_MONGODB_URI}"
  : >"${log}"
  run -1 --separate-stderr shard --run
  [[ ${stderr} == *"gridspool.fs.files is sharded by"*filename*"nothing was changed"* ]]
  [[ ! -s ${log} ]]
}
