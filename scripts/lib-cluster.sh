# shellcheck shell=bash
# Several nodes on this host, for scripts/up. Each node is a home of its own below nodes/. The home above
# them has the shared parts: the members of the replica set, the key, and a balancer as its nginx. Needs all
# other lib files.
shopt -s inherit_errexit nullglob

# Reads the words of the command line into `nodes` and `replicas`, which stay empty without them, and into
# `origins`.
cluster_options() { # [WORD]...
  nodes='' replicas='' origins=()
  while (($# > 0)); do
    case $1 in
      --nodes | --replicas)
        [[ ${2-} =~ ^[1-9]$ ]] || die_usage "$1 needs a number from 1 to 9"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
      --origin)
        (($# >= 2)) || die_usage "$1 needs a value"
        origins+=("$2")
        shift 2
        ;;
      *) only_help "$@" ;;
    esac
  done
  check_origins "${origins[@]}"
  [[ -z ${replicas} || ${replicas} -lt 8 ]] || die_usage "--replicas: more than 7 members cannot vote"
}

# Completes `nodes` and `replicas` from the last run; both stay empty for a home of a single node.
recall_cluster() {
  local last='' last_nodes='' last_replicas=''
  [[ ! -e ${home}/cluster ]] || last=$(<"${home}/cluster")
  read -r last_nodes last_replicas <<<"${last}"
  [[ -n ${nodes}${replicas}${last} ]] || return 0
  [[ -n ${last} || ! -e ${home}/ports ]] || die_config "${home} has a single node: choose another GRIDSPOOL_HOME"
  [[ -z ${replicas} || -z ${GRIDSPOOL_MONGODB_URI-} ]] \
    || die_config "--replicas starts members of our own, and GRIDSPOOL_MONGODB_URI names others"
  nodes=${nodes:-${last_nodes:-1}} replicas=${replicas:-${last_replicas:-1}}
  # Files may be pending on a node, and a member may have the only vote for some writes.
  [[ -z ${last} || ${last} == "${nodes} ${replicas}" ]] \
    || die_config "${home} has ${last_nodes} nodes and ${last_replicas} replicas: choose another GRIDSPOOL_HOME"
  printf '%s %s\n' "${nodes}" "${replicas}" >"${home}/cluster"
}

# Completes `origins` from the last run.
recall_origins() {
  if ((${#origins[@]} > 0)); then
    printf '%s\n' "${origins[@]}" >"${home}/origins"
  elif [[ -s ${home}/origins ]]; then
    mapfile -t origins <"${home}/origins"
  fi
}

# Prints where the nginx of node NUMBER listens: each has two ports, behind the balancer's.
node_address() { printf '127.0.0.1:%s\n' "$((port + 2 * $1))"; }

# Prints the line of the example that sends the resumable uploads of a node to it.
owner_line() { # NUMBER
  printf '  "~*^/uploads/[0-9a-f]{8}000%s[0-9a-f]{12}$" gridspool_node_%s;\n' "$1" "$1"
}

# Names our nodes in place of the three of the example balancer.
name_nodes() {
  local number address rest servers upstreams='' takers='' owners='' old
  for rest in ' max_fails=2 fail_timeout=10s;' ' max_fails=1 fail_timeout=5s;' ' max_fails=0;'; do
    servers=''
    for ((number = 1; number <= nodes; number++)); do
      address=$(node_address "${number}")
      servers+="  server ${address}${rest}"$'\n'
    done
    replace "  server 10.0.0.1:8080${rest}"$'\n' "${servers}"
  done
  for ((number = 1; number <= nodes; number++)); do
    address=$(node_address "${number}")
    upstreams+="upstream gridspool_node_${number} {"$'\n'"  server ${address};"$'\n}\n\n'
    takers+="  ${number} gridspool_node_${number};"$'\n'
    owners+=$(owner_line "${number}")$'\n'
  done
  replace $'upstream gridspool_node_1 {\n  server 10.0.0.1:8080;\n}\n\n' "${upstreams}"
  replace $'  1 gridspool_node_1;\n  2 gridspool_node_2;\n  3 gridspool_node_3;\n' "${takers}"
  old=$(
    owner_line 1
    owner_line 2
    owner_line 3
  )
  replace "${old}"$'\n' "${owners}"
  for number in 2 3; do
    for rest in ' max_fails=2 fail_timeout=10s;' ' max_fails=1 fail_timeout=5s;' ' max_fails=0;'; do
      replace "  server 10.0.0.${number}:8080${rest}"$'\n' ''
    done
    replace "upstream gridspool_node_${number} {"$'\n'"  server 10.0.0.${number}:8080;"$'\n}\n\n' ''
  done
}

# The balancer of nginx.conf.d/examples, with our ports, and a port without TLS besides.
write_balancer_files() {
  local user_directive=''
  # Only root's nginx may name a user.
  [[ ${service_user} != root ]] || user_directive='user root;'
  stage=${home}/nginx
  rm -rf -- "${stage}"
  install -d -m 0750 -- "${stage}/examples"
  cp -- "${checkout}/scripts/nginx.conf.in" "${stage}/nginx.conf"
  cp -- "${checkout}/nginx.conf.d/examples/balancer.conf" "${stage}/examples"
  name_nodes
  replace 'listen 127.0.0.1:8443 ' "listen 127.0.0.1:${port} backlog=65535;"$'\n'"  listen 127.0.0.1:${tls_port} "
  replace ' /etc/gridspool/tls/' " ${home}/tls/"
  # The balancer has no node's files, but a directory for bodies must be named even if none is written.
  replace ' include gridspool.conf;' ''
  replace ' @RUNDIR@/' " ${home}/run/"
  replace ' /var/log/nginx/' " ${home}/log/"
  replace '@USER@' "${user_directive}"
}

# Makes sure that all nodes run, each by a scripts/up of its own, and sets `node_urls`.
start_nodes() {
  local number other address peers origin options
  node_urls=()
  if [[ ! -s ${home}/peer.key ]]; then
    (umask 077 && openssl rand -hex 32 >"${home}/peer.new")
    chmod 0640 -- "${home}/peer.new"
    mv -- "${home}/peer.new" "${home}/peer.key"
  fi
  chgrp -- "${service_group}" "${home}/peer.key"
  install -d -m 0750 -g "${service_group}" -- "${home}/nodes"
  for ((number = 1; number <= nodes; number++)); do
    peers=''
    for ((other = 1; other <= nodes; other++)); do
      address=$(node_address "${other}")
      ((other == number)) || peers+="${other}=http://${address} "
    done
    address=$(node_address "${number}")
    say "node ${number}, with everything in ${home}/nodes/${number}:"
    options=()
    for origin in "${origins[@]}"; do options+=(--origin "${origin}"); done
    GRIDSPOOL_HOME=${home}/nodes/${number} GRIDSPOOL_PORT=${address##*:} GRIDSPOOL_TLS_PORT=$((${address##*:} + 1)) \
      GRIDSPOOL_NODE=${number} GRIDSPOOL_PEERS=${peers:-none} GRIDSPOOL_PEER_KEY=${home}/peer.key \
      GRIDSPOOL_ADVERTISE=http://${address} \
      GRIDSPOOL_MONGODB_URI=${mongodb_uri} "${checkout}/scripts/up" "${options[@]}" >/dev/null
    node_urls+=("http://${address}")
  done
  # This is the same file as in a home of a single node, for scripts/token.
  ln -sfn -- ../nodes/1/bin/gridspool "${home}/bin/gridspool"
  ln -sfn -- nodes/1/token-keys "${home}/token-keys"
}
