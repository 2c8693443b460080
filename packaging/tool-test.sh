#!/usr/bin/env bash
# Tests the .NET tool as a user who has nothing but the .NET SDK and the feed: installs it, asks its version, lets it measure its own echo, and
# runs it without installation.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

# Runs a command with an empty HOME, outside of the repository.
alone=(env --chdir "$temp/work" HOME="$temp/home" NUGET_PACKAGES="$temp/nuget" PATH="$temp/home/.dotnet/tools:$PATH")

installs() {
  "${alone[@]}" dotnet tool install --global StreamsHost --version "$version"
}

version_is_true() {
  local printed
  printed=$("${alone[@]}" timeout 30 streamshost --version) || return
  echo "$printed"
  [[ $printed == "$version+$(git rev-parse HEAD)" ]]
}

# The command is the program itself, and not one that starts the runtime.
is_native() {
  [[ $(head -c 4 "$(readlink -f "$temp/home/.dotnet/tools/streamshost")") == $'\x7fELF' ]] &&
    ! compgen -G "$temp/home/.dotnet/tools/.store/streamshost/*/*/*/tools/*/*/StreamsHost.dll"
}

# runs_elsewhere PLATFORM: a package that would be installed only on another platform.
runs_elsewhere() {
  local printed
  mkdir "$temp/$1" && python3 -m zipfile -e "$FEED/StreamsHost.$1.$version.nupkg" "$temp/$1" &&
    printed=$(timeout 30 dotnet exec "$temp/$1/tools/net10.0/$1/StreamsHost.dll" --version) && [[ $printed == "$version+"* ]]
}

names_what_is_missing() {
  local output
  output=$("${alone[@]}" timeout 30 streamshost run 2>&1) && return 1
  echo "$output"
  [[ $output == *"ByteStreams:Endpoints: there is no endpoint"* ]]
}

measures_its_own_echo() {
  local port
  start "${alone[@]}" streamshost --Admin:Enabled=false --ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:0 --ByteStreams:Endpoints:echo:Handler=echo
  wait_for 'Endpoint echo listens on ' || return
  port=$(sed -nE 's/.*Endpoint echo listens on tcp:\/\/127\.0\.0\.1:([0-9]+).*/\1/p' "$log" | head -n 1)
  "${alone[@]}" timeout 60 streamshost bench "tcp://127.0.0.1:$port" --connections 8 --duration 1s | grep 'p99' && stop "$pid"
}

runs_without_installation() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  start "${alone[@]}" dotnet dnx --yes StreamsHost --version "$version" -- run --Admin:Enabled=false "--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:$port" \
    --ByteStreams:Endpoints:echo:Handler=echo
  wait_for 'Endpoint echo listens on ' && answers hello nc -N 127.0.0.1 "$port" <<<hello
}

feed
version=$(basename "$FEED"/StreamsHost.[0-9]*.nupkg .nupkg)
version=${version#StreamsHost.}
mkdir "$temp/home" "$temp/work"
cat >"$temp/work/nuget.config" <<XML
<configuration>
  <packageSources>
    <clear />
    <add key="feed" value="$FEED" />
  </packageSources>
</configuration>
XML

check "dotnet tool install --global StreamsHost" installs
check "streamshost --version is the version and the commit" version_is_true
check "it is compiled for this platform" is_native
check "the package for other platforms runs on the .NET runtime" runs_elsewhere any
check "the package for systems with musl runs on the .NET runtime" runs_elsewhere linux-musl-x64
check "streamshost run without a configuration names what is missing" names_what_is_missing
check "streamshost bench measures its own echo" measures_its_own_echo
check "dnx StreamsHost serves without installation" runs_without_installation
