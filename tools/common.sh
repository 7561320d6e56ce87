# shellcheck shell=bash
# Sourced by the scripts of tools/ and .ci/: where the tree is, and how to run a stage quietly.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# quietly NAME COMMAND...: the output goes to build/NAME.log and is shown only when COMMAND fails.
quietly() {
  local log="$root/build/$1.log" status=0
  shift
  mkdir -p "$root/build"
  "$@" > "$log" 2>&1 < /dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log" >&2
    echo "failed (exit code $status): $*; the whole log is $log" >&2
  fi
  return "$status"
}

# The name by which dpkg knows the package of this machine's own architecture; nothing where it is
# not installed. Of other architectures, and of packages that were removed, dpkg knows as well.
installed_package() {
  local own
  own=$(dpkg --print-architecture)
  dpkg-query -W -f='${binary:Package} ${db:Status-Status}\n' "$1" 2> /dev/null |
    sed -nE "s/^([^: ]*(:$own)?) installed\$/\1/p" || true
}

# Configures build/, the one folder that tools/test and tools/demo share; arguments go to cmake.
# shellcheck disable=SC2120  # tools/demo has none
configure_release() {
  local card=90  # any one architecture will do where no card is there to run it
  local found
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -n 1 | tr -d .) || true
  if [[ $found =~ ^[0-9]+$ ]]; then card=$found; fi
  quietly configure cmake -S "$root" -B "$root/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DNAT_CUDA=AUTO -DCMAKE_CUDA_ARCHITECTURES="$card" -DNAT_ONEDNN=AUTO "$@"
}
