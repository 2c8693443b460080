#!/usr/bin/env bash
# Runs the code and the commands of README.md and docs/coming-from as they are written, outside of the repository, with the packages of the feed.
#   docs/docs-test.sh
# Sources: packaging/checks.sh. Uses the ports that the pages name.
source "$(dirname "${BASH_SOURCE[0]}")/../packaging/checks.sh"

install_peers() {
  if type -P openssl curl python3 && nc -h 2>&1 | grep -q OpenBSD; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssl curl python3 netcat-openbsd
}

# block FILE LANGUAGE N: prints the Nth block of a language.
block() {
  awk -v language="$2" -v n="$3" '/^```/ { on = $0 == "```" language && ++blocks == n; next } on' "$1"
}

# An empty HOME with the machine's package sources, if it has any configured, and the feed.
empty_home() {
  local sources=$HOME/.nuget/NuGet/NuGet.Config
  mkdir -p "$temp/home/.nuget/NuGet" "$temp/programs"
  [[ ! -e $sources ]] || cp "$sources" "$temp/home/.nuget/NuGet/"
  export HOME=$temp/home
  unset NUGET_PACKAGES DOTNET_CLI_HOME
  export MSBUILDDISABLENODEREUSE=1
  dotnet nuget add source "$FEED" --name feed
}

# program FILE LANGUAGE N: builds the block, once for equal blocks. $program is the command that runs it, without "dotnet run" between.
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

# Packages of SuperSocket and Bedrock.Framework are not built here: only the block of ByteStreams is run of their pages.
check "coming-from/tcplistener.md: TcpListener" page_program docs/coming-from/tcplistener.md csharp 1
check "coming-from/tcplistener.md: ByteStreams" page_program docs/coming-from/tcplistener.md csharp 2
check "coming-from/dotnetty.md: DotNetty" page_program docs/coming-from/dotnetty.md csharp 1
check "coming-from/dotnetty.md: ByteStreams" page_program docs/coming-from/dotnetty.md csharp 2
check "coming-from/supersocket.md: ByteStreams" page_program docs/coming-from/supersocket.md csharp 2
check "coming-from/bedrock.md: ByteStreams" page_program docs/coming-from/bedrock.md csharp 2
check "asyncio.md: asyncio" page_program docs/asyncio.md python 1
check "asyncio.md: ByteStreams" page_program docs/asyncio.md csharp 1
