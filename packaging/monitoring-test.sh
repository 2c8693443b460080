#!/usr/bin/env bash
# Tests docs/monitoring with Debian's Prometheus, which is unpacked and not installed: the unit tests of the alerts, and a scrape of a running
# StreamsHost and of a host with ByteStreams.Orleans, against which every query of the dashboard and the rules is executed.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

unpack_prometheus() {
  if ! (type -P curl openssl python3 && nc -h 2>&1 | grep -q OpenBSD); then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends curl openssl python3 netcat-openbsd || return
  fi
  (cd "$temp" && { apt-get download -q prometheus || { apt-get update -qq && apt-get download -q prometheus; }; }) &&
    dpkg-deb -x "$temp"/prometheus_*.deb "$temp/prometheus"
}

prometheus() { "$temp/prometheus/usr/bin/$1" "${@:2}"; }

# The tests of the alerts fail for rules without durations.
alerts_are_tested() {
  mkdir -p "$temp/shorter" && cp docs/monitoring/*.test.yml "$temp/shorter/" &&
    sed 's/for: .*/for: 0s/' docs/monitoring/prometheus-rules.yml >"$temp/shorter/prometheus-rules.yml" || return
  ! prometheus promtool test rules "$temp/shorter/prometheus-rules.test.yml" && prometheus promtool test rules docs/monitoring/prometheus-rules.test.yml
}

certificate() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "$temp/tls.key" -out "$temp/tls.crt"
}

admin="" cluster="" echo_port="" relay_port="" chat_port="" prometheus_port=""

port_of() { sed -nE "s/.*$1 listens on [a-z]+:\/\/[^:]+:([0-9]+).*/\1/p" "$log" | head -n 1; }

# The first upstream of the relay is down; echo takes one connection at a time. A small MaxPending makes a chat client that does not read a slow consumer.
host_starts() {
  certificate && dotnet build src/Host || return
  start src/Host/bin/Debug/net10.0/StreamsHost --no-config --Admin:Url=http://127.0.0.1:0 \
    --ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:0 --ByteStreams:Endpoints:echo:Handler=echo --ByteStreams:Endpoints:echo:Admission:MaxConnections=1 \
    --ByteStreams:Endpoints:relay:Url=tls://127.0.0.1:0 --ByteStreams:Endpoints:relay:Handler=relay \
    --ByteStreams:Endpoints:relay:Relay:Upstreams:0=unix:"$temp/none.sock" --ByteStreams:Endpoints:relay:Relay:Upstreams:1=unix:"$temp/echo.sock" \
    --ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0 --ByteStreams:Endpoints:chat:Handler=chat --ByteStreams:MaxPending=65536 \
    --ByteStreams:Endpoints:upstream:Url=unix:"$temp/echo.sock" --ByteStreams:Endpoints:upstream:Handler=echo \
    --ByteStreams:Endpoints:relay:Tls:Certificates:0:Path="$temp/tls.crt" --ByteStreams:Endpoints:relay:Tls:Certificates:0:KeyPath="$temp/tls.key"
  wait_for 'Endpoint relay listens on ' && wait_for 'Endpoint chat listens on ' && wait_for 'metrics are at ' || return
  admin=$(sed -nE 's/.*metrics are at http:\/\/([0-9.:]+).*/\1/p' "$log" | head -n 1)
  echo_port=$(port_of echo) relay_port=$(port_of relay) chat_port=$(port_of chat)
  curl --silent --fail "http://$admin/readyz"
}

# A cluster of one host.
cluster_host_starts() {
  dotnet build packaging/cluster-host.cs || return
  start dotnet run --no-build packaging/cluster-host.cs -- --urls http://127.0.0.1:0
  wait_for 'Now listening on: ' || return
  cluster=$(sed -nE 's/.*Now listening on: http:\/\/([0-9.:]+).*/\1/p' "$log" | head -n 1)
  curl --silent --show-error --fail --retry 30 --retry-delay 1 "http://$cluster/readyz"
}

prometheus_starts() {
  cat >"$temp/prometheus.yml" <<YML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ "$PWD/docs/monitoring/prometheus-rules.yml" ]
scrape_configs:
  - { job_name: streamshost, static_configs: [ { targets: [ "$admin" ] } ] }
  - { job_name: cluster, static_configs: [ { targets: [ "$cluster" ] } ] }
YML
  prometheus promtool check config "$temp/prometheus.yml" || return
  start "$temp/prometheus/usr/bin/prometheus" --config.file="$temp/prometheus.yml" --storage.tsdb.path="$temp/tsdb" \
    --web.listen-address=127.0.0.1:0 --log.level=info
  wait_for 'Listening on' && wait_for 'Server is ready' || return
  prometheus_port=$(sed -nE 's/.*Listening on.*address=127\.0\.0\.1:([0-9]+).*/\1/p' "$log" | head -n 1)
  [[ -n $prometheus_port ]]
}

