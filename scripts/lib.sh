# Shell functions that ./run, ./test, ./dev and scripts/* share. Sourced, never run; it changes nothing
# but variables, and moves to the root of the tree.
# shellcheck shell=bash

script=$(realpath "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

# say TEXT…: one line of progress for people.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# fail TEXT…: one clear sentence on stderr, then exit 1.
fail() {
  printf '\033[1;31merror:\033[0m %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least WANTED ACTUAL: compares dotted versions.
version_at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1) == "$1" ]]; }

# show_help: prints the comment block at the head of the running script, which is its manual.
show_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$script"; }

# as_root COMMAND…: runs it with the rights that the package manager needs.
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; elif have sudo; then sudo "$@"; else return 1; fi
}

export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ccache}
export NINJA_STATUS='[%f/%t %es] '

# jobs: how many compilers at once: one a core, but two gigabytes of memory for each.
jobs() {
  local cores gigabytes
  cores=$(nproc)
  gigabytes=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  local by_memory=$((gigabytes / 2 > 1 ? gigabytes / 2 : 1))
  echo $((cores < by_memory ? cores : by_memory))
}

# prepare: everything that a build needs and a fresh machine lacks.
prepare() {
  scripts/install-packages
  scripts/fetch-servers
}

# build PRESET [TARGET…]: configures when needed and builds below build/PRESET, all targets when none is
# named. Progress goes to stderr, so that stdout stays for results.
build() {
  local preset=$1
  shift
  local targets=("$@")
  [[ $# != 0 ]] || targets=(all)
  say "building $preset: ${targets[*]} ($(jobs) at once)"
  {
    [[ -f build/$preset/build.ninja ]] || cmake --preset "$preset" || fail "CMake could not configure $preset."
    cmake --build "build/$preset" --parallel "$(jobs)" --target "${targets[@]}" || fail "the build of $preset failed."
  } >&2
}

# run_ctest PRESET [ctest arguments…]
run_ctest() {
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j2 "$@"
}

# node_script FOLDER NAME: installs what FOLDER's lock file says when that changed, and runs the npm script.
# Nothing to do where the folder is no Node project or has no such script.
node_script() {
  local folder=$1 name=$2
  [[ -f $folder/package.json ]] || return 0
  (
    cd "$folder" || exit 1
    if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
      say "installing Node packages of $folder"
      npm ci --no-audit --no-fund --loglevel=error >&2 || fail "npm could not install what $folder needs."
      touch node_modules/.package-lock.json
    fi
    npm run --silent --if-present "$name"
  )
}

# clang_format_14: the program's name. Versions disagree about details, so one of them decides.
clang_format_14() {
  local program
  for program in clang-format-14 clang-format; do
    have "$program" && [[ $("$program" --version) == *"version 14."* ]] && echo "$program" && return
  done
  return 1
}
