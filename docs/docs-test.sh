#!/usr/bin/env bash
# Runs the code and the commands of README.md, docs/applications.md, docs/asyncio.md and docs/coming-from as they are written, outside of the
# repository, with the packages of the feed.
#   docs/docs-test.sh
# Sources: .ci/checks.sh. Uses the ports and the sockets in /run that the pages name: as root.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

install_peers() {
  if type -P openssl curl python3 && nc -h 2>&1 | grep -q OpenBSD; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssl curl python3 netcat-openbsd
}

# block FILE LANGUAGE N [SECTION]: prints the Nth block of a language, of a section if one is named.
block() {
  awk -v language="$2" -v n="$3" -v section="${4:-}" '
    /^```/ { fenced = !fenced; on = fenced && $0 == "```" language && (section == "" || within) && ++blocks == n; next }
    !fenced && sub(/^#+ /, "") { within = $0 == section }
    on' "$1"
}

# readme_command COMMAND: the README has this command; notes that it is run.
readme_command() {
  grep -qxF "    $1" README.md || { echo "README.md has no line \"$1\""; return 1; }
  echo "$1" >>"$temp/commands"
}

# in_folder FOLDER COMMAND: runs a command of the README in a folder of $temp.
in_folder() {
  readme_command "$2" && env --chdir "$temp/$1" bash -euc "$2"
}

# .ci/run runs the others: they need the repository's own build.
every_command_is_run() {
  printf '%s\n' 'dotnet run --project src/Host' 'dotnet test' 'nc 127.0.0.1 7007' 'packaging/pack feed' >>"$temp/commands"
  diff <(awk '/^```/ { block = !block } !block && sub(/^    /, "")' README.md | sort) <(sort "$temp/commands")
}

# An empty HOME with the machine's package sources, if it has any configured, and the feed, which is "feed" of the clone's folder.
empty_home() {
  local sources=$HOME/.nuget/NuGet/NuGet.Config
  mkdir -p "$temp/home/.nuget/NuGet" "$temp/programs" "$temp/clone"
  [[ ! -e $sources ]] || cp "$sources" "$temp/home/.nuget/NuGet/"
  export HOME=$temp/home PATH="$temp/home/.dotnet/tools:$PATH"
  unset NUGET_PACKAGES DOTNET_CLI_HOME
  export MSBUILDDISABLENODEREUSE=1
  ln -s "$FEED" "$temp/clone/feed" && in_folder clone 'dotnet nuget add source "$PWD/feed"'
}

packages_install() {
  dotnet new console --output "$temp/app" && in_folder app 'dotnet add package ByteStreams' && in_folder app 'dotnet add package ByteStreams.Testing' &&
    dotnet build "$temp/app"
}

template_creates() {
  in_folder . 'dotnet new install ByteStreams.Templates' && in_folder . 'dotnet new bytestreams --output Service' && [[ -e $temp/Service/src/Service/Program.cs ]]
}

certificate() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$temp/programs/tls.key" -out "$temp/programs/tls.crt"
}

# The application is the tool's own echo, on the Unix socket of the README.
sidecar_relays() {
  local relay='streamshost relay tls://:7443 unix:/run/app.sock --cert tls.crt --key tls.key' application log pid
  readme_command "$relay" || return
  start streamshost --no-config --Admin:Enabled=false --ByteStreams:Endpoints:app:Url=unix:/run/app.sock --ByteStreams:Endpoints:app:Handler=echo
  wait_for 'Endpoint app listens on' || return
  application=$pid
  start env --chdir "$temp/programs" $relay
  wait_for 'Endpoint relay listens on' &&
    answers hello streamshost connect tls://localhost:7443 --ca "$temp/programs/tls.crt" <<<hello && stop "$pid" && stop "$application" && [[ ! -e /run/app.sock ]]
}

readme_programs() {
  local server
  program README.md csharp 1 || return
  start env --chdir "$temp/programs" "${program[@]}"
  wait_for '^Serving on' || return
  server=$pid
  program README.md csharp 2 && answers $'Send: Hello World!\nReceived: Hello World!\nClose the connection' "${program[@]}" &&
    wait_for '^Received from 127.0.0.1:[0-9]+: Hello World!$' && stop "$server"
  # The server has no handler of SIGTERM.
  (($? == 143))
}

# Except the reference to the package or the project, and the comment above the sample.
is_the_samples_code() {
  diff <(block README.md csharp "$1" | grep -vE '^(#:|//|$)') <(grep -vE '^(#:|//|$)' "$2")
}

