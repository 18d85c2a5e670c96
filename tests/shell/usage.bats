#!/usr/bin/env bats
# The help of each script, and its refusal of unknown words.

setup() { load helper; }

@test "each script explains itself on stdout" {
  for script in "${checkout}"/scripts/*; do
    [[ -f ${script} && -x ${script} ]] || continue
    run -0 --separate-stderr "${script}" --help
    [[ ${lines[0]} == "Usage: scripts/${script##*/}"* ]]
    [[ ${output} == *"Exit status: 0, 1 "*", 64 wrong usage"* ]]
  done
}

@test "each script answers an unknown argument with 64, and does nothing" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  for script in "${checkout}"/scripts/*; do
    [[ -f ${script} && -x ${script} ]] || continue
    run -64 --separate-stderr "${script}" --no-such-option
    [[ -z ${output} && ${stderr} == *--no-such-option* ]]
  done
  [[ ! -e ${GRIDSPOOL_HOME} ]]
}

@test "up refuses a home that holds something else" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}
  touch -- "${GRIDSPOOL_HOME}/thesis.tex"
  run -78 up
  [[ ${output} == *GRIDSPOOL_HOME* ]]
}

@test "up refuses what is no port" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  for port in 0 65536 http 80,81 08; do
    GRIDSPOOL_PORT=${port} run -78 up
    [[ ${output} == *GRIDSPOOL_PORT* ]]
  done
  GRIDSPOOL_PORT=65535 run -78 up
  GRIDSPOOL_PORT=8080 GRIDSPOOL_TLS_PORT=8080 run -78 up
}

@test "down and status have nothing to do without an instance" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  run -0 down
  run -1 status
  run -1 status --metrics
  run -1 retry
  run -64 retry nonsense
  run -64 status --waiting --after
  [[ ! -e ${GRIDSPOOL_HOME} ]]
}

@test "bench refuses values that it cannot use" {
  for words in "--repeat 0" "--repeat many" "--dir /a;b" --only --json; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 --separate-stderr bench ${words}
    [[ -z ${output} && ${stderr} == *"${words%% *}"* ]]
  done
}

@test "prove refuses values that it cannot use" {
  for words in "--cycles many" "--seed -1" --faults "--nodes 0" --bug "--bug none"; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 --separate-stderr "${checkout}/scripts/prove" ${words}
    [[ -z ${output} && ${stderr} == *"${words%% *}"* ]]
  done
}

@test "fuzz refuses values that it cannot use" {
  for words in "--seconds 0" "--seconds many" --seconds nothing; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 --separate-stderr fuzz ${words}
    [[ -z ${output} && ${stderr} == *"${words%% *}"* ]]
  done
}

@test "fsck and gc refuse values that they cannot use" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  # By its path, as the system has a program of the same name.
  run -64 "${checkout}/scripts/fsck" --state
  run -64 gc --older-than-days
  run -64 gc --state file
}

@test "token asks for what it needs, and mints nothing without a key" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  run -64 token
  run -64 token --scope
  run -64 token --new-key
}

@test "node wants to know what to do, and with which node" {
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  for words in "" "leave" "list --force" "add 2" "remove" "remove 0" "remove two" "remove 2 --now" "remove 2 3"; do
    # shellcheck disable=SC2086  # words of a command line
    run -64 --separate-stderr "${checkout}/scripts/node" ${words}
    [[ -z ${output} ]]
  done
}
