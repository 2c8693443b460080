#!/usr/bin/env bash
# Tests this folder and samples/cluster-chat: builds the images, starts the compose files, sends traffic, stops containers under load.
#   docker/test.sh [EXECUTABLE]      copies the host out of the first image to the file EXECUTABLE
# Needs a Docker daemon, or root on Debian with docker.io, docker-compose and iptables to start a separate one. Where the base images
# cannot be pulled, base-images.sh makes substitute images (debootstrap and the .NET SDK). Removes everything that it started.
# The last line is "N passed, N failed"; the exit code is not 0 if anything failed.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

project=streamshost-test-$$
aot=$project:aot framework=$project:framework chat=$project:chat
export COMPOSE_PROJECT_NAME=$project DOCKER_BUILDKIT=1 IMAGE=$aot TLS=$temp/tls
daemon= bridge= made=()

# eventually SECONDS COMMAND...: tries it until it succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

remove() {
  local containers
  # A client that is still waiting would wait until its deadline.
  [[ -z ${client:-} ]] || kill "$client" 2>/dev/null || true
  if [[ -n ${docker:-} ]] && "$docker" info >/dev/null 2>&1; then
    for file in sidecar haproxy cluster; do compose "$file" down --volumes --timeout 5 >/dev/null 2>&1 || true; done
    containers=$("$docker" ps -aq --filter "label=$project")
    [[ -z $containers ]] || "$docker" rm -f $containers >/dev/null
    "$docker" image rm -f "$aot" "$framework" "$chat" "${made[@]}" >/dev/null 2>&1 || true
  fi
  if [[ -n $daemon ]]; then
    kill "$daemon" && eventually 30 gone "$daemon" || return 1
    restore_network
  fi
}

gone() {
  ! kill -0 "$1" 2>/dev/null
}

compose() {
  local file=docker/compose.$1.yml
  shift
  "${compose[@]}" -f "$file" "$@"
}

# The daemon leaves its networks, chains and forwarding: restores the state from before.
restore_network() {
  local table
  ip link delete "$bridge" 2>/dev/null || true
  for table in filter nat; do
    if ! grep -qx "\*$table" "$temp/iptables"; then
      iptables -t "$table" -F && iptables -t "$table" -X
    fi
  done
  grep -qx '\*filter' "$temp/iptables" || iptables -P FORWARD ACCEPT
  iptables-restore <"$temp/iptables"
  sysctl -qw net.ipv4.ip_forward="$(<"$temp/ip_forward")"
}

# Finds a docker that builds with BuildKit: of two on the path, the newer one may lack the plug-in.
find_docker() {
  local candidate
  docker=
  for candidate in $(type -ap docker || true); do
    if "$candidate" buildx version >/dev/null 2>&1 || [[ $("$candidate" --version) == *" 20.10."* ]]; then
      docker=$candidate
      break
    fi
  done
  if [[ -z $docker ]]; then
    echo "There is no docker that builds with BuildKit: install docker.io (Debian), or Docker's own packages with buildx." >&2
    exit 1
  fi
  if "$docker" compose version >/dev/null 2>&1; then compose=("$docker" compose); else compose=(docker-compose); fi
}

start_daemon() {
  "$docker" info >/dev/null 2>&1 && return
  iptables-save >"$temp/iptables"
  cat /proc/sys/net/ipv4/ip_forward >"$temp/ip_forward"
  export DOCKER_HOST=unix://$temp/docker.sock
  # Not docker0: what a killed daemon has left attached to it answers for the addresses of new containers.
  bridge=bytestreams$((RANDOM % 10000))
  ip link add "$bridge" type bridge && ip address add "10.213.$((RANDOM % 256)).1/24" dev "$bridge" && ip link set "$bridge" up || return
  PATH=$PATH:/usr/sbin:/sbin setsid dockerd --data-root "$temp/data" --exec-root "$temp/exec" --pidfile "$temp/pid" -H "$DOCKER_HOST" --bridge "$bridge" \
    >"$temp/dockerd.log" 2>&1 &
  daemon=$!
  eventually 60 "$docker" info >"$temp/info.log" 2>&1 || { cat "$temp/dockerd.log"; return 1; }
}

