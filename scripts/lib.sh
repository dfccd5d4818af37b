# Shell functions that ./run, ./test, ./dev and scripts/* share. Sourced, never run; it changes nothing
# but variables, and moves to the root of the tree.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
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
show_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# as_root COMMAND…: runs it with the rights that the package manager needs.
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; elif have sudo; then sudo "$@"; else return 1; fi
}
