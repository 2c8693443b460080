#!/usr/bin/env bash
# Makes substitute images, under the same names, for the base images of docker/'s files where they cannot be pulled.
#   docker/base-images.sh
# Needs root on Debian (or Ubuntu) with debootstrap, a .NET 10 SDK, and a Docker daemon (DOCKER_HOST as for docker itself).
# They are Debian, not Ubuntu: for tests of the Dockerfiles and compose files, not for deployment. They contain the machine's
# certificate authorities, so that a restore that works on the machine works in a build.
# DEBIAN_MIRROR replaces debootstrap's default mirror. The result is cached in ${XDG_CACHE_HOME:-~/.cache}/streamshost for a week.
set -euo pipefail
docker=${DOCKER:-docker}

suite=bookworm
packages=ca-certificates,gcc,libc6-dev,zlib1g-dev,libssl3,libstdc++6,haproxy,python3,redis-server
cache=${XDG_CACHE_HOME:-$HOME/.cache}/streamshost
system=$cache/$(echo "$suite $packages" | sha256sum | cut -c 1-16).tar
dotnet=$(dirname "$(readlink -f "$(command -v dotnet)")")
authorities=/etc/ssl/certs/ca-certificates.crt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z $(find "$system" -mtime -7 2>/dev/null) ]]; then
  # By default the log is written into the new system.
  debootstrap --variant=minbase --include="$packages" "$suite" "$work/system" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} \
    >"$work/debootstrap.log" 2>&1 || { cat "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work"/system/var/cache/apt/* "$work"/system/var/lib/apt/lists/* "$work"/system/usr/share/{doc,man,locale}/*
  mkdir -p "$cache"
  tar -C "$work/system" --exclude=./dev --exclude=./proc --exclude=./sys -cf "$system.new" .
  mv "$system.new" "$system"
  rm -rf "$work/system"
fi

mkdir "$work/system"
tar -C "$work/system" -xf "$system"
cp "$authorities" "$work/system/etc/ssl/certs/"
mkdir -p "$work/system"/{dev,proc,sys}

# import NAME FOLDER-ARGUMENTS... -- CHANGES...: a tar of these as an image.
import() {
  local name=$1 files=() changes=()
  shift
  while [[ $1 != -- ]]; do
    files+=("$1")
    shift
  done
  shift
  for change; do changes+=(--change "$change"); done
  tar -c --numeric-owner --transform "s,^${dotnet##*/},usr/share/dotnet," "${files[@]}" | "$docker" import "${changes[@]}" - "$name" >/dev/null
  echo "made $name"
}

# Like a "chiseled" image: the libraries that .NET loads, certificates and a user; no shell and no time zones.
chiseled() {
  local to=$work/chiseled library
  mkdir -p "$to"/{etc/ssl/certs,tmp,home/app,usr/lib,usr/bin,dev,proc,sys}
  for library in lib lib64; do
    [[ ! -L $work/system/$library ]] || cp -P "$work/system/$library" "$to/"
  done
  (
    cd "$work/system"
    tar -c usr/lib64 $(find usr/lib -regextype posix-extended \
      -regex '.*/(ld-linux-[^/]*|lib(c|m|dl|rt|pthread|resolv|nss_dns|nss_files|gcc_s|stdc\+\+|ssl|crypto|z))\.so\.[0-9.]+')
  ) | tar -C "$to" -x
  cp "$authorities" "$to/etc/ssl/certs/"
  printf 'root:x:0:0:root:/root:/sbin/nologin\napp:x:1654:1654::/home/app:/bin/false\n' >"$to/etc/passwd"
  printf 'root:x:0:\napp:x:1654:\n' >"$to/etc/group"
  printf 'hosts: files dns\n' >"$to/etc/nsswitch.conf"
  chmod 1777 "$to/tmp"
  chown 1654:1654 "$to/home/app"
}

aspnet() {
  cp -al "$work/chiseled" "$work/aspnet"
  mkdir -p "$work/aspnet/usr/share/dotnet"
  cp -a "$dotnet"/{dotnet,host,shared} "$work/aspnet/usr/share/dotnet/"
  ln -s /usr/share/dotnet/dotnet "$work/aspnet/usr/bin/dotnet"
  import mcr.microsoft.com/dotnet/aspnet:10.0-noble-chiseled -C "$work/aspnet" . -- \
    "ENV APP_UID=1654" "ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=true" "ENV DOTNET_RUNNING_IN_CONTAINER=true" "USER 1654"
}

sdk() {
  local revocation=()
  # The build restores packages with the settings of the machine.
  [[ -z ${NUGET_CERT_REVOCATION_MODE:-} ]] || revocation=("ENV NUGET_CERT_REVOCATION_MODE=$NUGET_CERT_REVOCATION_MODE")
  ln -s /usr/share/dotnet/dotnet "$work/system/usr/bin/dotnet"
  import mcr.microsoft.com/dotnet/sdk:10.0-noble-aot -C "$work/system" . -C "$(dirname "$dotnet")" "${dotnet##*/}" -- \
    "ENV APP_UID=1654" "ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1" "ENV DOTNET_NOLOGO=1" "ENV DOTNET_CLI_TELEMETRY_OPTOUT=1" \
    "${revocation[@]}" "CMD [\"/bin/bash\"]"
  "$docker" tag mcr.microsoft.com/dotnet/sdk:10.0-noble-aot mcr.microsoft.com/dotnet/sdk:10.0-noble
}

chiseled
import mcr.microsoft.com/dotnet/runtime-deps:10.0-noble-chiseled -C "$work/chiseled" . -- \
  "ENV APP_UID=1654" "ENV DOTNET_RUNNING_IN_CONTAINER=true" "USER 1654"
aspnet
import python:3-slim -C "$work/system" . -- 'CMD ["python3"]'
"$docker" build -q -t haproxy:lts - >/dev/null <<'DOCKERFILE'
FROM python:3-slim
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
DOCKERFILE
echo "made haproxy:lts"
"$docker" build -q -t redis:8 - >/dev/null <<'DOCKERFILE'
FROM python:3-slim
RUN mkdir /data && chown 999:999 /data
WORKDIR /data
CMD ["redis-server"]
DOCKERFILE
echo "made redis:8"
sdk
