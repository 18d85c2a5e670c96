#!/usr/bin/env bats
# up with several nodes and replicas. One instance serves all tests of this file, in their order.

setup_file() {
  load helper
  directory=$(new_directory)
  # The balancer's two ports, and two of each node; a third node comes later.
  GRIDSPOOL_PORT=$(free_port 8)
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
  # Clients of a test that has failed end, too.
  touch -- "${directory}/enough"
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

# Uploads and reads through the balancer, and writes down what fails, until there is a file "enough".
send_and_read() { # DIRECTORY
  while [[ -d $1 && ! -e $1/enough ]]; do
    if place=$(upload "$1/file" 2>>"$1/failed"); then
      printf '%s\n' "${place##*/}" >>"$1/ids"
      comes_back "${place}" "$1/file" 2>>"$1/failed" || printf 'lost %s\n' "${place}" >>"$1/failed"
    fi
  done
}

# The clients have had an answer from this node, by the number in the id.
uploads_at() { grep -q "^.\{8\}000$1" -- "${directory}/ids"; } # NUMBER

refuses() { [[ $(curl --silent --output /dev/null --write-out '%{http_code}' "$1") == 503 ]]; } # URL

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

@test "tasks on the list of nodes need no node, and those on a journal do" {
  run -0 --separate-stderr "${checkout}/scripts/node" list
  [[ ${#lines[@]} == 3 && ${lines[1]} == "1 "* && ${lines[2]} == "2 "* ]]
  run -1 "${checkout}/scripts/node" remove 7
  [[ ${output} == *"the list has no node 7"* ]]
  run -64 gc
  [[ ${output} == *"set GRIDSPOOL_HOME"* ]]
}

@test "a node is added and drained under load, and no request fails" {
  local one=${GRIDSPOOL_HOME}/nodes/1 balancer=${GRIDSPOOL_HOME}/nginx/examples/balancer.conf removing
  local address=127.0.0.1:$((GRIDSPOOL_PORT + 6)) settings
  settings=(GRIDSPOOL_PEER_KEY="${GRIDSPOOL_HOME}/peer.key" GRIDSPOOL_MONGODB_URI="$(<"${one}/mongodb.uri")"
  GRIDSPOOL_ADVERTISE="http://${address}" GRIDSPOOL_PEERS="1=http://127.0.0.1:$((GRIDSPOOL_PORT + 2))")
  # Each node has a line by its number.
  run -0 grep -c '^  "~[*]^/uploads/' -- "${balancer}"
  [[ ${output} == 2 ]]
  # Another machine cannot have a number that is taken.
  run -1 env "${settings[@]}" PATH="${one}/bin:${PATH}" GRIDSPOOL_HOME="${directory}/other" GRIDSPOOL_NODE=2 \
    GRIDSPOOL_DATA_DIR="${directory}/other-data" "${checkout}/scripts/node" add
  [[ ${output} == *"number 2 belongs to another node"* ]]
  send_and_read "${directory}" &
  local clients=$!
  run -0 env "${settings[@]}" GRIDSPOOL_HOME="${GRIDSPOOL_HOME}/nodes/3" GRIDSPOOL_PORT="${address##*:}" \
    GRIDSPOOL_TLS_PORT=$((GRIDSPOOL_PORT + 7)) GRIDSPOOL_NODE=3 "${checkout}/scripts/up"
  # Once more, and as root, who could not use the data of the sidecar's user.
  run -0 env "${settings[@]}" GRIDSPOOL_HOME="${GRIDSPOOL_HOME}/nodes/3" GRIDSPOOL_NODE=3 "${checkout}/scripts/node" add
  [[ ${output} == *"node 3 is in the list" ]]
  run -0 --separate-stderr "${checkout}/scripts/node" list
  [[ ${lines[3]} == "3 "*" http://${address} "* ]]
  sed -i -E -e "s|^( *server 127.0.0.1:)$((GRIDSPOOL_PORT + 4))( max_fails.*)|&\n\1$((GRIDSPOOL_PORT + 6))\2|" \
    -e "s|^(.*)2( gridspool_node_)2;|&\n\13\23;|" -e "s|^(.*)0002(.* gridspool_node_)2;|&\n\10003\23;|" \
    -e "1i upstream gridspool_node_3 { server ${address}; }" "${balancer}"
  kill -HUP "$(pid_of nginx)"
  wait_for 10 uploads_at 3
  "${checkout}/scripts/node" remove 3 2>"${directory}/removing" &
  removing=$!
  wait_for 10 refuses "http://${address}/healthz"
  # The first answer after that may be to an upload that had begun before.
  for _ in 1 2; do
    : >"${directory}/ids"
    wait_for 10 uploads_at 2
  done
  run ! uploads_at 3
  touch -- "${directory}/enough"
  wait "${clients}"
  [[ ! -s ${directory}/failed ]] || cat "${directory}/failed" >&2
  [[ ! -s ${directory}/failed ]]
  # The balancer has had its yes within the last minute, so it waits that long.
  kill "${removing}"
  GRIDSPOOL_HOME=${GRIDSPOOL_HOME}/nodes/3 run -0 down
  run -0 "${checkout}/scripts/node" remove 3 --force
  rm -rf -- "${GRIDSPOOL_HOME}/nodes/3"
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
    pid=$(cut -d ' ' -f 1 -- "${GRIDSPOOL_HOME}/${record}")
    kill -KILL "${pid}"
    wait_for 10 has_ended "${pid}"
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
