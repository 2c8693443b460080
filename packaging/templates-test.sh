#!/usr/bin/env bash
# The templates as a stranger uses them: an empty HOME, the packed feed next to the machine's own package sources, and only the commands of the
# created README.md. Needs nc, openssl, curl and python3, and the ports 7007, 7017, 7027, 7037, 5027 and 5037 of the loopback address.
#   packaging/templates-test.sh
source "$(dirname "${BASH_SOURCE[0]}")/../.ci/checks.sh"

install_peers() {
  if type -P openssl curl python3 && nc -h 2>&1 | grep -q OpenBSD; then return; fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssl curl python3 netcat-openbsd
}

# The machine's package sources, if it has any configured, and the feed.
empty_home() {
  local sources=$HOME/.nuget/NuGet/NuGet.Config
  mkdir -p "$temp/home/.nuget/NuGet"
  [[ ! -e $sources ]] || cp "$sources" "$temp/home/.nuget/NuGet/"
  export HOME=$temp/home
  # No package of an earlier run, and no build node that keeps this HOME.
  unset NUGET_PACKAGES DOTNET_CLI_HOME
  export MSBUILDDISABLENODEREUSE=1
  dotnet nuget add source "$FEED" --name feed
}

# create NAME [OPTIONS...]: creates a service in $app.
create() {
  app=$temp/$1
  dotnet new bytestreams -o "$app" "${@:2}"
}

# in_it COMMAND...: runs it in the created folder.
in_it() { env --chdir "$app" "$@"; }

# indented COMMAND: the lines of the created README.md that start with this command.
indented() { sed -n "s/^    \($1\)/\1/p" "$app/README.md"; }

# serve: starts the service with the command of its README.md.
serve() {
  local command
  command=$(indented 'dotnet run')
  start env --chdir "$app" $command --no-build
  wait_for 'Application started'
}

tls_answers() {
  echoes_until_eof env --chdir "$app" $(indented 'openssl s_client') -verify_return_error
}

development_certificate() {
  in_it bash -euc "$(indented 'mkdir'; indented 'dotnet dev-certs')"
}

# The names of the template's own files and symbols, and conditions that were not evaluated.
no_placeholders() {
  [[ -e $app/README.md ]] && ! grep -rniE 'company|service[._-]+1|#ifn?|#el(se|if)|#endif|\{[a-z]+version\}' "$app" --exclude-dir=bin --exclude-dir=obj &&
    ! find "$app" -iname '*company*' | grep .
}

schema_is_there() {
  in_it python3 -c '
import glob, json, os
[path] = glob.glob("src/*/appsettings.json")
schema = json.load(open(os.path.join(os.path.dirname(path), json.load(open(path))["$schema"])))
assert "ByteStreams" in schema["properties"]'
}

versions_are_the_packed_ones() {
  local version
  version=$(basename "$FEED"/ByteStreams.Testing.*.nupkg .nupkg)
  grep -F "Include=\"ByteStreams\" Version=\"${version#ByteStreams.Testing.}\"" "$app/Directory.Packages.props" &&
    diff <(grep '"xunit.v3"' Directory.Packages.props) <(grep '"xunit.v3"' "$app/Directory.Packages.props")
}

# An option with a value that it does not take.
rejects() {
  local expected=$1
  shift
  ! dotnet new bytestreams -o "$temp/rejected" "$@" >"$temp/rejected.log" 2>&1 && grep -F -- "$expected" "$temp/rejected.log" && [[ ! -e $temp/rejected ]]
}

check "nc, openssl, curl and python3 are installed" install_peers
check "the feed is packed" feed
check "an empty HOME has the feed" empty_home

begin=$SECONDS
check "dotnet new install" dotnet new install ByteStreams.Templates
check "dotnet new bytestreams" create MyService
check "dotnet build without a warning" in_it dotnet build -warnaserror
check "dotnet test" in_it dotnet test --no-build
check "dotnet run" serve
check "nc gets its echo" answers hello nc -N 127.0.0.1 7007 <<<hello
check "SIGTERM stops it with exit code 0" stop "$pid"
seconds=$((SECONDS - begin))
check "from dotnet new install to the echo in $seconds s, below 60 s" test "$seconds" -lt 60

check "it refers to the packed version, and to the xunit.v3 of this repository" versions_are_the_packed_ones
check "its appsettings.json refers to a schema that exists" schema_is_there
check "no placeholder is left" no_placeholders
check "dotnet format has nothing to change" in_it dotnet format --no-restore --verify-no-changes

check "dotnet new bytestreams --tls, with a dash in the name" create My-Service --tls --port 7017
check "no placeholder is left" no_placeholders
check "it builds without a warning" in_it dotnet build -warnaserror
check "a development certificate" development_certificate
check "it starts" serve
check "openssl s_client verifies the certificate and gets its echo" tls_answers
check "it stops" stop "$pid"

check "dotnet new bytestreams --web, with a dot in the name" create My.Service --web --port 7027 --http-port 5027
check "no placeholder is left" no_placeholders
check "it builds without a warning" in_it dotnet build -warnaserror
check "it starts" serve
check "nc gets its echo" answers hello nc -N 127.0.0.1 7027 <<<hello
check "the page answers" answers '0 open connections' curl --silent --fail http://127.0.0.1:5027/
check "the health check answers" answers Healthy curl --silent --fail http://127.0.0.1:5027/healthz
check "it stops" stop "$pid"

check "dotnet new bytestreams --tls --web" create Both.My-Service --tls --web --port 7037 --http-port 5037
check "no placeholder is left" no_placeholders
check "it builds without a warning" in_it dotnet build -warnaserror
check "dotnet format has nothing to change" in_it dotnet format --no-restore --verify-no-changes
check "a development certificate" development_certificate
check "it starts" serve
check "openssl s_client verifies the certificate and gets its echo" tls_answers
check "the page answers" answers '0 open connections' curl --silent --fail http://127.0.0.1:5037/
check "it stops" stop "$pid"

check "a port that is not a number is rejected" rejects "--port" --port seven