# The base images and service images that the files name.
base_images() {
  sed -nE 's/^ARG [A-Z]+_IMAGE=//p; s/^ *image: ([^$]+)$/\1/p' docker/Dockerfile* samples/cluster-chat/Dockerfile docker/compose.*.yml | sort -u
}

have_base_images() {
  local image missing=()
  for image in $(base_images); do
    "$docker" image inspect "$image" >/dev/null 2>&1 && continue
    made+=("$image")
    missing+=("$image")
  done
  for image in "${missing[@]}"; do
    if ! timeout 300 "$docker" pull -q "$image"; then
      DOCKER=$docker docker/base-images.sh
      return
    fi
  done
}

build() {
  local secret=()
  # The machine configures the package source.
  [[ ! -e $HOME/.nuget/NuGet/NuGet.Config ]] || secret=(--secret "id=nuget,src=$HOME/.nuget/NuGet/NuGet.Config")
  "$docker" build --progress plain "${secret[@]}" -f "$1" -t "$2" .
}

# run NAME IMAGE ARGUMENTS...: with the restrictions of the compose files, on a free port of the loopback interface.
run() {
  local name=$project-$1 image=$2
  shift 2
  "$docker" run -d --name "$name" --label "$project" --read-only --cap-drop ALL --security-opt no-new-privileges \
    -p 127.0.0.1::7007 "$image" "$@"
}

# The kernel's state of a container's first process, and not the requested settings.
process() {
  "$docker" inspect --format '{{.State.Pid}}' "$1"
}

is_locked_up() {
  local pid
  pid=$(process "$1")
  grep -E '^(Uid|Cap...|NoNewPrivs)' "/proc/$pid/status"
  grep -qx $'Uid:\t1654\t1654\t1654\t1654' "/proc/$pid/status" &&
    ! grep -E '^Cap...:' "/proc/$pid/status" | grep -v '0000000000000000$' &&
    grep -qx $'NoNewPrivs:\t1' "/proc/$pid/status" &&
    grep -E '^[^ ]+ [^ ]+ [^ ]+ / / ro[, ]' "/proc/$pid/mountinfo"
}

is_healthy() {
  [[ $("$docker" inspect --format '{{.State.Health.Status}}' "$1") == healthy ]]
}

# Healthy, or no longer able to become it: exited or unhealthy.
is_decided() {
  is_healthy "$1" || [[ $("$docker" inspect --format '{{.State.Running}} {{.State.Health.Status}}' "$1") != "true starting" ]]
}

becomes_healthy() {
  eventually 60 is_decided "$1" && is_healthy "$1" || { "$docker" inspect --format '{{json .State.Health}}' "$1"; "$docker" logs "$1"; return 1; }
}

# ends CONTAINER: docker stop ends it with exit code 0, without a kill.
ends() {
  local code
  "$docker" stop -t 30 "$1"
  code=$("$docker" inspect --format '{{.State.ExitCode}}' "$1")
  echo "exit code $code"
  [[ $code == 0 ]] || { "$docker" logs --tail 20 "$1"; return 1; }
}

has_no_shell() {
  ! "$docker" run --rm --label "$project" --entrypoint /bin/sh "$1" -c true
}

python() {
  python3 docker/client.py "$@"
}

echoes() {
  local answer
  answer=$(python "$@" ask hello)
  echo "$answer"
  [[ $answer == hello ]]
}

# container_echoes CONTAINER: a line goes to its port 7007 and back. Shows what the container and the machine say if not.
container_echoes() {
  local address
  address=$(published "$1" 7007) && echoes "$address" && return
  "$docker" logs "$1"
  "$docker" inspect --format '{{json .NetworkSettings}}' "$1"
  grep -H . "/proc/$(process "$1")/net/tcp" "/proc/$(process "$1")/net/tcp6"
  ip route && ip -brief address && iptables-save
  return 1
}

# published CONTAINER PORT: the address on the machine.
published() {
  "$docker" port "$1" "$2/tcp" | head -n 1
}

