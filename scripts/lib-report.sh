# shellcheck shell=bash
# How scripts/check and scripts/test report their steps and omissions. Needs lib.sh.
shopt -s inherit_errexit nullglob

# scripts/test hands its own list to the scripts/check that it runs.
skipped_list=${GRIDSPOOL_SKIPPED_LIST-}

# Usage: skip WHAT WHY
skip() {
  say "skipped $1: $2"
  [[ -z ${skipped_list} ]] || printf '%s: %s\n' "$1" "$2" >>"${skipped_list}"
  # Continuous integration must have all programs: there an omission is a fault.
  [[ ${CI-} != true ]] || failed=$((failed + 1))
}

# Runs a command, shows its output only if it fails, and counts in `passed` and `failed`. Skips it if its
# tool is missing. Usage: step WHAT TOOL COMMAND [ARGUMENT]...
passed=0 failed=0
step() {
  local what=$1 tool=$2 log status=0
  shift 2
  if ! command -v "${tool}" >/dev/null; then
    skip "${what}" "${tool} is not installed"
    return 0
  fi
  log=$(mktemp)
  # In the background, as set -e has no effect in a function left of "||".
  "$@" >"${log}" 2>&1 &
  wait "$!" || status=$?
  if ((status == 0)); then
    say "ok: ${what}"
    passed=$((passed + 1))
  else
    cat -- "${log}" >&2
    say "FAILED: ${what} (exit ${status})"
    failed=$((failed + 1))
  fi
  rm -- "${log}"
}

# Keeps what a runner printed of its failures, without backtraces, to be told again behind all else. Needs
# `scratch` with the log of the runner, and `causes`.
# shellcheck disable=SC2154  # the caller assigns them
keep_causes() {
  awk '
    /^failures:$/ { inside = !inside; next }
    /^test result: / { inside = 0 }
    /^not ok / { bats = 1; print; next }
    /^ok / { bats = 0 }
    bats && /^#/ || /^prove: VIOLATION: / { print }
    inside && NF && !/^ +[0-9]+: / && !/^ +at / { print }' "${scratch}/log" >>"${causes}"
}

# Runs a test runner, shows its output, and adds its totals. If it fails without a failed test (a build that
# breaks, say), that counts as one failure. Usage: run_tests COMMAND [ARGUMENT]...
run_tests() {
  local status=0 totals
  say "running $*"
  "$@" 2>&1 | tee "${scratch}/log" || status=$?
  ((status == 0)) || keep_causes
  # cargo: "test result: ok. 3 passed; 0 failed; …" per program; bats: "ok 1 name" per test.
  totals=$(awk '
    /^test result: / { passed += $4; failed += $6 }
    /^ok / && !/ # skip/ { passed++ }
    /^not ok / { failed++ }
    END { print passed + 0, failed + 0 }' "${scratch}/log")
  passed=$((passed + ${totals% *})) failed=$((failed + ${totals#* }))
  ((status == 0 || ${totals#* } > 0)) || failed=$((failed + 1))
}
