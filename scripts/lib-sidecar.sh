# shellcheck shell=bash
# Builds and starts the sidecar and nginx, and tries them, for scripts/up. Wants all other lib files.
shopt -s inherit_errexit nullglob

# Builds bin/gridspool of this checkout, unless the sidecar runs: a running one keeps its program until it
# stops.
build_sidecar() {
  find_process sidecar
  [[ -z ${pid} ]] || return 0
  need_rust
  say "building the release (the first time takes some minutes)"
  (
    cd -- "${checkout}"
    cargo build --release --locked >&2
    # A copy: the next build must not disturb what runs.
    install -m 0750 -- "${CARGO_TARGET_DIR:-target}/release/gridspool" "${home}/bin/new"
  )
  mv -- "${home}/bin/new" "${home}/bin/gridspool"
}

# Makes sure that the sidecar runs. Its other settings come from our environment unchanged.
start_sidecar() {
  find_process sidecar
  if [[ -n ${pid} && ${mongodb_uri} != "$(<"${home}/mongodb.uri")" ]]; then
    say "the sidecar has to learn where MongoDB is now"
    stop_process sidecar TERM 60
  fi
  if [[ -n ${pid} ]]; then
    say "the sidecar runs (pid ${pid})"
    return 0
  fi
  # It may hold a password.
  (umask 077 && printf '%s\n' "${mongodb_uri}" >"${home}/mongodb.uri")
  export GRIDSPOOL_MONGODB_URI=${mongodb_uri}
  export GRIDSPOOL_DATA_DIR=${home}/data
  export GRIDSPOOL_SOCKET=${sockets}/gridspool.sock GRIDSPOOL_ADMIN_SOCKET=${sockets}/admin.sock
  # Large blocks return to one heap, and need no new pages each time: less memory, less work.
  export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1}
  export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-33554432} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-67108864}
  choose_keys
  # The sidecar runs in another directory than ours.
  [[ -z ${GRIDSPOOL_CONFIG-} ]] || GRIDSPOOL_CONFIG=$(realpath -- "${GRIDSPOOL_CONFIG}")
  (cd / && "${as_service[@]}" "${home}/bin/gridspool" init >&2)
  start_process sidecar "${home}/bin/gridspool"
  say "the sidecar starts (pid ${pid})"
  await_process sidecar "${pid}" 60 answers --unix-socket "${sockets}/gridspool.sock" 'http://localhost/healthz?for=read'
}

# Decides on the keys of the sidecar, and records them for scripts/token. Without keys everybody who reaches
# nginx may do everything: it listens on loopback only, which is good enough for a trial. A sidecar that is
# started in any other way demands keys. A home keeps its keys: a start without the variable does not open it.
choose_keys() {
  local keys=${GRIDSPOOL_TOKEN_KEYS-} config=${GRIDSPOOL_CONFIG:-/dev/null} line
  [[ -n ${keys} ]] || keys=$(sed -n 's/^token_keys *= *"\(.*\)".*/\1/p' -- "${config}")
  [[ -n ${keys}${GRIDSPOOL_CONFIG-} || ! -s ${home}/token-keys ]] || keys=$(<"${home}/token-keys")
  [[ ${keys} != none ]] || keys='' # the sidecar knows this word, too
  [[ ! -e ${keys} ]] || keys=$(realpath -- "${keys}")
  printf %s "${keys}" >"${home}/token-keys" # empty without keys
  [[ -z ${keys} ]] || export GRIDSPOOL_TOKEN_KEYS=${keys}
  # scripts/token makes it readable for its owner only, which is root here.
  if [[ -e ${keys} && -n ${as_service[*]} ]] && ! "${as_service[@]}" /usr/bin/test -r "${keys}"; then
    install -m 0400 -o "${service_user}" -g "${service_group}" -- "${keys}" "${home}/keys.json"
    export GRIDSPOOL_TOKEN_KEYS=${home}/keys.json
    say "${service_user} cannot read ${keys}: the sidecar has a copy, made anew whenever it is started"
  fi
  [[ -z ${keys} && ${GRIDSPOOL_INSECURE_NO_AUTH-} != false ]] || return 0
  grep -q '^insecure_no_auth' -- "${config}" || export GRIDSPOOL_INSECURE_NO_AUTH=true
  for line in "WARNING: NO ACCESS CONTROL. Every user and program of this host may upload, download" \
    "  and delete on 127.0.0.1. For tokens: GRIDSPOOL_TOKEN_KEYS=FILE, and scripts/token"; do
    say "${line}"
  done
}

# Makes sure that nginx runs, and that a sidecar behind it answers. Sets `url`.
start_nginx() {
  url=http://127.0.0.1:${port}
  if [[ -n ${nginx_pid} ]]; then
    say "nginx runs (pid ${nginx_pid})"
  else
    start_process nginx nginx -p "${home}/run" -c "${home}/nginx/nginx.conf" -g 'daemon off;'
    nginx_pid=${pid}
    say "nginx starts on 127.0.0.1:${port}, and on ${tls_port} with TLS (pid ${pid})"
  fi
  await_process nginx "${nginx_pid}" 30 answers "${url}/healthz?for=read"
}

# Makes sure that the sidecar takes uploads and has its MongoDB.
await_ready() {
  find_process sidecar
  await_process sidecar "${pid}" 60 answers "${url}/readyz"
}

# True when a URL answers 2xx; for await. The user's proxy is not used for this host.
answers() { curl --noproxy '*' --fail --silent --max-time 5 --output /dev/null "$@"; }

# Moves a file in through nginx at the first URL and out through all of them, compares it, and takes it
# away again.
check_by_a_file() { # URL...
  local trial token from curl=(curl --noproxy '*' --fail --silent --show-error --max-time 60) place
  trial=$(mktemp -d)
  # shellcheck disable=SC2064  # this directory, whatever the name means later
  trap "rm -rf -- '${trial}'" EXIT
  exit_on_signals
  if [[ -s ${home}/token-keys ]]; then
    if ! token=$("${scripts}/token" --scope 'upload download delete'); then
      say "no upload is tried, as no key there can sign a token for it"
      return 0
    fi
    printf 'Authorization: Bearer %s\n' "${token}" >"${trial}/token"
    curl+=(--header @"${trial}/token")
  fi
  say "trying an upload and a download"
  head -c 300000 /dev/urandom >"${trial}/sent"
  "${curl[@]}" --dump-header "${trial}/head" --output /dev/null --upload-file "${trial}/sent" "$1/files/"
  place=$(sed -n 's/^location: *\([^[:space:]]*\).*/\1/Ip' "${trial}/head")
  [[ ${place} == /* ]] || die "the upload was not answered with a place: see ${home}/log/sidecar.log"
  for from in "$@"; do
    "${curl[@]}" --output "${trial}/received" "${from}${place}"
    cmp -- "${trial}/sent" "${trial}/received" >&2
  done
  "${curl[@]}" --output /dev/null --request DELETE "$1${place}"
}
