# shellcheck shell=bash
# Shared by the tests of the scripts: a home of their own, and questions about it.
bats_require_minimum_version 1.5.0

checkout=$(cd -- "${BATS_TEST_DIRNAME}/../.." && pwd -P)
# Last, as one script there has the name of a common program: test.
PATH=${PATH}:${checkout}/scripts

# Prints a directory that www-data can reach, unlike those of bats.
new_directory() {
  local directory
  directory=$(mktemp -d /tmp/gridspool-test.XXXXXXXX)
  chmod 0755 -- "${directory}"
  printf '%s\n' "${directory}"
}

# Prints a free port that is followed by free ones: two in all, or COUNT.
free_port() { # [COUNT]
  python3 - "${1:-2}" <<'EOF'
import random, socket, sys

while True:
    port = random.randrange(10000, 19999, 2)
    try:
        for candidate in range(port, port + int(sys.argv[1])):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", candidate))
    except OSError:
        continue
    print(port)
    break
EOF
}

# Prints the pid that up wrote down for NAME.
pid_of() { cut -d ' ' -f 1 -- "${GRIDSPOOL_HOME}/process/$1"; }

pids() { cut -d ' ' -f 1 -- "${GRIDSPOOL_HOME}"/process/*; }

# True when a process exists and is no zombie; one with a thread that is still ending is not gone yet.
is_alive() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/task"/*/status; }

has_ended() { ! is_alive "$1"; }

wait_for() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < deadline)) || return 1; done
}

# Uploads FILE by PUT and prints the URL that it has then.
upload() {
  local head place
  head=$(curl --fail --silent --show-error --dump-header - --output /dev/null --upload-file "$1" "${url}/files/")
  place=$(sed -n 's/^location: *\([^[:space:]]*\).*/\1/Ip' <<<"${head}")
  [[ ${place} == /files/* ]]
  printf '%s\n' "${url}${place}"
}

# Downloads URL and compares it with FILE.
comes_back() { curl --fail --silent --show-error "$1" | cmp - "$2"; }
