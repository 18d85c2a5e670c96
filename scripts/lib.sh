# shellcheck shell=bash
# All scripts here need this: messages, exits, and paths. Sourced, never run.
# shellcheck disable=SC2034  # its variables are for the scripts that source it
shopt -s inherit_errexit nullglob

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# All state of one instance.
home=$(realpath -m -- "${GRIDSPOOL_HOME:-${checkout}/.gridspool}")
readonly checkout home
# nginx gives a meaning to spaces, quotes and ; { } $ #: no path with them gets into its files.
readonly nginx_path='^/[A-Za-z0-9._/@+-]*$'
# Debian keeps nginx where only root's PATH looks.
PATH=${PATH}:/usr/sbin:/sbin

# Messages go to stderr: stdout is for other programs.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# 64 and 78 are EX_USAGE and EX_CONFIG of sysexits(3).
die_usage() {
  say "$*"
  say "try ${0##*/} --help"
  exit 64
}

die_config() {
  say "$*"
  exit 78
}

# A signal ends the script by exit, so that its EXIT trap cleans up then too.
exit_on_signals() {
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# For scripts without options except --help: shows the script's usage() and leaves, or refuses the
# rest.
only_help() {
  (($# > 0)) || return 0
  [[ $1 == --help ]] || die_usage "unknown argument: $1"
  usage
  exit 0
}

# Sets `sockets`: run/ below a home, unless that is too deep for the 107 bytes of a socket's path. In the
# other place another user may have made a directory of that name: then it is not used, and set to nothing.
find_sockets() { # [HOME]
  local of=${1:-${home}} owner
  sockets=${of}/run
  [[ -r ${of}/sockets ]] || return 0
  sockets=$(<"${of}/sockets")
  owner=$(stat -c '%u' -- "${of}/run" 2>/dev/null || true)
  look_whose "${sockets}" "${owner}"
  [[ -n ${private} ]] || sockets=''
}

# Sets `private` to yes if a path is a directory of this user, not a link, and closed to all other users.
look_whose() { # PATH UID
  local found
  found=$(stat -c '%F %u %a' -- "$1" 2>/dev/null || true)
  private=''
  [[ ${found} != "directory $2 700" ]] || private=yes
}

# Polls COMMAND for up to SECONDS, with a word every five; sets `awaited` to yes, or to nothing.
# Usage: await SECONDS WHAT COMMAND [ARGUMENT]...
await() {
  local deadline=$((SECONDS + $1)) word_at=$((SECONDS + 5)) what=$2
  shift 2
  awaited=yes
  until "$@"; do
    if ((SECONDS >= deadline)); then
      awaited=''
      return 0
    elif ((SECONDS >= word_at)); then
      say "waiting for ${what}"
      word_at=$((SECONDS + 5))
    fi
    sleep 0.1
  done
}

# Sets `admin`, the admin socket: of `--socket PATH`, or of the home, or of its node NUMBER (`--node`).
admin_socket() {
  case ${1-} in
    --socket)
      (($# == 2)) || die_usage "--socket needs one value, and nothing after it"
      admin=$2
      return 0
      ;;
    --node)
      [[ $# == 2 && $2 =~ ^[1-9]$ ]] || die_usage "--node needs one number, and nothing after it"
      [[ -d ${home}/nodes/$2 ]] || die "${home} has no node $2"
      find_sockets "${home}/nodes/$2"
      ;;
    *)
      only_help "$@"
      [[ ! -e ${home}/cluster ]] || die_usage "${home} has several nodes: say which, by --node"
      find_sockets
      ;;
  esac
  [[ -n ${sockets} ]] || die "the directory of its sockets is gone, or another user's: start it anew, by scripts/up"
  admin=${sockets}/admin.sock
}

# Prints the sidecar's answer to METHOD PATH, indented where it is JSON.
ask_admin() {
  local answer failed=0
  [[ -S ${admin} ]] || die "no sidecar is there: ${admin} is not a socket"
  answer=$(curl --silent --fail-with-body --max-time 30 --unix-socket "${admin}" --request "$1" \
    "http://localhost$2") || failed=$?
  # curl's own words would name localhost and a port.
  ((failed != 7)) || die "no sidecar answers at ${admin}: scripts/up starts it"
  ((failed == 0)) || die "the sidecar does not do it: ${answer:-no answer, curl ended with ${failed}}"
  python3 -m json.tool <<<"${answer}" 2>/dev/null || printf '%s\n' "${answer}"
}
