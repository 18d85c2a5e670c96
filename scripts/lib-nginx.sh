# shellcheck shell=bash
# Changes the copies of the nginx files, for scripts/nginx-conf. Needs lib.sh, and `stage`, the directory of
# the copies.
shopt -s inherit_errexit nullglob

# The character before each path (a space, "unix:") cannot be part of one, so no path is replaced twice.
replace() { # OLD NEW
  local file text
  for file in "${stage}"/*.conf "${stage}"/{examples,gridspool}/*.conf; do
    text=$(<"${file}")
    printf '%s\n' "${text//"$1"/"$2"}" >"${file}"
  done
}

# Only paths and addresses that cannot end a directive get into a file.
check_paths() { # NAME...
  local name
  for name in "$@"; do
    [[ -z ${!name} || ${!name} =~ ${nginx_path} ]] \
      || die_config "--${name//_/-} must be absolute, of letters, digits and ._/@+- only: ${!name@Q}"
  done
}

check_addresses() { # NAME...
  local name
  for name in "$@"; do
    [[ -z ${!name} || ${!name} =~ ^([A-Za-z0-9.*-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$ ]] \
      || die_config "--${name} must be ADDR:PORT: ${!name@Q}"
  done
}

# As browsers write them: in small letters, without a path.
check_origins() { # ORIGIN...
  local origin
  for origin in "$@"; do
    [[ ${origin} == localhost || ${origin} =~ ^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$ ]] \
      || die_config "--origin must be http(s)://HOST[:PORT], or localhost: ${origin@Q}"
  done
}

# Puts these origins in place of the example. They are patterns, as nginx bounds the length of other words
# in a map.
write_origins() { # ORIGIN...
  local origin lines=''
  (($# > 0)) || return 0
  for origin in "$@"; do
    if [[ ${origin} == localhost ]]; then
      origin='https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?'
    else
      origin=${origin//./\\.}
      origin=${origin//\[/\\[}
      origin=${origin//\]/\\]}
    fi
    lines+="  \"~^${origin}\$\" \$http_origin;"$'\n'
  done
  replace "  https://app.example.com https://app.example.com;"$'\n' "${lines}"
}

# Usage: check_peers NUMBER=http://HOST:PORT...
check_peers() {
  local peer
  local -A seen=()
  for peer in "$@"; do
    [[ ${peer} =~ ^[1-9][0-9]{0,4}=http://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$ ]] \
      || die_config "--peer must be NUMBER=http://HOST:PORT: ${peer@Q}"
    [[ -z ${seen[${peer%%=*}]-} ]] || die_config "--peer: two nodes have the number ${peer%%=*}"
    seen[${peer%%=*}]=yes
  done
}

# Writes the addresses of other nodes below the comment of the file for them.
# Usage: write_peers NUMBER=http://HOST:PORT...
write_peers() {
  local peer host
  for peer in "$@"; do
    # A name is no address: requests of such a node are counted like all others.
    host=${peer#*=http://}
    host=${host%:*}
    host=${host#[}
    host=${host%]}
    [[ ! ${host} =~ ^[0-9.]+$|: ]] || printf '%s 1;\n' "${host}" >>"${stage}/gridspool/own-addresses.conf"
  done
}