# application NAME SECTION [STATEMENT]: starts a web application around the block of a section of docs/applications.md.
application() {
  local name=$1
  {
    printf '%s\n' '#:sdk Microsoft.NET.Sdk.Web' "$(block README.md csharp 1 | head -n 1)" 'using ByteStreams;' \
      'WebApplicationBuilder builder = WebApplication.CreateBuilder(args);' 'builder.WebHost.UseUrls("http://127.0.0.1:0");' "${3:-}"
    block docs/applications.md csharp 1 "$2"
    printf '%s\n' 'builder.Build().Run();' 'internal sealed class Shout : ByteStreamHandler' '{' \
      '    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)' '    {' \
      '        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is { } line) writer.Write(line.ToUpperInvariant() + "\n");' '    }' '}'
  } >"$temp/programs/$name.cs"
  dotnet build "$temp/programs/$name.cs" -o "$temp/programs/$name" || return
  start env --chdir "$temp/programs" "$temp/programs/$name/$name"
  wait_for 'Application started'
}

handlers_and_endpoints() {
  block docs/applications.md json 1 "Handlers and endpoints" >"$temp/programs/appsettings.json"
  local code=0
  application endpoints "Handlers and endpoints" && answers ONE nc -N 127.0.0.1 7080 <<<one && answers TWO nc -N -U /run/shout.sock <<<two && stop "$pid" || code=$?
  rm "$temp/programs/appsettings.json"
  return "$code"
}

# The client is not of the PROXY protocol's trusted networks.
middleware() {
  application middleware 'Connection middleware' 'builder.Services.AddByteStreams().AddHandler<Shout>("shout");' &&
    ! timeout 10 streamshost connect tls://localhost:7443 --ca "$temp/programs/tls.crt" <<<hello && wait_for 'ended: proxy_untrusted' && stop "$pid"
}

# The server of the section on reading: lines in one packet and in parts, and a partial line at the end.
batches() {
  program docs/applications.md csharp 1 "Three ways to read" || return
  start env --chdir "$temp/programs" "${program[@]}"
  wait_for '^Serving on' || return
  timeout 20 python3 - <<'PYTHON' && stop "$pid"
import socket
with socket.create_connection(("127.0.0.1", 7092), 10) as client:
    lines = client.makefile("rb")
    client.sendall(b"ping\npong\n\npi")
    assert [lines.readline() for _ in range(3)] == [b"pong\n", b"error\n", b"error\n"]
    client.sendall(b"ng\nping")
    assert lines.readline() == b"pong\n"
    client.shutdown(socket.SHUT_WR)
    assert lines.read() == b"pong\n"
PYTHON
  # The server has no handler of SIGTERM.
  (($? == 143))
}

# The server of the section on frames: two messages in one packet, and a hostile length.
frames() {
  program docs/applications.md csharp 1 "Frames and messages" || return
  start env --chdir "$temp/programs" "${program[@]}"
  wait_for '^Serving on' || return
  timeout 20 python3 - <<'PYTHON' && stop "$pid"
import socket, struct
def frame(text): return struct.pack(">I", len(text)) + text
with socket.create_connection(("127.0.0.1", 7093), 10) as client:
    answers = client.makefile("rb")
    client.sendall(frame(b"[1,2,39]") + frame(b"null"))
    assert answers.read(6) == frame(b"42")
    assert answers.read(5) == frame(b"0")
    client.sendall(b"\x80\0\0\0")
    try:
        raise AssertionError(answers.read())
    except ConnectionResetError:
        pass
PYTHON
  # The server has no handler of SIGTERM.
  (($? == 143))
}

# The handler and the HTTP endpoint of the section on sending to other connections.
other_connections() {
  local name=$temp/programs/feed url
  {
    printf '%s\n' '#:sdk Microsoft.NET.Sdk.Web' "$(block README.md csharp 1 | head -n 1)" 'using System.Text;' 'using ByteStreams;' \
      'WebApplicationBuilder builder = WebApplication.CreateBuilder(args);' 'builder.WebHost.UseUrls("http://127.0.0.1:0");' \
      'builder.Services.AddByteStreams().AddHandler<Feed>("feed").AddEndpoint("feed", "tcp://127.0.0.1:7091", "feed");' 'WebApplication app = builder.Build();'
    block docs/applications.md csharp 2 "Sending to other connections"
    echo 'app.Run();'
    block docs/applications.md csharp 1 "Sending to other connections"
  } >"$name.cs"
  dotnet build "$name.cs" -o "$name" || return
  start env --chdir "$temp/programs" "$name/feed"
  wait_for 'Application started' || return
  url=$(sed -nE 's/.*Now listening on: (http:[^ ]+).*/\1/p' "$log" | head -n 1)
  timeout 20 python3 - "$url" <<'PYTHON' && stop "$pid"
import socket, sys, time, urllib.request
def join(name):
    client = socket.create_connection(("127.0.0.1", 7091), 10)
    client.sendall(name + b"\n")
    return client, client.makefile("rb")
ann, to_ann = join(b"ann")
bob, to_bob = join(b"bob")
def post(text):
    urllib.request.urlopen(sys.argv[1] + "/news", text, 10).read()
# A client that receives the line has joined.
for client, lines in (ann, to_ann), (bob, to_bob):
    client.settimeout(0.2)
    while True:
        post(b"ready")
        try:
            assert lines.readline() == b"ready\n"
            break
        except TimeoutError:
            lines = client.makefile("rb")
    client.settimeout(10)
ann.sendall(b"hello\n")
line = b""
reader = bob.makefile("rb")
while line != b"ann: hello\n":
    line = reader.readline()
    assert line in (b"ready\n", b"ann: hello\n"), line
PYTHON
}

