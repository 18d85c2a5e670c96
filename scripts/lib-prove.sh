# shellcheck shell=bash
# What scripts/prove builds: the program, the sidecar that can be killed at named points, and the sidecar
# with a deliberate bug. Wants lib.sh, `target` and the checkout as the current directory.
shopt -s inherit_errexit nullglob

# Leaves the path in `program`. cargo names it where a person would look for it.
build_program() {
  program=$(cargo test --locked --no-run --bench prove 2>&1 \
    | sed -n -e 'w /dev/stderr' -e 's/^ *Executable .*(\(.*\))$/\1/p') || die "the build has failed"
}

# Leaves the path in `with_points`. Before build_program, which puts the plain one into its place again.
build_with_points() {
  cargo build --quiet --locked --features failpoints >&2
  with_points=${target}/prove/with-points
  mkdir -p -- "${target}/prove"
  cp -- "${target}/debug/gridspool" "${with_points}"
}

# From a copy of the sources. Its target directory serves all bugs. Usage: build_with_bug PATCH
build_with_bug() {
  local copy=${target}/prove/sources
  rm -rf -- "${copy}"
  mkdir -p -- "${copy}"
  cp -a -- Cargo.toml Cargo.lock README.md src tests "${copy}"
  patch --quiet --strip=1 --directory="${copy}" <"$1"
  # What a bug makes needless is not worth a word.
  RUSTFLAGS=--cap-lints=allow cargo build --quiet --locked --manifest-path "${copy}/Cargo.toml" --target-dir "${target}/prove/target" >&2
}
