#!/usr/bin/env bash
# Tests the Debian package in a new Debian system without .NET, which has what the package depends on and systemd: boots the system, installs the
# package, serves, relays, reloads, upgrades, stops, and purges it, after which the system is as before.
#   packaging/deb-test.sh
# Needs root on Debian with debhelper, lintian, debootstrap and systemd-container. DEBIAN_MIRROR replaces debootstrap's default mirror.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

machine='' leader=''

remove() {
  [[ -z $machine ]] || power_off
}

install_tools() {
  if type -P dh lintian debootstrap systemd-nspawn systemd-analyze python3 openssl; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    debhelper lintian debootstrap systemd-container python3 openssl
}

builds() {
  packaging/deb "$FEED" "$temp/deb" && deb=$(compgen -G "$temp/deb/streamshost_*_amd64.deb")
}

# Errors and warnings: its remarks of the level "information" are about texts in .NET's own libraries. Nothing is overridden.
lintian_finds_nothing() {
  local report
  report=$(lintian --allow-root --pedantic "$deb") && [[ -z $report ]] || { echo "$report"; return 1; }
}

two_builds_are_identical() {
  packaging/deb "$FEED" "$temp/again" && cmp "$deb" "$temp/again/$(basename "$deb")"
}

# Of alternatives the first that this Debian has.
makes_a_system() {
  local needed
  needed=$(dpkg-deb --field "$deb" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | paste -sd ,) &&
    debootstrap --variant=minbase --include="systemd-sysv,$needed" bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} &&
    ! chroot "$root" sh -c 'command -v dotnet' && rm -f "$root"/var/cache/apt/archives/*.deb && list >"$temp/before"
}

# Every file with its mode, owner and contents, except what dpkg, ldconfig and systemd keep for themselves.
list() {
  (
    cd "$root"
    find . -xdev \( -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./run -o -path ./tmp -o -path ./var/tmp -o -name '*-' \) -prune -o \
      \( -path ./etc/machine-id -o -path './var/lib/systemd/*' -o -path './etc/.pwd.lock' -o -path './etc/.updated' -o -path './var/.updated' \) -prune -o \
      -printf '%p %M %U:%G %l ' \( -type f -exec sha256sum '{}' \; -o -printf '\n' \) | sort
  )
}

# In the running system: a package may start its service there, and not in a chroot.
installs() {
  cp "$deb" "$root/root/package.deb" && inside dpkg --install /root/package.deb && grep streamshost "$root/etc/passwd" || return
  [[ $(inside systemctl is-enabled streamshost) == disabled && $(inside systemctl is-active streamshost) == inactive ]] &&
    ! inside journalctl --no-pager --unit streamshost | grep -i start
}

units_verify() {
  # Without its manual: this system has no man.
  chroot "$root" systemd-analyze verify --man=no streamshost.service >"$temp/verify.log" 2>&1 && [[ ! -s $temp/verify.log ]] ||
    { cat "$temp/verify.log"; return 1; }
}

boots() {
  systemd-nspawn --quiet --directory "$root" --boot --register=no --keep-unit --private-network --console=pipe >"$temp/boot.log" 2>&1 &
  machine=$!
  for _ in {1..300}; do
    leader=$(pgrep --parent "$machine" | head -n 1) && [[ $(inside systemctl is-system-running 2>/dev/null) == running ]] && return
    sleep 0.1
  done
  inside systemctl --failed
  cat "$temp/boot.log"
  return 1
}

inside() {
  nsenter --target "$leader" --all "$@"
}

power_off() {
  local pid=$machine
  machine=
  # SIGRTMIN+4 powers systemd off.
  if [[ -z $leader ]] || ! kill -s RTMIN+4 "$leader" || ! timeout 60 tail --pid="$pid" -f /dev/null; then
    kill -KILL "$pid" && wait "$pid"
    return 1
  fi
}

# in_system SECONDS COMMAND...: succeeds within that time.
in_system() {
  local deadline=$((SECONDS + $1))
  shift
  until inside "$@"; do
    ((SECONDS < deadline)) || { inside journalctl --no-pager --lines 20 --unit streamshost; return 1; }
    sleep 0.2
  done
}

without_an_endpoint_they_report_it() {
  local output
  output=$(inside streamshost check 2>&1) && return 1
  echo "$output"
  [[ $output == *"ByteStreams:Endpoints: there is no endpoint"* ]] || return
  ! inside systemctl start streamshost && inside journalctl --no-pager --unit streamshost | grep 'there is no endpoint'
}

configure() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj "/CN=$1" -addext subjectAltName=DNS:localhost -keyout "$temp/tls.key" -out "$temp/tls.crt" &&
    install -m 644 "$temp/tls.crt" "$root/etc/streamshost/" &&
    inside sh -c 'umask 077 && cat >/etc/streamshost/tls.key && chgrp streamshost /etc/streamshost/tls.key && chmod 640 /etc/streamshost/tls.key' <"$temp/tls.key"
}

# A TLS relay to an echo on a Unix socket: the package's example with the echo as the application.
serves() {
  configure first &&
    python3 - packaging/debian/relay.json >"$root/etc/streamshost/appsettings.json" <<'PYTHON' || return
import json, sys
configuration = json.load(open(sys.argv[1]))
endpoints = configuration["ByteStreams"]["Endpoints"]
endpoints["app"]["Relay"]["Upstreams"] = ["unix:/run/streamshost/app.sock"]
endpoints["echo"] = {"Url": "unix:/run/streamshost/app.sock", "Handler": "echo"}
print(json.dumps(configuration))
PYTHON
  inside streamshost check && inside systemctl enable --now streamshost && inside systemctl show --property StatusText --value streamshost | grep -i '^serving' && echoes
}

echoes() {
  local answer
  answer=$(inside streamshost connect tls://127.0.0.1:7443 --server-name localhost --ca /etc/streamshost/tls.crt <<<hello) && [[ $answer == hello ]]
}

# Not root, no capability, and the system is read-only to it: what the kernel reports, not the unit.
is_locked_up() {
  local pid status
  pid=$(inside systemctl show --property MainPID --value streamshost) && status=$(inside cat "/proc/$pid/status") || return
  grep -E '^(Uid|Cap...|NoNewPrivs|Seccomp):' <<<"$status"
  ! grep -qE '^Uid:\s+0' <<<"$status" && ! grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' <<<"$status" | grep -qv '0000000000000000$' &&
    grep -qP '^NoNewPrivs:\t1' <<<"$status" && grep -qP '^Seccomp:\t2' <<<"$status" && inside cat "/proc/$pid/mountinfo" | grep -E ' / ro[, ]'
}

# as_service COMMAND...
as_service() {
  inside runuser -u streamshost -- "$@"
}

# Root could read it.
check_finds_an_unreadable_key() {
  local output
  inside chmod 600 /etc/streamshost/tls.key
  output=$(as_service streamshost check 2>&1) && { inside chmod 640 /etc/streamshost/tls.key; return 1; }
  inside chmod 640 /etc/streamshost/tls.key
  echo "$output"
  [[ $output == *tls.key* ]] && as_service streamshost check
}

# configuration NAME=URL,HANDLER[,UPSTREAM]...
configuration() {
  python3 - "$@" >"$root/etc/streamshost/appsettings.json" <<'PYTHON'
import json, sys
endpoints = {}
for argument in sys.argv[1:]:
    name, _, values = argument.partition("=")
    url, handler, *upstreams = values.split(",")
    endpoints[name] = {"Url": url, "Handler": handler, **({"Relay": {"Upstreams": upstreams}} if upstreams else {})}
    if url.startswith("unix:"):
        endpoints[name] |= {"UnixSocketGroup": "www-data", "UnixSocketMode": "0660"}
print(json.dumps({"ByteStreams": {"Endpoints": endpoints}}))
PYTHON
}

# drop_in NAME LINES...: as systemctl edit.
drop_in() {
  local folder=$root/etc/systemd/system/streamshost.service.d name=$1
  shift
  mkdir -p "$folder" && printf '%s\n' "$@" >"$folder/$name.conf" && inside systemctl daemon-reload
}

# says_hello URL: an echo answers there.
says_hello() {
  [[ $(inside streamshost connect "$1" <<<hello) == hello ]]
}

# An address that is not a loopback one, which a relay looks up among those of the machine.
relays_to_a_tcp_upstream() {
  nsenter --target "$leader" --net sh -c 'ip link add up0 type veth peer name up1 && ip address add 192.0.2.1/24 dev up0 && ip link set up0 up && ip link set up1 up' &&
    configuration relay=tcp://127.0.0.1:7080,relay,tcp://192.0.2.1:7081 echo=tcp://192.0.2.1:7081,echo && inside systemctl restart streamshost &&
    says_hello tcp://127.0.0.1:7080 || return
  # Also where the unit forbids the lookup.
  drop_in families '[Service]' 'RestrictAddressFamilies=' 'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX' &&
    inside systemctl restart streamshost && says_hello tcp://127.0.0.1:7080
}

shares_a_socket_with_a_group() {
  configuration echo=unix:/run/streamshost/shared.sock,echo && drop_in group '[Service]' 'SupplementaryGroups=www-data' &&
    inside systemctl restart streamshost && [[ $(inside stat --format '%a %U %G' /run/streamshost/shared.sock) == "660 streamshost www-data" ]] &&
    [[ $(inside runuser -u www-data -- streamshost connect unix:/run/streamshost/shared.sock <<<hello) == hello ]]
}

serves_a_port_below_1024() {
  configuration echo=tcp://127.0.0.1:443,echo &&
    drop_in port '[Service]' 'AmbientCapabilities=CAP_NET_BIND_SERVICE' 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE' &&
    inside systemctl restart streamshost && says_hello tcp://127.0.0.1:443
}

# As the comment of the example describes it.
is_activated_by_a_socket() {
  configuration echo=fd:echo,echo && cp "$root/usr/share/doc/streamshost/examples/streamshost.socket" "$root/etc/systemd/system/" &&
    drop_in socket '[Unit]' 'Requires=streamshost.socket' 'After=streamshost.socket' && inside systemctl stop streamshost &&
    inside systemctl enable --now streamshost.socket streamshost && says_hello tcp://127.0.0.1:7007 &&
    inside systemctl restart streamshost && says_hello tcp://127.0.0.1:7007
}

reloads_the_certificate() {
  configure second && inside systemctl reload streamshost &&
    in_system 10 sh -c 'streamshost connect tls://127.0.0.1:7443 --server-name localhost --ca /etc/streamshost/tls.crt --verbose </dev/null 2>&1 | grep CN=second' && echoes
}

# Of a running service; its configuration is the administrator's.
upgrades() {
  local before
  before=$(inside systemctl show --property MainPID --value streamshost)
  inside dpkg --install /root/package.deb && in_system 10 systemctl is-active streamshost &&
    [[ $(inside systemctl show --property MainPID --value streamshost) != "$before" ]] && in_system 10 streamshost connect tls://127.0.0.1:7443 --server-name localhost --ca /etc/streamshost/tls.crt </dev/null && echoes
}

stops() {
  inside systemctl stop streamshost && [[ $(inside systemctl show --property Result,ExecMainStatus --value streamshost | paste -sd ' ') == "success 0" ]]
}

is_purged() {
  inside systemctl disable --now streamshost streamshost.socket && inside rm -r /etc/systemd/system/streamshost.socket /etc/systemd/system/streamshost.service.d &&
    inside rm /etc/streamshost/tls.crt /etc/streamshost/tls.key && inside dpkg --purge streamshost && power_off &&
    rm "$root/root/package.deb" && list >"$temp/after" && diff "$temp/before" "$temp/after"
}

feed
root=$temp/root
check "debhelper, lintian, debootstrap and systemd-nspawn are installed" install_tools
check "packaging/deb" builds
check "two builds are identical" two_builds_are_identical
check "lintian finds nothing" lintian_finds_nothing
check "a Debian system with what the package depends on, without .NET" makes_a_system
check "the system boots" boots
check "dpkg --install, which enables and starts nothing" installs
check "systemd-analyze verify has no remark" units_verify
check "without an endpoint the check and the service report it" without_an_endpoint_they_report_it
check "a TLS relay as in the package's example serves" serves
check "it runs without rights" is_locked_up
check "systemctl reload serves the new certificate" reloads_the_certificate
check "streamshost check as the service's user finds a key that it cannot read" check_finds_an_unreadable_key
check "an upgrade restarts it with its configuration" upgrades
check "systemctl stop ends it with exit code 0" stops
check "it relays to a TCP upstream, with and without netlink" relays_to_a_tcp_upstream
check "it shares a Unix socket with a group" shares_a_socket_with_a_group
check "it serves a port below 1024" serves_a_port_below_1024
check "it is activated by a socket" is_activated_by_a_socket
check "dpkg --purge leaves nothing" is_purged
