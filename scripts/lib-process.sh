# shellcheck shell=bash
# The processes of one home. Each is known by its pid together with its start time and the boot, kept
# in process/NAME, so a pid that the kernel has given to another is never taken for ours. Each leads
# a session of its own, which also tells the workers that a killed nginx leaves behind.
# Wants lib.sh.
shopt -s inherit_errexit nullglob

# The words before a command that give up root; choose_user of lib-home.sh sets them.
as_service=()

# Only one scripts/up or scripts/down works on a home at a time.
lock_home() {
  local lock
  exec {lock}>"${home}/lock"
  flock --nonblock "${lock}" && return 0
  say "another scripts/up or scripts/down works on ${home}: waiting for it"
  flock "${lock}"
}

# Sets `session`, `started` and `state` of process PID. They become empty if the process is gone, or is a
# zombie that its parent has not collected (in containers without an init nobody may). A zombie with a thread
# that is still ending is not gone: it has its files, and listens.
look_at() {
  local stat='' fields
  session='' started='' state=''
  # It fails because the NUL that it looks for, or the file, is missing.
  IFS= read -r -d '' stat 2>/dev/null <"/proc/$1/stat" || true
  [[ -n ${stat} ]] || return 0
  # The name in parentheses may contain anything: count fields behind it.
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != [ZX] ]] || grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/task"/*/status || return 0
  state=${fields[0]} session=${fields[3]} started=${fields[19]}
}

# True of a process that is whole, or gone; for await. Its leader may be a zombie before its last thread ends.
is_settled() {
  local session started state
  look_at "$1"
  [[ ${state} != Z ]]
}

# Sets `pid` of the process NAME of this home, and `orphans`, what is left of its session without it. Waits
# for a process that is ending.
find_process() {
  local leader leader_started boot entry
  pid='' orphans=()
  [[ -r ${home}/process/$1 ]] || return 0
  read -r leader leader_started boot <"${home}/process/$1"
  [[ ${boot} == "$(</proc/sys/kernel/random/boot_id)" ]] || return 0
  await 10 "the last threads of $1" is_settled "${leader}"
  look_at "${leader}"
  if [[ ${started} == "${leader_started}" ]]; then
    pid=${leader}
  elif [[ -z ${started} ]]; then
    for entry in /proc/[0-9]*; do
      look_at "${entry#/proc/}"
      [[ ${session} != "${leader}" ]] || orphans+=("${entry#/proc/}")
    done
  fi
}

# True when a process is gone; for await.
is_gone() {
  local session started
  look_at "$1"
  [[ -z ${started} ]]
}

# Usage: start_process NAME COMMAND [ARGUMENT]...; its output goes to log/NAME.log.
start_process() {
  local name=$1 fd
  shift
  (
    look_at "${BASHPID}"
    # The process records itself before it is anything else, so a cut here loses none. exec and setsid keep
    # both numbers.
    printf '%s %s %s\n' "${BASHPID}" "${started}" "$(</proc/sys/kernel/random/boot_id)" >"${home}/process/${name}"
    # The lock, and files that a caller left open, must not live as long as the process.
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd < 3 || fd == 255)) || eval "exec ${fd}>&-" 2>/dev/null || true
    done
    cd /
    # The process's own user opens the log: in its directory root must follow no link.
    # shellcheck disable=SC2016  # the inner shell expands these
    exec setsid "${as_service[@]}" bash -c 'log=$1; shift; exec "$@" >>"${log}" 2>&1' \
      bash "${home}/log/${name}.log" "$@" </dev/null
  ) &
  pid=$!
}

# True when somebody accepts connections on PORT of this host; for await.
is_listening() { { : <"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; }

# Waits until COMMAND is true. If that takes more than SECONDS, or the process ends before, shows the end of
# its log and leaves. Usage: await_process NAME PID SECONDS COMMAND [ARGUMENT]...
await_process() {
  local name=$1 process=$2 seconds=$3 started log
  shift 3
  await "${seconds}" "${name}" is_gone_or "${process}" "$@"
  look_at "${process}"
  [[ -z ${awaited} || -z ${started} ]] || return 0
  if [[ -z ${started} ]]; then
    say "${name} has ended; the end of its log:"
  else
    say "${name} is not ready after ${seconds} s; the end of its log:"
  fi
  for log in "${home}/log/${name}"*.log; do
    tail -v -n 20 -- "${log}" >&2
  done
  exit 1
}

is_gone_or() {
  local session started
  look_at "$1"
  shift
  [[ -z ${started} ]] || "$@"
}

# Usage: stop_process NAME [SIGNAL SECONDS]...; then KILL. Tells the whole life of it on stderr.
stop_process() {
  local name=$1 orphan
  shift
  find_process "${name}"
  if [[ -n ${pid} ]]; then
    say "stopping ${name} (pid ${pid})"
    awaited=''
    while (($# > 0)) && [[ -z ${awaited} ]]; do
      kill -s "$1" -- "${pid}" 2>/dev/null || true
      await "$2" "${name} to stop" is_gone "${pid}"
      shift 2
    done
    if [[ -z ${awaited} ]]; then
      say "${name} does not stop: killing it"
      kill -s KILL -- "-${pid}" 2>/dev/null || true
      await 10 "${name} to be gone" is_gone "${pid}"
    fi
    find_process "${name}"
  fi
  for orphan in "${orphans[@]}"; do
    say "stopping what a dead ${name} left (pid ${orphan})"
    kill -s KILL -- "${orphan}" 2>/dev/null || true
    await 10 "pid ${orphan} to be gone" is_gone "${orphan}"
  done
  rm -f -- "${home}/process/${name}"
}
