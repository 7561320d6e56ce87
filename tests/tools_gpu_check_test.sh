#!/usr/bin/env bash
# The logic of tools/gpu-check where there is no GPU, and of tools/setup: a copy of the script among programs that only
# pretend (nvidia-smi, compute-sanitizer, ctest, python3, ours), told by files in $FAKE how to behave.
#   fail-NAME, hang-NAME         the program NAME exits with 1, or takes a minute
#   unsteady                     two runs of the same training steps differ
#   blind-TOOL, error-TOOL-NAME  the sanitizer misses what was planted, or reports NAME
set -euo pipefail
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset OUT "${!NAT_@}"
export FAKE=$work/fake PATH=$work/path:$PATH
out=$work/build/gpu-check bin=$work/build/gpu/bin

# ---- the pretended machine ----------------------------------------------------------------------

mkdir -p "$work/tools" "$work/path" "$bin" "$FAKE"
cp "$source_tree"/tools/{gpu-check,gpu_pack.sh,gpu_tests.sh,common.sh,setup} "$work/tools"

cat > "$work/program" << 'END'
#!/usr/bin/env bash
name=$(basename "$0")
case " $* " in
  *' --count '*) echo "[doctest] unskipped test cases passing the current filters: 2"
                 exit ;;
esac
[ ! -e "$FAKE/hang-$name" ] || sleep 60
[ ! -e "$FAKE/fail-$name" ] || exit 1
case "$name $*" in
  gpu_tools_*) [ -x "$(dirname "$0")/nat" ] ;;  # the program that it tests lies beside it
  'nat train '*) mkdir -p "${!#}"
                 touch "${!#}"/{config.toml,metrics.csv,results.json} ;;
  bench_step*--check*) mkdir -p "${!#}"
                       if [ -e "$FAKE/unsteady" ]; then cat /proc/sys/kernel/random/uuid; fi \
                         > "${!#}/last" ;;
  *) echo "output of $name" ;;
esac
END

cat > "$work/path/nvidia-smi" << 'END'
#!/usr/bin/env bash
if [ -e "$FAKE/fail-nvidia-smi" ]; then
  echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
  exit 9
fi
case "$*" in
  *query-gpu=name*) echo "Pretended Card" ;;
  *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2 ;;
  *) echo "[N/A]" ;;
esac
END

cat > "$work/path/compute-sanitizer" << 'END'
#!/usr/bin/env bash
tool=$2 error=$4 program=$(basename "$5")
case "$program ${6:-}" in
  'gpu_controls clean') exit 0 ;;
  gpu_controls*) [ -e "$FAKE/blind-$tool" ] || exit "$error" ;;
  *) [ ! -e "$FAKE/error-$tool-$program" ] || exit "$error"
     "${@:5}" ;;
esac
END

# Our programs are scripts here, which hold no symbols.
cat > "$work/path/strip" << 'END'
#!/usr/bin/env bash
[ ! -e "$FAKE/fail-strip" ] || exit 1
cp "$3" "$2"
END

# On a machine that also knows packages of another architecture. apt-get leaves a list.
cat > "$work/path/dpkg" << 'END'
#!/usr/bin/env bash
echo amd64
END
cat > "$work/path/dpkg-query" << 'END'
#!/usr/bin/env bash
name=${!#} state=installed
[ ! -e "$FAKE/removed-$name" ] || state=config-files
case "$2" in
  *binary:Package*) printf '%s:amd64 %s\n%s:i386 not-installed\n' "$name" "$state" "$name" ;;
  *) printf '%snot-installed' "$state" ;;
esac
END
cat > "$work/path/apt-get" << 'END'
#!/usr/bin/env bash
echo "$*" >> "$FAKE/installed"
END
cat > "$work/path/id" << 'END'
#!/usr/bin/env bash
echo 0
END

chmod +x "$work/program" "$work/path/"*
for name in nat bench_{barriers,ceiling,conv,input,kernels,lap,step} gpu_controls \
  gpu_kernels_{reduce,lap}_test gpu_tools_commands_test; do
  ln -s "$work/program" "$bin/$name"
done
ln -s "$work/program" "$work/path/python3"

# ---- checks -------------------------------------------------------------------------------------

failures=0
complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# walk CODE FAKES PIECE...: gpu-check with these files in $FAKE must end with CODE.
walk() {
  local expected=$1 fakes=$2 code=0 fake
  shift 2
  rm -rf "$FAKE" "$out"
  mkdir -p "$FAKE"
  for fake in $fakes; do touch "$FAKE/$fake"; done
  "$work/tools/gpu-check" "$@" > "$work/log" 2>&1 || code=$?
  [ "$code" -eq "$expected" ] || complain "$* with '$fakes' exits with $code: $(tail -n 5 "$work/log")"
}
says() { grep -qF -- "$2" "$1" || complain "$(basename "$1") does not say '$2': $(tail -n 20 "$1")"; }

walk 2 '' tests
walk 6 fail-nvidia-smi test
says "$work/log" 'no usable NVIDIA GPU'
walk 1 '' build
says "$work/log" 'set NAT_CUDA_ARCH'

export OUT=$work/copy
walk 0 '' test sanitize lap bench pytorch summary
mkdir "$work/unpacked"
tar -xzf "$OUT/results.tar.gz" -C "$work/unpacked"
for file in summary.md lap-4096.txt sanitize-racecheck.txt; do
  cmp "$out/$file" "$work/unpacked/$file" || complain "$file is not copied to OUT"
