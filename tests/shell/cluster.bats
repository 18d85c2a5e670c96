#!/usr/bin/env bats
# up with several nodes and replicas. One instance serves all tests of this file, in their order.

setup_file() {
  load helper
  directory=$(new_directory)
  # The balancer's two ports, and two of each node.
  GRIDSPOOL_PORT=$(free_port 6)
  export directory GRIDSPOOL_PORT GRIDSPOOL_HOME=${directory}/home
  export url=http://127.0.0.1:${GRIDSPOOL_PORT}
  unset GRIDSPOOL_TLS_PORT GRIDSPOOL_MONGODB_URI
  up --nodes 2 --replicas 3 >"${directory}/answer" 2>"${directory}/talk" || {
    cat "${directory}/talk" >&2
    return 1
  }
  head -c 300000 /dev/urandom >"${directory}/file"
  kept=$(upload "${directory}/file")
  export kept
}

teardown_file() {
  down
  rm -rf -- "${directory}"
}

setup() { load helper; }

# Prints the pid of each process of the instance, with its name.
all_pids() {
  local record
  for record in "${GRIDSPOOL_HOME}"/process/* "${GRIDSPOOL_HOME}"/nodes/*/process/*; do
    printf '%s %s\n' "${record#"${GRIDSPOOL_HOME}/"}" "$(cut -d ' ' -f 1 -- "${record}")"
  done
}

# The file that was uploaded at first is there through the balancer and every node.
is_everywhere() {
  local offset
  for offset in 0 2 4; do
    comes_back "http://127.0.0.1:$((GRIDSPOOL_PORT + offset))${kept#"${url}"}" "${directory}/file"
  done
}

@test "the last line is the balancer's address, and all parts run behind it" {
  [[ $(tail -n 1 "${directory}/answer") == "ready ${url}" ]]
  run -0 all_pids
  [[ ${#lines[@]} == 8 ]]
  is_everywhere
  run -0 curl --fail --silent --http2 --cacert "${GRIDSPOOL_HOME}/tls/certificate.pem" --output /dev/null \
    --upload-file "${directory}/file" "https://localhost:$((GRIDSPOOL_PORT + 1))/files/"
}

@test "the replica set has all its members, and the nodes know each other" {
  [[ $(<"${GRIDSPOOL_HOME}/nodes/1/mongodb.uri") == *,*,*"replicaSet="* ]]
  for node in 1 2; do
    run -0 --separate-stderr status --node "${node}"
    python3 -c 'import json, sys
status = json.load(sys.stdin)
assert [peer["node"] for peer in status["cluster"]["peers"]] == [3 - int(sys.argv[1])], status' "${node}" <<<"${output}"
  done
  [[ $(stat -c %a "${GRIDSPOOL_HOME}/peer.key") == 640 ]]
}

@test "all listens on loopback alone" {
  listening=$(ss -Hltnp)
  for pid in $(all_pids | cut -d ' ' -f 2); do
    places=$(awk -v pid="pid=${pid}," 'index($0, pid) { print $4 }' <<<"${listening}")
    run ! grep -v '^127\.0\.0\.1:' <<<"${places:-127.0.0.1:}"
  done
  [[ ${listening} == *"127.0.0.1:${GRIDSPOOL_PORT} "* ]]
}

@test "which node is meant must be said" {
  run -64 status
  run -64 status --node
  run -64 status --node one
  run -1 status --node 9
  [[ ${output} == *"no node 9"* ]]
}

@test "a node that is drained gets no uploads any more, until that is undone" {
  run -0 drain --node 2
  [[ ${output} == *'may be switched off'* ]]
  run -22 curl --fail --silent "http://127.0.0.1:$((GRIDSPOOL_PORT + 4))/healthz"
  run -0 curl --fail --silent "http://127.0.0.1:$((GRIDSPOOL_PORT + 2))/healthz"
  run -0 drain --node 2 --undo
  run -0 curl --fail --silent "http://127.0.0.1:$((GRIDSPOOL_PORT + 4))/healthz"
}

@test "a rescue wants a journal and the number of its node, and leaves nodes that answer alone" {
  local dead=${GRIDSPOOL_HOME}/nodes/2/data/journal
  run -64 rescue --node 1
  run -64 rescue --node 1 --journal "${dead}"
  run -1 rescue --node 1 --journal "${GRIDSPOOL_HOME}" --dead 2
  [[ ${output} == *"no journal"* ]]
  run -1 rescue --node 1 --journal "${dead}" --dead 2
  [[ ${output} == *"node 2 answers"* ]]
  [[ ! -e ${dead}/rescued ]]
}

@test "a second up needs no numbers and leaves alone what runs, and other numbers are refused" {
  before=$(all_pids)
  run -0 up
  [[ ${lines[-1]} == "ready ${url}" ]]
  run -78 up --nodes 3
  [[ ${output} == *"2 nodes and 3 replicas"* ]]
  [[ $(all_pids) == "${before}" ]]
}

@test "up starts again what was killed, and nothing else" {
  killed=(process/mongod-2 process/nginx nodes/1/process/nginx nodes/2/process/sidecar)
  before=$(all_pids)
  for record in "${killed[@]}"; do
    kill -KILL "$(cut -d ' ' -f 1 -- "${GRIDSPOOL_HOME}/${record}")"
  done
  run -0 up
  after=$(all_pids)
  [[ $(comm -12 <(sort <<<"${before}") <(sort <<<"${after}") | wc -l) == $((8 - ${#killed[@]})) ]]
  for record in "${killed[@]}"; do
    is_alive "$(cut -d ' ' -f 1 -- "${GRIDSPOOL_HOME}/${record}")"
  done
  is_everywhere
}

@test "a home of a single node does not become one of several" {
  export GRIDSPOOL_HOME=${directory}/single
  mkdir -- "${GRIDSPOOL_HOME}"
  touch -- "${GRIDSPOOL_HOME}/.gridspool-home" "${GRIDSPOOL_HOME}/ports"
  run -78 up --nodes 2
  [[ ! -e ${GRIDSPOOL_HOME}/cluster ]]
}

@test "up refuses numbers that it cannot use" {
  export GRIDSPOOL_HOME=${directory}/none
  for words in "--nodes" "--nodes 0" "--nodes 10" "--nodes many" "--replicas 8" "--replicas -1"; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 up ${words}
  done
  [[ ! -e ${GRIDSPOOL_HOME} ]]
  GRIDSPOOL_MONGODB_URI=mongodb://127.0.0.1:1 run -78 up --replicas 3
}

@test "down stops everything, and up finds the file again" {
  before=$(all_pids | cut -d ' ' -f 2)
  run -0 down
  for pid in ${before}; do
    run ! is_alive "${pid}"
  done
  run -0 down
  run -0 up
  is_everywhere
}
