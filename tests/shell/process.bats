#!/usr/bin/env bats
# What the scripts know of the processes of a home.

setup() {
  load helper
  export GRIDSPOOL_HOME=${BATS_TEST_TMPDIR}/home
  mkdir -p -- "${GRIDSPOOL_HOME}/process"
  source "${checkout}/scripts/lib.sh"
  source "${checkout}/scripts/lib-process.sh"
}

# A process whose first thread has ended, and another one listens on PORT until there is FILE.
listen_without_leader() { # PORT FILE
  exec python3 - "$@" <<'PYTHON'
import ctypes, os, socket, sys, threading, time

def listen():
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    os._exit(0)

listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=listen).start()
ctypes.CDLL(None).pthread_exit(None)
PYTHON
}

@test "a process is not gone while one of its threads is left, and whoever looks for it waits for that" {
  local port enough=${BATS_TEST_TMPDIR}/enough started state session leader
  port=$(free_port)
  listen_without_leader "${port}" "${enough}" 3>&- &
  leader=$!
  await 10 'a zombie' is_zombie "${leader}"
  [[ -n ${awaited} ]]
  is_listening "${port}"
  run ! is_gone "${leader}"
  is_alive "${leader}"
  look_at "${leader}"
  printf '%s %s %s\n' "${leader}" "${started}" "$(</proc/sys/kernel/random/boot_id)" >"${GRIDSPOOL_HOME}/process/one"
  # It ends while somebody looks for it.
  (sleep 0.3 && touch -- "${enough}") 3>&- &
  find_process one
  [[ -z ${pid} ]]
  run ! is_listening "${port}"
  is_gone "${leader}"
}

is_zombie() { [[ $(ps -o state= -p "$1") == Z* ]]; }
