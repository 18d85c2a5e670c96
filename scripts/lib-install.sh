# shellcheck shell=bash
# Gets what is missing: Debian packages, a current Rust, Python environments, npm packages. Wants lib.sh.
shopt -s inherit_errexit nullglob

# Downloads that instances share. Root's is where unprivileged processes can read it.
if [[ -n ${GRIDSPOOL_CACHE-} ]]; then
  cache=$(realpath -m -- "${GRIDSPOOL_CACHE}")
elif ((EUID == 0)); then
  cache=/var/cache/gridspool
else
  cache=${XDG_CACHE_HOME:-${HOME}/.cache}/gridspool
fi
readonly cache

# Makes the cache and waits for its lock, which is held until the script ends or calls unlock_cache: if two
# instances start at once, only one downloads.
lock_cache() {
  install -d -m 0755 -- "${cache}"
  exec {cache_lock}>"${cache}/lock"
  flock "${cache_lock}"
}

unlock_cache() { exec {cache_lock}>&-; }

# Installs the Debian packages of missing commands. Usage: need_commands COMMAND=PACKAGE...
need_commands() {
  local pair packages=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
}

# In a subshell, so that it has a trap of its own.
install_packages() (
  as_root=() policy=/usr/sbin/policy-rc.d
  command -v apt-get >/dev/null || die "there is no apt-get here; please install: $*"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "neither root nor sudo; please have root run: apt-get install $*"
    as_root=(sudo)
  fi
  say "installing Debian packages: $*"
  # Debian starts a service as soon as it is installed. We run an nginx of our own, and another program may
  # use port 80: this file is Debian's own way to prevent the start.
  if [[ ! -e ${policy} ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 0755 /dev/stdin "${policy}"
    trap '"${as_root[@]}" rm -f -- "${policy}"' EXIT
    exit_on_signals
  fi
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >&2
  if [[ " $* " == *" nginx "* && -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl disable --quiet nginx
    say "the system's own nginx stays off; to have it: systemctl enable --now nginx"
  fi
)

# Puts a cargo on PATH that can build this crate.
need_rust() {
  local wanted found='' candidate
  # Before the rest: a rustup there is newer than what a distribution has.
  PATH=${CARGO_HOME:-${HOME}/.cargo}/bin:${PATH}
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "${checkout}/Cargo.toml")
  if command -v rustc >/dev/null; then
    # In the checkout, where the build also finds an override of the toolchain.
    found=$(cd -- "${checkout}" && rustc --version)
    found=${found#rustc }
    found=${found%% *}
  fi
  if printf '%s\n' "${wanted}" "${found:-0}" | sort -V -C; then
    return 0
  fi
  if ! command -v rustup >/dev/null; then
    # Debian has it from 13 on. Neither Debian 12 nor PyPI nor npm has a compiler as new as needed.
    candidate=$(apt-cache policy rustup 2>/dev/null || true)
    [[ ${candidate} == *'Candidate: '[0-9]* ]] || die "Rust ${wanted} or newer is needed (found: ${found:-none}), and this system has no
  package of it: please install it as https://rustup.rs says, and run this again"
    install_packages rustup
  fi
  say "installing Rust ${wanted} by rustup (found: ${found:-none})"
  rustup toolchain install --profile minimal --component clippy,rustfmt "${wanted}" >&2
  export RUSTUP_TOOLCHAIN=${wanted}
}

# Sets `python` to the interpreter of an environment with the packages that REQUIREMENTS (a file) pins.
# Usage: need_python REQUIREMENTS
need_python() {
  local base='' candidate sum version environment
  for candidate in python3 /usr/bin/python3; do
    "${candidate}" -c 'import ensurepip, venv' 2>/dev/null || continue
    base=${candidate}
    break
  done
  if [[ -z ${base} ]]; then
    install_packages python3-venv
    base=/usr/bin/python3
  fi
  # Named after its content: a changed file makes a new environment, and a running process keeps the old
  # one.
  sum=$(sha256sum <"$1")
  version=$("${base}" -c 'import platform; print(platform.python_version())')
  environment=${cache}/python-${version}-${sum:0:12}
  python=${environment}/bin/python
  [[ ! -e ${environment}/complete ]] || return 0
  lock_cache
  if [[ ! -e ${environment}/complete ]]; then
    say "installing the Python packages of ${1#"${checkout}/"}"
    "${base}" -m venv --clear -- "${environment}" >&2
    "${python}" -m pip install --quiet --disable-pip-version-check -r "$1" >&2
    touch -- "${environment}/complete"
  fi
  unlock_cache
}

# Sets `npm_packages` to a directory with the npm packages that REQUIREMENTS (a file) pins: lines of NAME@VERSION,
# and the package's sum as npm's lock files have it. Without npm it becomes empty. Usage: need_npm REQUIREMENTS
need_npm() {
  local sum pinned integrity file unpacked
  sum=$(sha256sum <"$1")
  npm_packages=${cache}/npm-${sum:0:12}
  [[ ! -d ${npm_packages} ]] || return 0
  if ! command -v npm >/dev/null; then
    npm_packages=''
    return 0
  fi
  lock_cache
  if [[ ! -d ${npm_packages} ]]; then
    say "downloading the npm packages of ${1#"${checkout}/"}"
    unpacked=$(mktemp -d -- "${cache}/npm.XXXXXXXX")
    while read -r pinned integrity; do
      file=${unpacked}/${pinned/@/-}.tgz
      npm pack --silent --pack-destination "${unpacked}" "${pinned}" >&2
      sum=$(openssl dgst -sha512 -binary <"${file}" | base64 -w0)
      [[ ${integrity} == "sha512-${sum}" ]] || die "${pinned} has the sum sha512-${sum}, and not ${integrity}"
      mkdir -- "${unpacked}/${pinned%@*}"
      tar -xzf "${file}" --no-same-owner --strip-components 1 -C "${unpacked}/${pinned%@*}"
      rm -- "${file}"
    done <"$1"
    chmod -R a+rX -- "${unpacked}"
    # A directory gets its name in one step: nobody sees half of it.
    mv -T -- "${unpacked}" "${npm_packages}"
  fi
  unlock_cache
}
