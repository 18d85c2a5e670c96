# shellcheck shell=bash
# Runs the sidecar's tasks on the bucket, for scripts/fsck, scripts/gc and scripts/node. Wants lib.sh.
shopt -s inherit_errexit nullglob

# Becomes the task TASK with the other arguments, after checking them, on the instance of GRIDSPOOL_HOME or,
# if there is none, with the settings of the environment.
upkeep() { # TASK OPTIONS_WITH_A_VALUE SWITCHES [WORD]...
  local task valued=" $2 " switches=" $3 " words=() binary=${home}/bin/gridspool owner as_owner=()
  # Some tasks are of several words.
  read -ra task <<<"$1"
  shift 3
  while (($# > 0)); do
    if [[ $1 == --help ]]; then
      usage
      exit
    elif [[ $1 == --* && ${valued} == *" $1 "* ]]; then
      (($# >= 2)) || die_usage "$1 needs a value"
      words+=("$1=$2")
      shift 2
    elif [[ $1 == --* && ${switches} == *" $1 "* ]]; then
      words+=("$1")
      shift
    else
      die_usage "unknown argument: $1"
    fi
  done
  [[ -x ${binary} ]] || binary=$(command -v gridspool) || die "there is no gridspool: scripts/up builds it"
  if [[ -e ${home}/cluster ]]; then
    # Each node has the same list, and a journal of its own.
    [[ ${task[0]} == node ]] || die_usage "${home} has several nodes: set GRIDSPOOL_HOME to ${home}/nodes/NUMBER"
    exec env GRIDSPOOL_HOME="${home}/nodes/1" "${scripts}/node" "${task[@]:1}" "${words[@]}"
  elif [[ -r ${home}/mongodb.uri ]]; then
    GRIDSPOOL_MONGODB_URI=$(<"${home}/mongodb.uri")
    export GRIDSPOOL_MONGODB_URI GRIDSPOOL_DATA_DIR=${home}/data
    # This one writes there, and the sidecar could not use files of root.
    if [[ ${task[*]} == 'node add' ]] && ((EUID == 0)); then
      owner=$(stat -c %U -- "${home}/data")
      as_owner=(setpriv --reuid "${owner}" --regid "${owner}" --init-groups --)
    fi
  fi
  exec "${as_owner[@]}" "${binary}" "${task[@]}" "${words[@]}"
}
