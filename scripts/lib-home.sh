# shellcheck shell=bash
# Lays out the home of an instance for scripts/up: its directories with their owners, its ports, its
# certificate, its nginx files. Needs lib.sh and lib-process.sh.
shopt -s inherit_errexit nullglob

# Root owns the files that root reads back (records, nginx files, binary); the service owns only the files
# that it writes.
readonly service_directories=(data mongodb run log)
readonly root_directories=(process nginx tls bin)

# If GRIDSPOOL_HOME is wrong, no other files may be given to another user.
prepare_home() {
  local marker=${home}/.gridspool-home found
  [[ ${home} =~ ${nginx_path} ]] \
    || die_config "a path of letters, digits and ._/@+- only is needed, for nginx: choose another GRIDSPOOL_HOME than ${home@Q}"
  found=("${home}"/*)
  [[ -e ${marker} || ${#found[@]} == 0 ]] \
    || die_config "${home} is in use for something else: choose another GRIDSPOOL_HOME"
  install -d -m 0750 -- "${home}" "${root_directories[@]/#/"${home}/"}"
  touch -- "${marker}"
}

# Sets `service_user`, `service_group` and `as_service`, the words that run a command as that user. The
# processes must be able to run or pass through PATHS.
choose_user() { # PATH...
  local path
  service_user=$(id -un)
  service_group=$(id -gn)
  as_service=()
  ((EUID == 0)) || return 0
  as_service=(setpriv --reuid www-data --regid www-data --init-groups --)
  service_user=www-data service_group=www-data
  for path in "$@"; do
    # By its path, as a directory scripts/ in PATH has a program of the same name.
    if ! "${as_service[@]}" /usr/bin/test -x "${path}"; then
      say "warning: www-data cannot reach ${path}, so all runs as root; a GRIDSPOOL_HOME elsewhere,"
      say "  say below /srv, would let it run unprivileged"
      service_user=root service_group=root as_service=()
      break
    fi
  done
}

# Makes the service's directories and finds a place for the sockets.
make_service_directories() {
  local directory owner place longest=/gridspool.sock
  for directory in "${service_directories[@]/#/"${home}/"}"; do
    install -d -m 0750 -- "${directory}"
    owner=$(stat -c %U -- "${directory}")
    # Directories of another user are new, or left by a run that had to use another user.
    [[ ${owner} == "${service_user}" ]] || chown -R -- "${service_user}:${service_group}" "${directory}"
  done
  find_sockets
  if [[ -z ${sockets} ]] || ((${#sockets} + ${#longest} > 107)); then
    place=/tmp
    # No other user may enter this directory, not even one that these processes would run as.
    owner=$(id -u -- "${service_user}")
    if [[ -n ${XDG_RUNTIME_DIR-} && ${owner} == "${EUID}" ]]; then
      look_whose "${XDG_RUNTIME_DIR}" "${EUID}"
      [[ -z ${private} ]] || place=${XDG_RUNTIME_DIR}
    fi
    sockets=$(mktemp -d -- "${place}/gridspool.XXXXXXXX")
    chown -- "${service_user}:${service_group}" "${sockets}"
    printf '%s\n' "${sockets}" >"${home}/sockets"
    say "${home} is too deep for unix sockets: they are in ${sockets}"
  fi
}

# Lets the service read the files that root wrote for it.
share_with_service() {
  chgrp -- "${service_group}" "${home}"
  chgrp -R -- "${service_group}" "${home}/bin" "${home}/nginx" "${home}/tls"
}

# Sets `port` and `tls_port`: as given, or as in the last run, or the default; and `nginx_pid`. They
# must be free, unless our own nginx runs on them.
choose_ports() {
  local last_port='' last_tls_port='' name
  [[ ! -e ${home}/ports ]] || read -r last_port last_tls_port <"${home}/ports"
  port=${GRIDSPOOL_PORT:-${last_port:-8080}}
  [[ ${port} != "${last_port}" ]] || : "${GRIDSPOOL_TLS_PORT:=${last_tls_port}}"
  check_port GRIDSPOOL_PORT "${port}"
  tls_port=${GRIDSPOOL_TLS_PORT:-$((port + 1))}
  check_port GRIDSPOOL_TLS_PORT "${tls_port}"
  ((port != tls_port)) || die_config "GRIDSPOOL_PORT and GRIDSPOOL_TLS_PORT are the same"
  find_process nginx
  nginx_pid=${pid}
  if [[ -n ${nginx_pid} ]]; then
    [[ "${port} ${tls_port}" == "${last_port} ${last_tls_port}" ]] \
      || die_config "this instance runs on ports ${last_port} and ${last_tls_port}: scripts/down first"
    return 0
  fi
  # Workers of a killed nginx would answer in place of new ones.
  stop_process nginx
  for name in port tls_port; do
    await 0 '' is_listening "${!name}"
    [[ -z ${awaited} ]] \
      || die_config "port ${!name} is taken by something else: choose another by GRIDSPOOL_${name^^}"
  done
  printf '%s %s\n' "${port}" "${tls_port}" >"${home}/ports"
}

check_port() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -lt 65536 ]] || die_config "$1 is not a port: $2"
}

# A certificate for this host, signed by itself: only for trying HTTP/2.
make_certificate() {
  [[ ! -s ${home}/tls/certificate.pem ]] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "${home}/tls/key.pem" -out "${home}/tls/new.pem" 2>/dev/null
  chmod 0640 -- "${home}/tls/key.pem"
  mv -- "${home}/tls/new.pem" "${home}/tls/certificate.pem"
}

write_nginx_files() {
  local user=- peer origin options=()
  # Only root's nginx may name a user, and then it must: its workers' files are the sidecar's.
  [[ ${service_user} != root ]] || user=root
  # As the sidecar reads them.
  for peer in ${GRIDSPOOL_PEERS-}; do
    [[ ${peer} == none ]] || options+=(--peer "${peer}")
  done
  for origin in "${origins[@]}"; do options+=(--origin "${origin}"); done
  rm -rf -- "${home}/nginx"
  "${checkout}/scripts/nginx-conf" --data-dir "${home}/data" --socket "${sockets}/gridspool.sock" \
    --http "127.0.0.1:${port}" --https "127.0.0.1:${tls_port}" --certificate "${home}/tls/certificate.pem" \
    --key "${home}/tls/key.pem" --log-dir "${home}/log" --wrapper "${home}/run" --user "${user}" \
    "${options[@]}" --out "${home}/nginx"
}
