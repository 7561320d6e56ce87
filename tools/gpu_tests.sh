# Of tools/gpu-check, which sources it: the tests on the card, plain and under compute-sanitizer.
# shellcheck shell=bash
# The variables are gpu-check's.
# shellcheck disable=SC2154

# ---- test cases ---------------------------------------------------------------------------------

# Each test case runs in a process of its own: an error of the device ends only what it happened in.
# A case is NAME NUMBER, from 1; number 0 stands for a program that does not tell its cases.
list_cases() {  # list_cases PROGRAM
  local name=${1##*/}
  local count number
  count=$(timeout 60 "$1" --count 2>&1 | grep -oE '[0-9]+$' | tail -n 1) || true
  [ "${count:-0}" -gt 0 ] || echo "$name 0"
  for ((number = 1; number <= ${count:-0}; ++number)); do echo "$name $number"; done
}

# run_case FOLDER NAME NUMBER COMMAND...: the output to FOLDER, and a line to FOLDER/verdicts.
run_case() {
  local folder=$1 name=$2 number=$3 code=0
  shift 3
  if [ "$number" -eq 0 ]; then
    echo "$name does not tell its test cases" > "$folder/$name-0.log"
    code=1
  else
    "$@" "$test_programs/$name" "--first=$number" "--last=$number" > "$folder/$name-$number.log" 2>&1 || code=$?
  fi
  echo "$name $number $code" >> "$folder/verdicts"
}
export -f list_cases run_case
export test_programs=$bin

# run_cases FOLDER SECONDS AT-ONCE COMMAND...: the cases of the programs on stdin, each by COMMAND, to
# FOLDER: list, verdicts, logs. What has no verdict did not finish.
run_cases() {
  local folder=$1 limit=$2 at_once=$3
  shift 3
  rm -rf "$folder"
  mkdir -p "$folder"
  : > "$folder/verdicts"
  # shellcheck disable=SC2016  # for the shells that xargs starts
  xargs -d '\n' -r -P "$at_once" -n 1 bash -c 'list_cases "$1"' _ > "$folder/list" || true
  # shellcheck disable=SC2016
  within "$limit" xargs -r -P "$at_once" -n 2 \
    bash -c 'run_case "$0" "${@: -2}" "${@:1:$#-2}"' "$folder" "$@" < "$folder/list" || true
}

count_cases() {  # count_cases FOLDER PROGRAM-NAME CONDITION-ON-CODE
  awk -v name="$2" '(name == "" || $1 == name) && ('"$3"') {++n} END {print n + 0}' \
    "$1/verdicts"
}

# ---- test ---------------------------------------------------------------------------------------

test_verdicts='cases passed|FAILED|the time was up|run twice'

parity_tests() {  # parity_tests LOG
  local folder=$out/cases listed passed name number code
  find "$bin" -maxdepth 1 -name 'gpu_*_test' | sort | run_cases "$folder" 400 "$at_once" env
  while read -r name number code; do
    if [ "$code" -ne 0 ]; then
      echo "FAILED: $name, case $number, exit code $code"
      tail -n 40 "$folder/$name-$number.log"
    fi
  done < "$folder/verdicts" >> "$1"
  listed=$(wc -l < "$folder/list")
  passed=$(count_cases "$folder" '' "\$3 == 0")
  [ "$(wc -l < "$folder/verdicts")" -eq "$listed" ] || echo "tests: the time was up" >> "$1"
  echo "$passed of $listed test cases passed" >> "$1"
  [ "$listed" -gt 0 ] && [ "$passed" -eq "$listed" ]
}

# Three training steps, twice over: the files that they write (first and last parameters, losses)
# must be the same bytes.
same_steps() {  # same_steps LOG
  local run verdict='the same bytes'
  rm -rf "$out/steps-1" "$out/steps-2"
  for run in 1 2; do
    within 120 "$bin/bench_step" --device cuda --network alexnet --batch 64 --dtype bf16 \
      --check "$out/steps-$run" >> "$1" 2>&1 || verdict='failed, or the time was up'
  done
  if [ "$verdict" = 'the same bytes' ]; then
    diff -rq "$out/steps-1" "$out/steps-2" >> "$1" 2>&1 || verdict='not the same bytes'
  fi
  rm -rf "$out/steps-1" "$out/steps-2"
  echo "three training steps, run twice: $verdict" >> "$1"
  [ "$verdict" = 'the same bytes' ]
}

piece_test() {
  local log=$out/test.txt status=0
  require_build test || return
  : > "$log"
  parity_tests "$log" || status=1
  same_steps "$log" || status=1
  parity_tests "$log" || status=1
  grep -E "$test_verdicts" "$log" >&2 || true
  return "$status"
}

# ---- sanitize -----------------------------------------------------------------------------------

declare -A control_of=([memcheck]=out-of-bounds [racecheck]=race [initcheck]=uninitialised
                       [synccheck]=barrier)
sanitizer_error=99

# NAT_TEST_SAMPLE: under a sanitizer the tests of the assignment take a sample of their problems.
sanitize_with_tool=(env NAT_TEST_SAMPLE=1)

# void: the tool does not find what was planted. not run: it does not work here at all.
judge_control() {
  local tool=$1 log=$2 status=0
  within 60 "${sanitize_with_tool[@]}" "$bin/gpu_controls" clean >> "$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    echo "not run"
    return
  fi
  within 60 "${sanitize_with_tool[@]}" "$bin/gpu_controls" "${control_of[$tool]}" >> "$log" 2>&1 ||
    status=$?
  if [ "$status" -eq "$sanitizer_error" ]; then echo valid; else echo void; fi
}

# The programs whose kernels are ours; the libraries' own kernels are not on trial. The slowest come
# last: they may use the time that the others leave.
sanitized_programs() {
  local name
  for name in ${NAT_SANITIZE_TESTS:-permutation reduce nat_head targets softmax_xent sigmoid_xent sgd \
              cast preprocess batchnorm lap lap_hazards}; do
    find "$bin" -maxdepth 1 -name "gpu_kernels_${name}_test"
  done
}

judge_sanitized() {  # judge_sanitized FOLDER PROGRAM-NAME
  local folder=$1 name=$2 listed finished other
  listed=$(grep -c "^$name " "$folder/list") || true
  finished=$(count_cases "$folder" "$name" 1)
  other=$(awk -v name="$name" -v error="$sanitizer_error" \
    '$1 == name && $3 != 0 && $3 != error {print $3; exit}' "$folder/verdicts")
  if [ "$(count_cases "$folder" "$name" "\$3 == $sanitizer_error")" -gt 0 ]; then
    echo ERRORS
  elif [ -n "$other" ]; then
    echo "failed with exit code $other"
  elif [ "$finished" -lt "$listed" ]; then
    echo "$((listed - finished)) of $listed cases not finished"
  else
    echo clean
  fi
}

# Under one tool: verdicts to stdout.
sanitize_with() {
  local tool=$1 log=$out/sanitize-$1.log folder=$out/cases-$1 verdict status=0 program
  : > "$log"
  sanitize_with_tool+=("$sanitizer" --tool "$tool" --error-exitcode "$sanitizer_error")
  verdict=$(judge_control "$tool" "$log")
  echo "$tool, planted mistake: $verdict"
  [ "$verdict" != void ] || return 1
  [ "$verdict" = valid ] || return 0
  sanitized_programs |
    run_cases "$folder" 540 "$(((at_once + 3) / 4))" "${sanitize_with_tool[@]}"
  while read -r program; do
    verdict=$(judge_sanitized "$folder" "$(basename "$program")")
    case "$verdict" in ERRORS | failed*) status=1 ;; esac
    echo "$tool, $(basename "$program"): $verdict"
  done < <(sanitized_programs)
  return "$status"
}

piece_sanitize() {
  local tool tools running=() status=0
  require_build sanitize || return
  rm -f "$out/sanitize.txt"
  sanitizer=$(command -v compute-sanitizer || echo "$(find_toolkit)/bin/compute-sanitizer")
  if [ ! -x "$sanitizer" ]; then
    echo "not run: no compute-sanitizer on this machine" | tee "$out/sanitize.txt" >&2
    return 0
  fi
  read -ra tools <<< "${NAT_SANITIZE_TOOLS:-memcheck racecheck initcheck synccheck}"
  for tool in "${tools[@]}"; do
    if [ -z "${control_of[$tool]:-}" ]; then
      say "sanitize: no tool '$tool'; choose from ${!control_of[*]}"
      return 1
    fi
  done
  for tool in "${tools[@]}"; do
    sanitize_with "$tool" > "$out/sanitize-$tool.txt" &
    running+=($!)
  done
  for tool in "${running[@]}"; do wait "$tool" || status=1; done
  for tool in "${tools[@]}"; do cat "$out/sanitize-$tool.txt" >&2; done
  return "$status"
}
