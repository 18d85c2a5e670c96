#!/usr/bin/env bats
# up and down on real processes. One instance serves all tests of this file, in their order.

setup_file() {
  load helper
  directory=$(new_directory)
  GRIDSPOOL_PORT=$(free_port)
  export directory GRIDSPOOL_PORT GRIDSPOOL_HOME=${directory}/home
  export url=http://127.0.0.1:${GRIDSPOOL_PORT}
  unset GRIDSPOOL_TLS_PORT GRIDSPOOL_MONGODB_URI
  up >"${directory}/answer" 2>"${directory}/talk" || {
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

@test "the last line of up is the address" {
  [[ $(tail -n 1 "${directory}/answer") == "ready ${url}" ]]
}

@test "up moves a file in and out before it says that it is ready" {
  grep -q 'trying an upload and a download' "${directory}/talk"
}

@test "the release cannot be told to die at a point" {
  run -1 grep -qaF GRIDSPOOL_FAILPOINT "${GRIDSPOOL_HOME}/bin/gridspool"
}

@test "fsck and gc find nothing wrong with an instance, beside its sidecar" {
  run -0 --separate-stderr "${checkout}/scripts/fsck"
  [[ ${output} == *" 0 wrong"* ]]
  run -0 --separate-stderr "${checkout}/scripts/fsck" --json --bytes-per-second 100000000
  [[ $(python3 -c 'import json, sys; print(json.load(sys.stdin)["summary"]["files"])' <<<"${output}") -ge 1 ]]
  run -0 --separate-stderr "${checkout}/scripts/gc" --remove
  [[ ${output} == *"; 0 of them were removed"* ]]
  comes_back "${kept}" "${directory}/file"
}

@test "root's processes run as www-data" {
  ((EUID == 0)) || skip "not root: all runs as the calling user"
  for pid in $(pids); do
    [[ $(ps -o user= -p "${pid}") == www-data ]]
  done
}

@test "the MongoDB address is for its owner's eyes only, and works" {
  [[ $(stat -c %a "${GRIDSPOOL_HOME}/mongodb.uri") == 600 ]]
  [[ $(<"${GRIDSPOOL_HOME}/mongodb.uri") == "mongodb://gridspool:"*"@127.0.0.1:"*"replicaSet="* ]]
}

@test "mongod lets in nobody without the password, and whoever has it" {
  run -0 find "${GRIDSPOOL_HOME}" -name mongodb.password -perm 600 -o -path '*/mongodb/key' -perm 600
  [[ ${#lines[@]} == 2 ]]
  for pymongo in "${GRIDSPOOL_CACHE:-/var/cache/gridspool}"/python-*/bin/python; do
    ! "${pymongo}" -c 'import pymongo' 2>/dev/null || break
  done
  # shellcheck disable=SC2016  # of Python
  count='import pymongo, sys
try:
    print(pymongo.MongoClient(sys.argv[1])["gridspool"]["fs.files"].count_documents({}))
except pymongo.errors.OperationFailure as err:
    print("refused", err.code)'
  uri=$(<"${GRIDSPOOL_HOME}/mongodb.uri")
  run -0 "${pymongo}" -c "${count}" "mongodb://${uri#*@}"
  [[ ${output} == "refused 13" ]]
  run -0 "${pymongo}" -c "${count}" "${uri}"
  [[ ${output} == [0-9]* ]]
}

@test "a home that is too deep has its sockets where nobody else gets in, and takes over no directory" {
  first_home=${GRIDSPOOL_HOME}
  GRIDSPOOL_HOME=${directory}/$(printf 'd%.0s' {1..90})
  GRIDSPOOL_PORT=$(free_port)
  url=http://127.0.0.1:${GRIDSPOOL_PORT}
  start() {
    run -0 env GRIDSPOOL_NODE=4 GRIDSPOOL_MONGODB_URI="$(<"${first_home}/mongodb.uri")" GRIDSPOOL_DATABASE=fourth \
      "$(command -v up)" --origin localhost
  }
  start
  first=$(<"${GRIDSPOOL_HOME}/sockets")
  [[ $(stat -c %a "${first}") == 700 ]]
  run -0 down
  [[ ! -e ${first} ]]
  # As another user makes it, who has seen its name.
  mkdir -m 0777 -- "${first}"
  ((EUID != 0)) || chown nobody -- "${first}"
  printf '%s\n' "${first}" >"${GRIDSPOOL_HOME}/sockets"
  run -1 status
  [[ ${output} == *"another user's"* ]]
  start
  [[ $(<"${GRIDSPOOL_HOME}/sockets") != "${first}" ]]
  run -0 curl --silent --dump-header - --output /dev/null --header 'Origin: http://localhost:5173' "${url}/files/none"
  [[ ${output} == *'Access-Control-Allow-Origin: http://localhost:5173'* ]]
  run -0 down
  [[ -d ${first} ]]
  rmdir -- "${first}"
}

@test "a file comes back byte for byte by PUT, POST, chunked and over HTTP/2" {
  curl=(curl --fail --silent --show-error --output /dev/null --write-out '%{http_code} %{http_version}')
  tls=(--http2 --cacert "${GRIDSPOOL_HOME}/tls/certificate.pem")
  secure=https://localhost:$((GRIDSPOOL_PORT + 1))
  file=${directory}/file
  head=${BATS_TEST_TMPDIR}/head
  check() { # EXPECTED COMMAND...
    local expected=$1 place
    shift
    run -0 "$@" --dump-header "${head}"
    [[ ${output} == "${expected}" ]]
    place=$(sed -n 's/^location: *\([^[:space:]]*\).*/\1/Ip' "${head}")
    comes_back "${url}${place}" "${file}"
  }
  check "201 1.1" "${curl[@]}" --upload-file "${file}" "${url}/files/"
  check "201 1.1" "${curl[@]}" --data-binary @"${file}" "${url}/files"
  check "201 1.1" "${curl[@]}" --header 'Transfer-Encoding: chunked' --upload-file "${file}" "${url}/files/"
  check "201 2" "${curl[@]}" "${tls[@]}" --upload-file "${file}" "${secure}/files/"
  check "201 2" "${curl[@]}" "${tls[@]}" --data-binary @"${file}" "${secure}/files"
}

@test "status is JSON, and retry has an answer" {
  run -0 --separate-stderr status
  python3 -m json.tool <<<"${output}"
  run -0 --separate-stderr status --socket "${GRIDSPOOL_HOME}/run/admin.sock"
  run -0 --separate-stderr status --metrics
  [[ ${lines[-1]} == '# EOF' ]]
  run -0 --separate-stderr status --waiting
  [[ ${output} == *'"waiting": []'* ]]
  run -0 retry
  run -1 retry 000000000000000000000000
  [[ ${output} == *'Nothing waits here'* ]]
}

@test "up says loudly that nobody is asked for a token" {
  grep -q 'WARNING: NO ACCESS CONTROL' "${directory}/talk"
  run -78 token --scope upload
}

@test "with keys up starts a sidecar that asks for tokens, and token mints them by either algorithm" {
  first_home=${GRIDSPOOL_HOME}
  export GRIDSPOOL_HOME=${directory}/guarded GRIDSPOOL_TOKEN_KEYS=${directory}/keys.json
  GRIDSPOOL_PORT=$(free_port)
  url=http://127.0.0.1:${GRIDSPOOL_PORT}
  for algorithm in HS256 EdDSA; do
    # Only its owner can read it, also if another user runs the sidecar.
    rm -f -- "${GRIDSPOOL_TOKEN_KEYS}"
    run -0 env GRIDSPOOL_HOME="${first_home}" "$(command -v token)" --new-key first --algorithm "${algorithm}" --out "${GRIDSPOOL_TOKEN_KEYS}"
    [[ $(stat -c %a "${GRIDSPOOL_TOKEN_KEYS}") == 600 ]]
    run -0 env GRIDSPOOL_NODE=3 GRIDSPOOL_MONGODB_URI="$(<"${first_home}/mongodb.uri")" GRIDSPOOL_DATABASE=third "$(command -v up)"
    [[ ${output} != *WARNING* && ${output} == *'trying an upload and a download'* ]]
    # What it prints to try is tried.
    tries=$(sed -n '/^Try:/,/scripts.status/p' <<<"${output}" | grep -v -e '^Try:' -e 'scripts/status' -e OJ -e '?wait=')
    (
      cd -- "${directory}"
      cp -- file photo.jpg
      eval "${tries//scripts\/token/token}" >tried
    )
    [[ $(grep -o '"url":"/[^"]*"' "${directory}/tried" | wc -l) -ge 4 ]]
    run -22 curl --fail --silent "${url}/files/0123456789abcdef01234567"
    run -0 --separate-stderr env -u GRIDSPOOL_TOKEN_KEYS "$(command -v token)" --scope upload --sub bats
    run -0 curl --fail --silent --header "Authorization: Bearer ${output}" --upload-file "${directory}/file" "${url}/files/"
    run -0 down
  done
  # The home keeps the keys: a start that does not name them lets in nobody without a token.
  for keys in '' none; do
    run -0 env GRIDSPOOL_TOKEN_KEYS="${keys}" GRIDSPOOL_NODE=3 GRIDSPOOL_MONGODB_URI="$(<"${first_home}/mongodb.uri")" GRIDSPOOL_DATABASE=third "$(command -v up)"
    code=$(curl --silent --output /dev/null --write-out '%{http_code}' "${url}/files/0123456789abcdef01234567")
    [[ ${code} == "$([[ -n ${keys} ]] && echo 404 || echo 401)" ]]
    run -0 down
  done
  run -1 status
  [[ ${output} == *'no sidecar answers at '* && ${output} != *port* ]]
}

@test "a second up leaves alone what runs" {
  before=$(pids)
  run -0 up
  [[ $(pids) == "${before}" ]]
  [[ ${lines[-1]} == "ready ${url}" ]]
}

@test "two at once on one home do not start anything twice" {
  before=$(pid_of sidecar)
  kill -KILL "${before}"
  wait_for 10 has_ended "${before}"
  up >"${BATS_TEST_TMPDIR}/one" 2>&1 3>&- &
  run -0 up
  wait "$!"
  [[ $(cat "${BATS_TEST_TMPDIR}/one" - <<<"${output}" | grep -c 'the sidecar starts') == 1 ]]
}

@test "after kill -9 of mongod, up starts it again and the file is there" { survives mongod; }
@test "after kill -9 of the sidecar, up starts it again and the file is there" { survives sidecar; }
@test "after kill -9 of nginx, up starts it again and the file is there" { survives nginx; }

survives() {
  local before others
  before=$(pid_of "$1")
  others=$(pids | grep -vx "${before}")
  kill -KILL "${before}"
  wait_for 10 has_ended "${before}"
  run -0 up
  [[ $(pid_of "$1") != "${before}" ]]
  [[ $(pids | grep -vx "$(pid_of "$1")") == "${others}" ]]
  comes_back "${kept}" "${directory}/file"
}

@test "a stale record does not make down stop a stranger" {
  sleep 300 3>&- &
  stranger=$!
  mkdir -p -- "${BATS_TEST_TMPDIR}/home/process"
  touch -- "${BATS_TEST_TMPDIR}/home/.gridspool-home"
  printf '%s 1 %s\n' "${stranger}" "$(</proc/sys/kernel/random/boot_id)" >"${BATS_TEST_TMPDIR}/home/process/sidecar"
  GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home run -0 down
  is_alive "${stranger}"
  kill "${stranger}"
}

@test "up on a port that is taken changes nothing and exits 78" {
  GRIDSPOOL_HOME=${directory}/other run -78 up
  [[ ${output} == *"port ${GRIDSPOOL_PORT} is taken"* ]]
  run -0 curl --fail --silent "${url}/healthz"
}

@test "a second instance runs beside the first, with its MongoDB, and down stops only that" {
  before=$(pids)
  first_home=${GRIDSPOOL_HOME}
  export GRIDSPOOL_HOME=${directory}/second
  GRIDSPOOL_PORT=$(free_port)
  run -0 env GRIDSPOOL_NODE=2 GRIDSPOOL_MONGODB_URI="$(<"${first_home}/mongodb.uri")" GRIDSPOOL_DATABASE=second "$(command -v up)"
  [[ ${lines[-1]} == "ready http://127.0.0.1:${GRIDSPOOL_PORT}" ]]
  [[ ! -e ${GRIDSPOOL_HOME}/process/mongod ]]
  second=$(pids)
  run -0 down
  for pid in ${second}; do
    run ! is_alive "${pid}"
  done
  GRIDSPOOL_HOME=${first_home}
  [[ $(pids) == "${before}" ]]
  comes_back "${kept}" "${directory}/file"
}

@test "down stops everything, can be repeated, and up finds the file again" {
  before=$(pids)
  run -0 down
  for pid in ${before}; do
    run ! is_alive "${pid}"
  done
  run -7 curl --silent "${url}/healthz"
  run -0 down
  run -0 up
  comes_back "${kept}" "${directory}/file"
}
