# shellcheck shell=bash
# Builds for scripts/prove: the program, the sidecar that can be killed at named points, and the sidecar
# with a deliberate bug; and how it runs. Wants lib.sh, `target`, `profile` (of cargo) and the checkout as the
# current directory.
shopt -s inherit_errexit nullglob

# Leaves the path in `program`. cargo names it where a person would look for it.
build_program() {
  program=$(cargo test --locked --profile "${profile}" --no-run --bench prove 2>&1 \
    | sed -n -e 'w /dev/stderr' -e 's/^ *Executable .*(\(.*\))$/\1/p') || die "the build has failed"
}

# Leaves the path in `with_points`. Before build_program, which puts the plain one into its place again.
build_with_points() {
  cargo build --quiet --locked --profile "${profile}" --features failpoints >&2
  with_points=${target}/prove/with-points
  mkdir -p -- "${target}/prove"
  # The old one may be running.
  cp --remove-destination -- "${target}/${profile/dev/debug}/gridspool" "${with_points}"
}

# From a copy of the sources. Its target directory serves all bugs. Leaves the path in `with_bug`.
# Usage: build_with_bug PATCH
build_with_bug() {
  local copy=${target}/prove/sources
  rm -rf -- "${copy}"
  mkdir -p -- "${copy}"
  cp -a -- Cargo.toml Cargo.lock README.md src tests "${copy}"
  patch --quiet --fuzz=0 --strip=1 --directory="${copy}" <"$1"
  # A line that a bug makes needless is not worth a warning.
  RUSTFLAGS=--cap-lints=allow cargo build --quiet --locked --profile "${profile}" --manifest-path "${copy}/Cargo.toml" \
    --target-dir "${target}/prove/target" >&2
  with_bug=${target}/prove/target/${profile/dev/debug}/gridspool
}

# Runs a command whose processes and mounts end with it, and it with this script; leaves its exit status in
# `status`. Usage: confined COMMAND [ARGUMENT]...
confined() {
  status=0
  scratch=$(mktemp -d)
  # The first process there is a shell: it collects what others leave behind.
  TMPDIR=${scratch} setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
    bash -c '"$@"; exit' confined "$@" &
  running=$!
  # Only a builtin lets the traps for signals run at once.
  wait "${running}" || status=$?
  running=''
  clean_up
}

# Removes what a killed command has left. Its last processes may just be ending.
clean_up() {
  [[ -n ${scratch-} ]] || return 0
  [[ -z ${running-} ]] || kill -KILL "${running}"
  until rm -rf -- "${scratch}" 2>/dev/null; do
    sleep 0.1
  done
  scratch=''
}
