# shellcheck shell=bash
# Builds for scripts/prove: the program, the sidecar with named points (for scripts/test too), and both with a
# deliberate bug; and runs them. Needs lib.sh, `target`, `profile` (of cargo) and the checkout as the
# current directory.
shopt -s inherit_errexit nullglob

# Leaves the path in `program`, with the plain sidecar beside it.
build_program() {
  cargo build --quiet --locked --profile "${profile}" --package gridspool --package gridspool-prove >&2
  program=${target}/${profile/dev/debug}/prove
}

# Leaves the path in `with_points`. Before build_program, which puts the plain one into its place again.
build_with_points() {
  cargo build --quiet --locked --profile "${profile}" --features failpoints >&2
  with_points=${target}/prove/with-points
  mkdir -p -- "${target}/prove"
  # The old one may be running.
  cp --remove-destination -- "${target}/${profile/dev/debug}/gridspool" "${with_points}"
}

# Copies the sources and puts a bug into the copy. One target directory serves all bugs.
# Usage: copy_with_bug PATCH
copy_with_bug() {
  copy=${target}/prove/sources
  rm -rf -- "${copy}"
  mkdir -p -- "${copy}"
  cp -a -- Cargo.toml Cargo.lock README.md nginx.conf.d scripts src tests "${copy}"
  patch --quiet --fuzz=0 --strip=1 --directory="${copy}" <"$1"
}

# Runs cargo on that copy. Usage: cargo_with_bug VERB [ARGUMENT]...
cargo_with_bug() {
  # A bug may make a line needless; that is not worth a warning.
  RUSTFLAGS=--cap-lints=allow cargo "$1" --quiet --locked --profile "${profile}" --manifest-path "${copy}/Cargo.toml" \
    --target-dir "${target}/prove/target" "${@:2}"
}

# Tells whether a bug is caught, as the first line of its patch says: by a run with "Faults: LIST [OPTION]...", by each
# of the unit tests in "Tests: NAME NAME", or by those of the suite in "Suite: NAME NAME". Leaves a
# description in `verdict`, and the result in `is_caught`. Usage: try_bug PATCH LOG [ARGUMENT OF THE
# PROGRAM]...
try_bug() {
  local faults tests test target_of_tests=--lib
  faults=$(sed -n '1s/.*Faults: //p' "$1")
  tests=$(sed -n '1s/.*Tests: //p' "$1")
  if [[ -z ${tests} ]]; then
    tests=$(sed -n '1s/.*Suite: //p' "$1")
    target_of_tests=--test=suite
  fi
  copy_with_bug "$1"
  is_caught=true verdict=''
  if [[ -n ${tests} ]]; then
    cargo_with_bug test "${target_of_tests}" --no-run >&2
    # shellcheck disable=SC2086,SC2310  # names with spaces between them; that they fail is what is hoped for
    cargo_with_bug test "${target_of_tests}" -- --test-threads 2 --exact ${tests} >"$2" 2>&1 || true
    for test in ${tests}; do
      # Its failure is told at the end by its name alone.
      grep --quiet --line-regexp --fixed-strings "    ${test}" "$2" || is_caught=false
      verdict+=" ${test##*::}"
    done
  else
    cargo_with_bug build >&2
    # shellcheck disable=SC2086  # a list, and other words of the command line
    confined "${program}" --cycles 60 "${@:3}" --faults ${faults} \
      --sidecar "${target}/prove/target/${profile/dev/debug}/gridspool" >"$2" 2>&1
    ((status == 1)) || is_caught=false
    verdict=$(sed -n '/^prove: VIOLATION: /{s//\ /p;q}' "$2" | cut -c 1-120)
  fi
  [[ ${is_caught} == true ]] && verdict="caught:${verdict}" || verdict="NOT CAUGHT (see $2)"
}

# Runs a command; its processes and mounts end with it, and it ends with this script. Leaves its
# exit status in `status`. Usage: confined COMMAND [ARGUMENT]...
confined() {
  status=0
  scratch=$(mktemp -d)
  # The first process there is a shell, which collects orphaned processes.
  TMPDIR=${scratch} setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
    bash -c '"$@"; exit' confined "$@" &
  running=$!
  # Only a builtin lets the traps for signals run at once.
  wait "${running}" || status=$?
  running=''
  clean_up
}

# Removes the leftovers of a killed command. Its last processes may still be ending.
clean_up() {
  [[ -n ${scratch-} ]] || return 0
  [[ -z ${running-} ]] || kill -KILL "${running}"
  until rm -rf -- "${scratch}" 2>/dev/null; do
    sleep 0.1
  done
  scratch=''
}