# under_way SCRIPT ARGUMENTS...: starts a client in the background ($client) that sends until fd 5 is closed; returns when traffic flows.
under_way() {
  rm -f "$temp/input"
  mkfifo "$temp/input"
  python3 "$@" <"$temp/input" >"$temp/client.log" 2>&1 &
  client=$!
  exec 5>"$temp/input"
  eventually 60 grep -q 'under way' "$temp/client.log" || { cat "$temp/client.log"; return 1; }
}

# client_reports LINE: ends the traffic, which then prints this line.
client_reports() {
  exec 5>&-
  wait "$client" || true
  client=
  cat "$temp/client.log"
  grep -qE "$1" "$temp/client.log"
}

# container FILE SERVICE: prints its id.
container() {
  compose "$1" ps -q "$2"
}

make_certificate() {
  mkdir -p "$TLS"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$TLS/tls.key" -out "$TLS/tls.crt" &&
    chmod 755 "$temp" && chown 1654 "$TLS/tls.key"
}

# The parts of the test, in order.

images() {
  local image name
  check "docker build -f docker/Dockerfile" build docker/Dockerfile "$aot"
  check "docker build -f docker/Dockerfile.framework" build docker/Dockerfile.framework "$framework"
  for image in "$aot" "$framework"; do
    name=${image#*:}
    check "$name: the image has no shell" has_no_shell "$image"
    check "$name: starts with a read-only root and no capability" run "$name" "$image"
    check "$name: runs as 1654, without capabilities, on a read-only root" is_locked_up "$project-$name"
    check "$name: becomes healthy" becomes_healthy "$project-$name"
    check "$name: echoes" container_echoes "$project-$name"
    check "$name: docker stop ends it with exit code 0" ends "$project-$name"
  done
  [[ -z ${1:-} ]] || check "the executable of the image" copy_executable "$1"
}

copy_executable() {
  "$docker" cp "$project-aot:/app/StreamsHost" "$1" && test -x "$1"
}

sidecar() {
  local relay address
  PORT=$(free_port)
  export PORT
  check "a certificate for localhost" make_certificate
  check "compose.sidecar.yml starts" compose sidecar up -d --no-build
  relay=$(container sidecar relay) address=127.0.0.1:$PORT
  check "sidecar: the relay becomes healthy" becomes_healthy "$relay"
  check "sidecar: the relay runs as 1654, without capabilities, on a read-only root" is_locked_up "$relay"
  check "sidecar: the application runs as 1654, without capabilities, on a read-only root" is_locked_up "$(container sidecar app)"
  check "sidecar: a line goes over TLS to the Unix socket and back" echoes "$address" --tls "$TLS/tls.crt"
  check "sidecar: 20 transfers are under way" under_way docker/client.py "$address" --tls "$TLS/tls.crt" hold 20
  check "sidecar: docker stop during the transfers ends the relay with exit code 0" ends "$relay"
  check "sidecar: no transfer lost a byte" client_reports '^20 of 20 whole$'
  check "compose.sidecar.yml is removed" compose sidecar down --volumes
}

# A client in a separate container, whose address HAProxy sees. Each host logs one line per connection.
address_is_logged() {
  local address
  "$docker" run --rm --label "$project" --network "${project}_front" -v "$PWD/docker/client.py:/client.py:ro" \
    python:3-slim python3 /client.py haproxy:7007 ask hello 2>"$temp/from" | grep -x hello || return
  address=$(sed -n 's/^from //p' "$temp/from")
  echo "the client is $address"
  eventually 10 logged haproxy "$address:[0-9]+" || { compose haproxy logs --no-color; return 1; }
}

# logged FILE TEXT: prints the matching log lines of all containers of the compose file.
logged() {
  compose "$1" logs --no-color 2>&1 | grep -E "$2"
}

haproxy() {
  local host
  PORT=$(free_port)
  export PORT
  check "compose.haproxy.yml starts" compose haproxy up -d --no-build
  for host in host1 host2 host3; do
    check "haproxy: $host becomes healthy" becomes_healthy "$(container haproxy "$host")"
  done
  check "haproxy: a line goes through it and back" eventually 30 echoes "127.0.0.1:$PORT"
  check "haproxy: the real client's address is in a host's log" address_is_logged
  check "haproxy: HAProxy runs without capabilities" has_no_capability "$(container haproxy haproxy)"
  check "haproxy: 8 clients at a time are under way" under_way docker/client.py "127.0.0.1:$PORT" knock 8
  check "haproxy: docker stop ends host2 with exit code 0" ends "$(container haproxy host2)"
  check "haproxy: host2 was taken out of rotation when its readiness failed" eventually 10 logged haproxy 'host2 is DOWN, reason: Layer7 wrong status, code: 503'
  check "haproxy: host2 starts again" "$docker" start "$(container haproxy host2)"
  check "haproxy: host2 is back in rotation" eventually 30 logged haproxy 'host2 is UP'
  check "haproxy: every request was answered" client_reports '^[0-9]+ asked, 0 lost$'
  check "compose.haproxy.yml is removed" compose haproxy down --volumes
}

has_no_capability() {
  local pid
  pid=$(process "$1")
  grep -E '^CapEff:' "/proc/$pid/status" | grep '0000000000000000$'
}

cluster() {
  local host
  declare -gA id
  PORT=$(free_port)
  export PORT IMAGE=$chat
  check "docker build -f samples/cluster-chat/Dockerfile" chat_image
  check "compose.cluster.yml starts" compose cluster up -d --no-build
  for host in haproxy host1 host2 host3 redis; do id[$host]=$(container cluster "$host"); done
  check "cluster: Redis is healthy" becomes_healthy "${id[redis]}"
  check "cluster: the three hosts become ready" become_ready host1 host2 host3
  check "cluster: a host runs as 1654, without capabilities, on a read-only root" is_locked_up "${id[host1]}"
  check "cluster: lines, private lines, /who and nick replacement work across hosts" eventually 30 python3 docker/chat.py "127.0.0.1:$PORT" meet
  check "cluster: 9 clients exchange lines" under_way docker/chat.py "127.0.0.1:$PORT" talk 9
  for host in host1 host2 host3; do
    check "cluster: $host stops with exit code 0, starts again and is back in rotation" rolls "$host"
  done
  check "cluster: Redis keeps the membership over a restart, and the hosts stay ready" survives_a_restart
  check "cluster: no line between open connections was lost, duplicated or reordered" client_reports \
    '^[1-9][0-9]* reconnects, 3 hosts, [0-9]+ lines arrived, 0 lost, 0 duplicated, 0 reordered$'
  check "compose.cluster.yml is removed" compose cluster down --volumes --timeout 1
}

chat_image() {
  wait "$building" || { cat "$log"; return 1; }
}

# become_ready HOST...: waits until /readyz of each host succeeds, on its container address.
become_ready() {
  local host address
  for host; do
    address=$("$docker" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "${id[$host]}")
    eventually 60 curl --silent --show-error --fail --max-time 5 "http://$address:7000/readyz" || { compose cluster logs --no-color --tail 50; return 1; }
  done
}

rolls() {
  local times
  times=$(times_up "$1")
  ends "${id[$1]}" && "$docker" start "${id[$1]}" && eventually 60 is_up_again "$1" "$times" || { compose cluster logs --no-color --tail 50; return 1; }
}

# times_up HOST: prints how many times HAProxy has logged the host as UP.
times_up() {
  "$docker" logs "${id[haproxy]}" 2>&1 | grep -c "hosts/$1 is UP" || true
}

is_up_again() {
  (($(times_up "$1") > $2))
}

survives_a_restart() {
  local before after
  before=$(members)
  "$docker" restart "${id[redis]}" && becomes_healthy "${id[redis]}" || return
  after=$(members)
  echo "$after"
  [[ -n $before && $after == "$before" ]] && become_ready host1 host2 host3
}

members() {
  "$docker" exec "${id[redis]}" redis-cli hkeys chat/members/chat | sort
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

find_docker
check "a Docker daemon" start_daemon
check "the base images are there" have_base_images
images "${1:-}"
# Built in the background, because the parts before it mostly wait.
start build samples/cluster-chat/Dockerfile "$chat"
building=$pid
sidecar
haproxy
cluster