# Speaks to the host until every query of the dashboard has a result. Queries of failures that the host cannot be made to have are named.
queries_have_results() {
  timeout 90 python3 - "$prometheus_port" "$echo_port" "$relay_port" "$chat_port" "$temp" <<'PYTHON'
import json, os, re, select, socket, ssl, subprocess, sys, time, urllib.parse, urllib.request
prometheus, echo, relay, chat, temp = sys.argv[1:]
without_result = {"bytestreams_accept_errors_total"}

def get(path, **query):
    with urllib.request.urlopen(f"http://127.0.0.1:{prometheus}/api/v1/{path}?" + urllib.parse.urlencode(query)) as answer:
        return json.load(answer)["data"]

def expressions(node):
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)

variables = {"$job": ".*", "$instance": ".*", "$endpoint": ".*", "$__rate_interval": "1m"}
def substitute(expression):
    for name, value in variables.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression

dashboard = json.load(open("docs/monitoring/grafana-dashboard.json"))
queries = {expression: substitute(expression) for expression in expressions(dashboard)}
for variable in dashboard["templating"]["list"]:
    if variable["type"] == "query":
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
        queries[variable["name"]] = f'count by ({label}) ({substitute(series)}) and on () vector(1)'
assert len(queries) > 30, len(queries)

def first_connection():
    """A connection that was answered. It is rejected until the host has seen the close of the previous one."""
    while True:
        first = socket.socket()
        first.settimeout(5)
        try:
            first.connect(("127.0.0.1", int(echo)))
            first.sendall(b"hello\n")
            if first.recv(100) == b"hello\n":
                return first
        except (ConnectionResetError, BrokenPipeError):
            pass
        first.close()

def traffic():
    """An answer, a rejected connection, a TLS connection that is closed without close_notify, a failed handshake."""
    with first_connection():
        try:
            with socket.create_connection(("127.0.0.1", echo), 5) as second:
                assert second.recv(100) == b""
        except ConnectionResetError:
            pass
    context = ssl.create_default_context(cadata=trusted)
    with socket.create_connection(("127.0.0.1", relay), 5) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"hello\n"
    with socket.create_connection(("127.0.0.1", relay), 5) as plain:
        plain.sendall(b"no handshake\n")
        try:
            while plain.recv(100):
                pass
        except ConnectionResetError:
            pass

def slow_consumer():
    """A chat client that does not read is aborted while another client sends."""
    with socket.create_connection(("127.0.0.1", chat), 5) as slow, socket.create_connection(("127.0.0.1", chat), 5) as sender:
        lines = sender.makefile("rb")
        ended = select.poll()
        ended.register(slow, select.POLLRDHUP)
        for _ in range(5000):
            sender.sendall(b"x" * 4000 + b"\n")
            assert lines.readline().endswith(b"x\n")
            if ended.poll(0):
                return
    raise AssertionError("the slow consumer is still connected")

def replace_certificate():
    """Clients trust both certificates, because the host serves the old one for up to two seconds."""
    global trusted
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", f"{temp}/new.key", "-out", f"{temp}/new.crt"], check=True, capture_output=True)
    trusted += open(f"{temp}/new.crt").read()
    os.replace(f"{temp}/new.key", f"{temp}/tls.key")
    os.replace(f"{temp}/new.crt", f"{temp}/tls.crt")

trusted = open(f"{temp}/tls.crt").read()
replaced = False
deadline = time.monotonic() + 60
while True:
    traffic()
    if not replaced:
        slow_consumer()
        replace_certificate()
        replaced = True
    time.sleep(0.5)
    missing = [name for name, query in queries.items() if not get("query", query=query)["result"]]
    missing = [name for name in missing if not any(metric in name for metric in without_result)]
    if not missing or time.monotonic() > deadline:
        break
assert not missing, missing

rules = [rule for group in get("rules")["groups"] for rule in group["rules"]]
assert len(rules) > 10 and all(rule["health"] == "ok" for rule in rules), [rule for rule in rules if rule["health"] != "ok"]
states = {rule["name"]: rule["state"] for rule in rules}
assert states["ByteStreamsUpstreamDown"] == "pending", states
assert states["ByteStreamsCertificateExpires"] == "pending", states
assert states["StreamsHostDown"] == "inactive", states
assert all(state == "inactive" for name, state in states.items() if name.startswith("ByteStreamsCluster")), states
print(len(queries), "queries,", len(rules), "rules")
PYTHON
}

check "Debian's Prometheus" unpack_prometheus
check "promtool check rules" prometheus promtool check rules docs/monitoring/prometheus-rules.yml
check "promtool test rules, which fail for rules without a duration" alerts_are_tested
check "a host with a relay starts" host_starts
check "a host of a cluster starts" cluster_host_starts
check "Prometheus scrapes both with the rules" prometheus_starts
check "every query of dashboard and rules is executed, and those of the dashboard have results" queries_have_results
