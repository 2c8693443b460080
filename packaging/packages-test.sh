#!/usr/bin/env bash
# Tests the packages: two packs are identical, packaging/validate.cs finds no defect, and an application that knows only the feed is built, run
# and compiled ahead of time.
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

install_peers() {
  if type -P python3 gcc && [[ -e /usr/include/zlib.h ]]; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 gcc libc6-dev zlib1g-dev
}

identical() {
  # Without a branch: the bytes depend on the commit alone.
  git clone --quiet . "$temp/again" && git -C "$temp/again" checkout --quiet --detach && "$temp/again/packaging/pack" "$temp/second" || return
  # The lists too: a file that only one of them has.
  diff --recursive "$FEED" "$temp/second"
}

valid() {
  local report
  report=$(dotnet run packaging/validate.cs -- "$FEED"/*.nupkg) || { echo "$report"; return 1; }
  [[ -z $report ]]
}

# removed NAME...: a copy of the library's package and its symbols without these files.
removed() {
  local kind
  for kind in nupkg snupkg; do
    python3 - "$FEED/ByteStreams.$version.$kind" "$temp/broken.$kind" "$@" <<'PYTHON' || return
import sys, zipfile
source, target, *names = sys.argv[1:]
with zipfile.ZipFile(source) as package, zipfile.ZipFile(target, "w") as copy:
    for entry in package.infolist():
        if entry.filename not in names:
            copy.writestr(entry, package.read(entry))
PYTHON
  done
}

# The validator reports what is removed, each in a line, and nothing else.
invalid() {
  local report lib=lib/net10.0/ByteStreams
  removed icon.png README.md $lib.xml $lib.pdb || return
  report=$(dotnet run packaging/validate.cs -- "$temp/broken.nupkg") && return 1
  echo "$report"
  diff <(sort <<<"$report") - <<TEXT
broken.nupkg: $lib.dll has no XML documentation
broken.nupkg: the icon is missing or not a PNG of 128 by 128 pixels
broken.nupkg: the readme is missing
broken.nupkg: the symbols of $lib.dll are missing
TEXT
}

# consumer COMMAND...: runs it in the application's folder with an empty HOME and these packages only from the feed.
consumer() {
  env --chdir "$temp/consumer" HOME="$temp/home" NUGET_PACKAGES="$temp/nuget" Packed="$version" TreatWarningsAsErrors=true "$@"
}

says_both() {
  local output
  output=$(consumer timeout 60 "$@") || return
  echo "$output"
  [[ $output == $'ONE\nTWO' ]]
}

compiled_ahead_of_time() {
  local log
  log=$(consumer dotnet publish --configuration Release --runtime linux-x64 --output out 2>&1) || { echo "$log"; return 1; }
  ! grep -E 'warning (IL|CS)' <<<"$log" && says_both out/consumer
}

# A cluster host with ByteStreams.Orleans, which does not support native AOT.
cluster() {
  local orleans
  orleans=$(sed -nE 's/.*Microsoft\.Orleans\.Server" Version="([^"]+)".*/\1/p' Directory.Packages.props)
  cp -r packaging/cluster "$temp/cluster" && rm -rf "$temp/cluster/bin" "$temp/cluster/obj" && cp "$temp/consumer/nuget.config" "$temp/cluster/" || return
  # All other packages come from the user's package folder.
  env --chdir "$temp/cluster" NUGET_PACKAGES="$temp/nuget" RestoreFallbackFolders="${NUGET_PACKAGES:-$HOME/.nuget/packages}" \
    Packed="$version" Orleans="$orleans" dotnet build || return
  # In its own folder, without the configuration of StreamsHost.
  start env --chdir "$temp/cluster" bin/Debug/net10.0/cluster --urls http://127.0.0.1:5087
  wait_for 'Application started' &&
    answers Healthy curl --silent --fail --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:5087/readyz &&
    answers hello nc -N 127.0.0.1 7087 <<<hello &&
    stop "$pid"
}

# A client by ByteStreams.Extensions and its service, compiled ahead of time.
client() {
  local log
  cp -r packaging/client "$temp/client" && rm -rf "$temp/client/bin" "$temp/client/obj" && cp "$temp/consumer/nuget.config" "$temp/client/" || return
  # All other packages come from the user's package folder.
  log=$(env --chdir "$temp/client" NUGET_PACKAGES="$temp/nuget" RestoreFallbackFolders="${NUGET_PACKAGES:-$HOME/.nuget/packages}" Packed="$version" \
    dotnet publish --configuration Release --runtime linux-x64 --output out 2>&1) || { echo "$log"; return 1; }
  ! grep -E 'warning (IL|CS)' <<<"$log" && [[ $("$temp/client/out/client") == 42 ]]
}

check "python3, gcc and zlib1g-dev are installed" install_peers
feed
version=$(basename "$FEED"/ByteStreams.[0-9]*.nupkg .nupkg)
version=${version#ByteStreams.}
mkdir "$temp/home"
cp -r packaging/consumer "$temp/consumer"
rm -rf "$temp/consumer/bin" "$temp/consumer/obj"
cat >"$temp/consumer/nuget.config" <<XML
<configuration>
  <packageSources>
    <add key="feed" value="$FEED" />
  </packageSources>
</configuration>
XML

check "two packs are identical" identical
check "packaging/validate.cs finds no defect" valid
check "packaging/validate.cs finds defects" invalid
check "an application with the packages is built without a warning" consumer dotnet build
check "it runs" says_both dotnet run --no-build
check "a host with ByteStreams.Orleans becomes ready and delivers messages" cluster
check "a client by ByteStreams.Extensions is compiled ahead of time without a warning, and gets its answer" client
check "it is compiled ahead of time without a warning, and runs" compiled_ahead_of_time
