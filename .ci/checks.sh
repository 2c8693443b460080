# Sourced by .ci/run and by the scripts whose name ends in test.sh, each of which can be run on its own: they work in the repository's folder,
# and in $temp, which is removed with everything that was started. The last line is "N passed, N failed"; the exit code is not 0 if anything failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_UI_LANGUAGE=en

passed=0 failed=0
remarks=()
started=()
temp=$(mktemp -d "${TMPDIR:-/var/tmp}/bytestreams.XXXXXX")

# A script replaces it that has more to remove than what `start` has started.
remove() { :; }

finish() {
  local code=$?
  trap - EXIT
  for pid in "${started[@]}"; do stop "$pid" >/dev/null 2>&1 || true; done
  remove || { failed=$((failed + 1)) && remark "FAILED: everything that was started is removed"; }
  rm -rf "$temp"
  ((code == 0)) || failed=$((failed + 1))
  # Repeated at the end, because the output is long.
  ((${#remarks[@]} == 0)) || printf '%s\n' "${remarks[@]}"
  echo "$passed passed, $failed failed"
  ((failed == 0)) || exit 1
}
trap finish EXIT

# remark TEXT: printed here and at the end.
remark() {
  echo "$1"
  remarks+=("$1")
}

# check NAME COMMAND...: counts a pass or a fail, and shows the output of what failed.
check() {
  local name=$1
  shift
  if "$@" >"$temp/check.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    remark "FAILED: $name"
    sed 's/^/  | /' "$temp/check.log"
  fi
}

# start COMMAND...: runs it in the background, its output in $log, its process id in $pid.
start() {
  log=$temp/started.${#started[@]}.log
  : >"$log"
  "$@" >>"$log" 2>&1 &
  pid=$!
  started+=("$pid")
}

# wait_for TEXT: waits up to a minute, for a build included, for a line of the started program that matches.
wait_for() {
  for _ in {1..600}; do
    ! grep -qE "$1" "$log" || return 0
    kill -0 "$pid" || break
    sleep 0.1
  done
  echo "nothing matched '$1' in:"
  cat "$log"
  return 1
}

# stop PID: sends SIGTERM and returns the exit code; kills the program after 30 s.
stop() {
  local code=0
  kill -TERM "$1" || return
  for _ in {1..300}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" || code=$?
  return "$code"
}

# answers EXPECTED COMMAND...: the command prints exactly that within 10 s.
answers() {
  local expected=$1 answer
  shift
  answer=$(timeout 10 "$@") || return
  echo "$answer"
  [[ $answer == "$expected" ]]
}

# echoes_until_eof COMMAND...: a client whose standard input is sent to an echo prints it, and ends with code 0 when its input ends.
echoes_until_eof() {
  local fifo=$temp/input.${#started[@]} input code=0 pid log
  mkfifo "$fifo"
  start bash -c 'exec <"$0" && exec "$@"' "$fifo" "$@"
  exec {input}>"$fifo"
  echo hello >&"$input"
  wait_for '^hello$' || code=$?
  exec {input}>&-
  timeout 10 tail --pid="$pid" -f /dev/null && wait "$pid" && return "$code"
}

# The feed that the checks install from: all packages of this repository, packed once into $FEED, or into $temp where it is not set.
feed() {
  export FEED=${FEED:-$temp/feed}
  if [[ ! -d $FEED ]]; then
    packaging/pack "$FEED" >"$temp/pack.log" 2>&1 || { cat "$temp/pack.log"; return 1; }
  fi
}