# program FILE LANGUAGE N [SECTION]: builds the block, once for equal blocks. $program is the command that runs it, without "dotnet run" between.
program() {
  local text name
  text=$(block "$@")
  [[ -n $text ]] || { echo "$1 has no block $3 of $2"; return 1; }
  name=program$(sha256sum <<<"$text" | head -c 16)
  if [[ $2 == python ]]; then
    program=(python3 "$temp/programs/$name.py")
    printf '%s\n' "$text" >"$temp/programs/$name.py"
    return
  fi
  program=("$temp/programs/$name/$name")
  [[ -e ${program[0]} ]] || { printf '%s\n' "$text" >"$temp/programs/$name.cs" && dotnet build "$temp/programs/$name.cs" -o "$temp/programs/$name"; }
}

# ends PID: the program ends within 30 s; returns its exit code.
ends() {
  for _ in {1..300}; do
    kill -0 "$1" 2>/dev/null || { wait "$1"; return; }
    sleep 0.1
  done
  echo "the program is still running"
  return 1
}

# page_program FILE LANGUAGE N: the block is a program that answers lines in upper case, and closes a connection with a line that is
# too long, and others when it is stopped.
page_program() {
  program "$@" || return
  local code=0
  serves || code=$?
  ((code == 0)) || stop "$pid" || true
  return "$code"
}

serves() {
  start env --chdir "$temp/programs" "${program[@]}"
  wait_for '^Serving on|Application started' || return
  timeout 60 python3 - "$pid" <<'PYTHON' && ends "$pid"
import os, signal, socket, sys
def connect():
    return socket.create_connection(("127.0.0.1", 7090), 20)
def receive(client):
    data = b""
    try:
        while block := client.recv(1000):
            data += block
    except ConnectionResetError:
        pass
    return data

with connect() as client:
    client.sendall(b"one\ntwo\n")
    client.shutdown(socket.SHUT_WR)
    data = receive(client)
    assert data == b"ONE\nTWO\n", data
with connect() as client:
    client.sendall(b"x" * 2000 + b"\n")
    data = receive(client)
    assert data == b"", data
with connect() as client:
    client.sendall(b"three\n")
    data = client.recv(100)
    assert data == b"THREE\n", data
    os.kill(int(sys.argv[1]), signal.SIGTERM)
    assert client.recv(100) == b""
PYTHON
}

feed
check "nc, curl, openssl and python3 are installed" install_peers
check "an empty HOME with the feed" empty_home
check "README.md: packages install" packages_install
check "README.md: the template creates a service" template_creates
check "README.md: the tool installs" in_folder . 'dotnet tool install --global StreamsHost'
check "README.md: server and client" readme_programs
check "README.md: the server is samples/echo-server.cs" is_the_samples_code 1 samples/echo-server.cs
check "README.md: the client is samples/echo-client.cs" is_the_samples_code 2 samples/echo-client.cs
check "a certificate" certificate
check "README.md: the sidecar relays" sidecar_relays
check "README.md: every command is run" every_command_is_run
check "applications.md: handlers and endpoints" handlers_and_endpoints
check "applications.md: connection middleware" middleware
check "applications.md: one await per batch" batches
check "applications.md: frames and messages" frames
check "applications.md: sending to other connections" other_connections

# Packages of SuperSocket and Bedrock.Framework are not built here: only the block of ByteStreams is run of their pages.
check "coming-from/tcplistener.md: TcpListener" page_program docs/coming-from/tcplistener.md csharp 1
check "coming-from/tcplistener.md: ByteStreams" page_program docs/coming-from/tcplistener.md csharp 2
check "coming-from/dotnetty.md: DotNetty" page_program docs/coming-from/dotnetty.md csharp 1
check "coming-from/dotnetty.md: ByteStreams" page_program docs/coming-from/dotnetty.md csharp 2
check "coming-from/supersocket.md: ByteStreams" page_program docs/coming-from/supersocket.md csharp 2
check "coming-from/bedrock.md: ByteStreams" page_program docs/coming-from/bedrock.md csharp 2
check "asyncio.md: asyncio" page_program docs/asyncio.md python 1
check "asyncio.md: ByteStreams" page_program docs/asyncio.md csharp 1
