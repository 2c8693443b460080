#!/usr/bin/env bash
# Builds every sample, starts it, and speaks to it with programs that are not of this repository: nc, curl, openssl, redis-cli,
# redis-benchmark, and Python with its smtplib. Uses the ports that the samples name.
#   samples/samples-test.sh
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

install_peers() {
  if type -P openssl curl python3 redis-cli redis-benchmark && nc -h 2>&1 | grep -q OpenBSD; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssl curl python3 redis-tools netcat-openbsd
}

# The first one builds the library, which the others then share.
build() {
  local files=(samples/*.cs)
  dotnet build "${files[0]}" && printf '%s\n' "${files[@]:1}" | xargs -P 2 -n 1 dotnet build
}

certificate() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout "$temp/tls.key" -out "$temp/tls.crt" &&
    cat "$temp/tls.key" "$temp/tls.crt" >"$temp/tls.pem"
}

sample=(dotnet run --no-build)

# serve NAME [ARGUMENTS...]: starts samples/NAME.cs.
serve() {
  start "${sample[@]}" "samples/$1.cs" "${@:2}" && wait_for '^Serving on|Application started'
}

echo_sample() {
  serve echo-server && "${sample[@]}" samples/echo-client.cs | grep -x 'Received: Hello World!'
}

# Serves this folder on a free port and prints the port; over TLS if it has a certificate as its argument.
http_server='
import http.server, ssl, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()'

http_sample() {
  start python3 -c "$http_server" && wait_for '^[0-9]+$' &&
    "${sample[@]}" samples/http-headers.cs "http://127.0.0.1:$(head -n 1 "$log")/README.md" | grep '^HTTP header> .* 200 OK'
}

https_sample() {
  start python3 -c "$http_server" "$temp/tls.pem" && wait_for '^[0-9]+$' &&
    SSL_CERT_FILE=$temp/tls.crt "${sample[@]}" samples/http-headers.cs "https://localhost:$(head -n 1 "$log")/README.md" |
    grep '^HTTP header> .* 200 OK'
}

wait_sample() {
  "${sample[@]}" samples/wait-for-data.cs | grep -x 'Received: abc'
}

web_sample() {
  serve web-and-stream &&
    answers $'ONE\nTWO' nc -N 127.0.0.1 7080 <<<$'one\ntwo' &&
    answers 'Lines so far: 2' curl --silent --fail http://127.0.0.1:5080/ && stop "$pid"
}

# Two connections with a basket each, a message in two pieces, and one that is no order.
json_sample() {
  serve json-messages && timeout 20 python3 -c '
import json, socket, struct, time
def frame(text): return struct.pack(">I", len(text)) + text.encode()
def receive(file):
    [length] = struct.unpack(">I", file.read(4))
    return json.loads(file.read(length))
first, second = (socket.create_connection(("127.0.0.1", 7081), 10) for _ in range(2))
apples = frame(json.dumps({"item": "apple", "count": 2}))
pears = frame(json.dumps({"item": "pear", "count": 3}))
answers, others = first.makefile("rb"), second.makefile("rb")
first.sendall(apples + pears[:7])
assert receive(answers) == {"items": 1, "count": 2}
first.sendall(pears[7:])
assert receive(answers) == {"items": 2, "count": 5}
second.sendall(apples)
assert receive(others) == {"items": 1, "count": 2}
second.sendall(frame("{\"item\": 1}"))
assert receive(others)["error"]
second.shutdown(socket.SHUT_WR)
assert others.read() == b""
' && stop "$pid"
}

starttls_sample() {
  serve starttls "$temp/tls.crt" "$temp/tls.key" && timeout 20 python3 - "$temp/tls.crt" <<'PYTHON' && wait_for '^\| \.a dot$' && grep '^Mail over Tls1[23]:$' "$log"
import smtplib, ssl, sys
with smtplib.SMTP("localhost", 2525, timeout=10) as client:
    client.ehlo()
    assert client.mail("a@example.com")[0] == 530
    client.starttls(context=ssl.create_default_context(cafile=sys.argv[1]))
    client.ehlo()
    assert not client.has_extn("starttls")
    assert client.sendmail("a@example.com", ["b@example.com"], "Subject: test\r\n\r\n.a dot\r\n") == {}
PYTHON
}

# A job is running when the signal comes: its reply and the farewell are delivered, and the exit code is 0.
shutdown_sample() {
  local server code=0
  serve graceful-shutdown || return
  server=$pid
  start bash -c 'exec nc 127.0.0.1 7082 <<<2000'
  wait_for '^working$' || return
  stop "$server" || code=$?
  wait_for '^bye$' && answers $'working\ndone\nbye' cat "$log" && ((code == 0))
}

middleware_sample() {
  serve connection-middleware &&
    answers 'ann: hello' nc -N 127.0.0.1 7083 <<<$'token-of-ann\nhello' &&
    answers 'unknown token' nc -N 127.0.0.1 7083 <<<$'token-of-eve\nhello'
}

redis_sample() {
  serve redis-server &&
    answers PONG redis-cli -p 7084 ping && answers OK redis-cli -p 7084 set key 41 && answers 42 redis-cli -p 7084 incr key &&
    answers 42 redis-cli -p 7084 get key && answers 1 redis-cli -p 7084 del key other && answers '' redis-cli -p 7084 get key &&
    answers OK redis-cli -p 7084 set key text && redis-cli -p 7084 incr key | grep 'not an integer' &&
    timeout 60 redis-benchmark -p 7084 -t ping_mbulk,set,get,incr -n 20000 -P 16 -q >"$temp/benchmark.log" && tr '\r' '\n' <"$temp/benchmark.log" | grep -c 'requests per second' |
    grep -x 4 && answers 20000 redis-cli -p 7084 get counter:__rand_int__
}

chat_sample() {
  serve chat-presence && timeout 20 python3 -c '
import socket
def join(name):
    client = socket.create_connection(("127.0.0.1", 7085), 10)
    client.sendall(name + b"\n")
    return client, client.makefile("rb")
def expect(file, line):
    got = file.readline()
    assert got == line + b"\n", (got, line)
ann, to_ann = join(b"ann")
expect(to_ann, b"* ann joined")
bob, to_bob = join(b"bob")
expect(to_ann, b"* bob joined")
expect(to_bob, b"* bob joined")
_, to_other = join(b"Bob")
expect(to_other, b"Bob is already here")
assert to_other.read() == b""
bob.sendall(b"hello\n/who\n")
expect(to_ann, b"bob: hello")
expect(to_bob, b"bob: hello")
expect(to_bob, b"* ann, bob")
bob.shutdown(socket.SHUT_WR)
expect(to_ann, b"* bob left")
assert to_bob.read() == b""
slow, _ = join(b"slow")
expect(to_ann, b"* slow joined")
for sent in range(5000):
    ann.sendall(b"x" * 30000 + b"\n")
    if to_ann.readline() == b"* slow left\n":
        break
else:
    raise AssertionError("the client that does not read is still there")
'
}

# cluster_host N: starts the Nth host with the command of the sample's README.
cluster_host() {
  start env DOTNET_ENVIRONMENT=Development $(sed -n 's/^    DOTNET_ENVIRONMENT=Development \(dotnet run.*\)/\1/p' samples/cluster-chat/README.md | sed -n "$1p" | sed 's/run /run --no-build /')
  wait_for 'Now listening on: tcp:'
}

cluster_sample() {
  local first
  dotnet build samples/cluster-chat && cluster_host 1 || return
  first=$pid
  cluster_host 2 && timeout 20 python3 -c '
import socket
def enter(port, nick):
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(nick + b"\n")
    file = client.makefile("rb")
    file.readline()
    return client, file
def expect(file, text):
    line = file.readline()
    assert text in line, (line, text)
ann, to_ann = enter(7007, b"ann")
expect(to_ann, b"* ann on ")
bob, to_bob = enter(7008, b"bob")
expect(to_ann, b"* bob on ")
expect(to_bob, b"* bob on ")
bob.sendall(b"hello\n/to Ann you only\n")
expect(to_ann, b"bob: hello\n")
expect(to_ann, b"bob to you: you only\n")
ann.sendall(b"/who\n/room other\nalone\n")
expect(to_ann, b", bob on ")
expect(to_ann, b" entered other\n")
expect(to_ann, b"ann: alone\n")
expect(to_bob, b"bob: hello\n")
expect(to_bob, b" left lobby\n")
again, to_again = enter(7007, b"Bob")
assert b"alone" not in to_bob.read()
' && stop "$pid" && stop "$first"
}

file_sample() {
  mkdir "$temp/files" && head -c 50000000 /dev/urandom >"$temp/files/data" && echo secret >"$temp/secret" &&
    serve file-transfer serve "$temp/files" &&
    answers "$(printf '%d %%\n' {10..100..10} && echo 'data: 50000000 bytes')" "${sample[@]}" samples/file-transfer.cs get data "$temp/copy" &&
    cmp "$temp/files/data" "$temp/copy" &&
    ! "${sample[@]}" samples/file-transfer.cs get ../secret "$temp/stolen" && [[ ! -e $temp/stolen ]]
}

# sidecar_sample N: its README's Nth command, and the client's; the certificate is in another folder.
sidecar_sample() {
  local readme=samples/tls-sidecar/README.md code=0
  dotnet build src/Host && cp samples/tls-sidecar/appsettings.json "$temp/" && serve_echo_if_needed || return
  start $(sed -n 's/^    \(dotnet run --project.*\)/\1/p' $readme | sed -n "$1p" | sed "s|samples/tls-sidecar/|$temp/|g;s|run |run --no-build |")
  wait_for 'tls://[^ ]*:7443' || return
  echoes_until_eof $(sed -n 's/^    \(openssl s_client.*\)/\1/p' $readme | sed "s|samples/tls-sidecar/|$temp/|") -verify_return_error || code=$?
  stop "$pid" && ((code == 0))
}

# The echo server of the first check, unless it failed.
serve_echo_if_needed() { answers hello nc -N 127.0.0.1 8888 <<<hello || serve echo-server; }

every_sample_is_listed() {
  local name missing=0
  for name in samples/*.cs samples/*/; do
    name=$(basename "$name")
    grep -F "]($name" samples/README.md || { echo "samples/README.md has no line for $name"; missing=1; }
  done
  return "$missing"
}

check "nc, curl, openssl, python3 and redis-tools are installed" install_peers
check "samples/*.cs build" build
check "a certificate" certificate
check "samples/README.md lists every sample" every_sample_is_listed
check "echo-server.cs answers echo-client.cs" echo_sample
check "tls-sidecar terminates TLS in front of echo-server.cs" sidecar_sample 1
check "tls-sidecar does so without a file" sidecar_sample 2
check "http-headers.cs gets headers over HTTP" http_sample
check "http-headers.cs gets headers over HTTPS" https_sample
check "wait-for-data.cs receives" wait_sample
check "web-and-stream.cs serves HTTP and bytes" web_sample
check "json-messages.cs has a basket per connection" json_sample
check "starttls.cs accepts mail by smtplib, only over TLS" starttls_sample
check "graceful-shutdown.cs completes the running job on SIGTERM" shutdown_sample
check "connection-middleware.cs accepts a token and rejects another" middleware_sample
check "redis-server.cs serves redis-cli and redis-benchmark" redis_sample
check "chat-presence.cs announces, lists and broadcasts" chat_sample
check "cluster-chat connects the clients of two hosts" cluster_sample
check "file-transfer.cs copies a file with progress, and nothing outside of its folder" file_sample