done
unset OUT
says "$out/summary.md" '# Measured on Pretended Card'
says "$out/summary.md" 'clocks [N/A] SM'
says "$out/summary.md" 'twice: the same bytes'
says "$out/summary.md" 'racecheck, gpu_kernels_lap_test: clean'
says "$out/summary.md" '$ build/gpu/bin/bench_lap --device cuda --crew all --n 4096'
if grep -v '^build.txt' "$out/summary.md" | grep 'not run'; then complain "a piece has not run"; fi

walk 1 fail-gpu_kernels_lap_test test
says "$out/test.txt" 'FAILED: gpu_kernels_lap_test, case 2, exit code 1'
says "$out/test.txt" '4 of 6 test cases passed'
walk 1 unsteady test
says "$out/test.txt" 'not the same bytes'
walk 1 fail-bench_step test
says "$out/test.txt" 'run twice: failed'
walk 1 fail-bench_lap lap
says "$out/lap-256.txt" 'FAILED with exit code 1'
says "$out/barriers.txt" 'output of bench_barriers'
says "$work/log" 'FAILED: lap'
walk 0 fail-python3 lap pytorch
says "$out/pytorch.txt" 'not run: no PyTorch'

walk 0 '' processor summary
says "$out/summary.md" '$ build/gpu/bin/bench_step --device cpu --network alexnet --batch 32 --dtype bf16'
walk 1 fail-bench_step processor

walk 1 '' learn
says "$work/log" "NAT_PICTURES='' names no folder"
mkdir -p "$work/photographs/train"
NAT_PICTURES=$work/photographs walk 0 '' learn summary
says "$out/summary.md" '$ build/gpu/bin/nat eval all build/gpu-learn/run'
tar -C "$work" -cf "$work/photographs.tar" photographs
NAT_PICTURES=$work/photographs.tar walk 0 '' learn
says "$out/learn-train.txt" '/build/gpu-learn/pictures/photographs/ --network'
[ -e "$out/results.json" ] || complain "what was learnt is not kept"
NAT_PICTURES=$work/photographs walk 1 fail-nat learn

walk 1 error-racecheck-gpu_kernels_lap_test sanitize
says "$out/sanitize-racecheck.txt" 'racecheck, gpu_kernels_lap_test: ERRORS'
says "$out/sanitize-racecheck.txt" 'racecheck, gpu_kernels_reduce_test: clean'
walk 1 blind-memcheck sanitize
says "$out/sanitize-memcheck.txt" 'memcheck, planted mistake: void'
NAT_SANITIZE_TOOLS=memcheck walk 1 fail-gpu_kernels_reduce_test sanitize
says "$out/sanitize-memcheck.txt" 'gpu_kernels_reduce_test: failed with exit code 1'
[ ! -e "$out/sanitize-racecheck.txt" ] || complain "a tool runs that was not asked for"

# What hangs does so for a minute, and must be ended long before.
walk_in_time() {
  local began=$SECONDS
  walk "$@"
  [ $((SECONDS - began)) -lt 45 ] || complain "$2 is not ended in time"
}

export NAT_PIECE_SECONDS=4
NAT_SANITIZE_TOOLS=memcheck walk_in_time 0 hang-gpu_kernels_reduce_test sanitize
says "$out/sanitize-memcheck.txt" 'gpu_kernels_reduce_test: 2 of 2 cases not finished'
says "$out/sanitize-memcheck.txt" 'gpu_kernels_lap_test: clean'
walk_in_time 1 hang-bench_lap lap
says "$out/lap-256.txt" 'the time was up'
walk_in_time 1 hang-gpu_kernels_lap_test test
says "$out/test.txt" 'the time was up'
unset NAT_PIECE_SECONDS
NAT_CALL_SECONDS=4 walk_in_time 1 hang-bench_lap lap bench summary
says "$out/ceiling.txt" 'the time was up'
says "$out/summary.md" 'the time was up'

# Programs that were built elsewhere.
libraries=$work/.deps/usr/lib/x86_64-linux-gnu
mkdir -p "$libraries"
touch "$libraries"/lib{dnnl,OpenCL,tomlplusplus}.so.1
walk 0 '' ship
archive=$work/.deps/programs.tar.xz
mv "$archive" "$work/whole.tar.xz"
walk 1 fail-strip ship
[ ! -e "$archive" ] || complain "programs are shipped that could not be stripped"
rm "$libraries"/libdnnl.so.1
walk 1 '' ship
[ ! -e "$archive" ] || complain "programs are shipped without their libraries"
mv "$work/whole.tar.xz" "$archive"
rm -rf "$work/build" "$work/.deps/usr"
walk 0 '' build test
says "$out/build.txt" 'built on another machine'
says "$out/test.txt" '6 of 6 test cases passed'
[ -e "$work/build/gpu/lib/libdnnl.so.1" ] || complain "libraries are not brought along"

# tools/setup installs what is missing of this machine's own architecture, and nothing else.
rm -rf "$FAKE"
mkdir "$FAKE"
"$work/tools/setup" > "$work/log" 2>&1 || complain "setup fails: $(tail -n 5 "$work/log")"
[ ! -e "$FAKE/installed" ] || complain "setup installs what is there: $(cat "$FAKE/installed")"
touch "$FAKE/removed-cmake"
"$work/tools/setup" > "$work/log" 2>&1 || complain "setup fails: $(tail -n 5 "$work/log")"
says "$FAKE/installed" 'install --yes --no-install-recommends cmake'

[ "$failures" -eq 0 ] || exit 1
echo "gpu-check walks through its pieces"
