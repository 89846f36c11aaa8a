#!/bin/sh
# Runs the tests on every supported Python that this machine has, each in an environment of its own.
#
#   tests/run_matrix.sh             all supported versions that are found: the main one all tests, each other one a
#                                   case of every test of the package, and not that of the next version
#   tests/run_matrix.sh 3.12        these versions, all cases; one that is not found is an error
#
# Options for pytest go into PYTEST_ADDOPTS. VENV names the main environment, whose Python comes first.
set -eu
cd "$(dirname "$0")/.."

# The tests start hundreds of interpreters: each would compile everything anew.
unset PYTHONDONTWRITEBYTECODE

venv=${VENV:-.venv}
make=${MAKE:-make}
supported="3.11 3.12 3.13"

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Prints a Python of version $1. It is started to make sure: the shim of a version manager may stand
# in the path and yet refuse to run.
find_python() {
    for python in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python3; do
        if [ "$(version_of "$python")" = "$1" ]; then
            echo "$python"
            return
        fi
    done
    return 1
}

# Prints the folder of the environment for version $1.
folder_for() {
    if [ "$1" = "$main" ]; then echo "$venv"; else echo "$venv-$1"; fi
}

main=$(version_of "$venv/bin/python") || main=none

# The main environment exists already and may hold a version newer than the list.
found=
missing=
case " ${*:-$supported $main} " in *" $main "*) found=" $main" ;; esac
for version in ${*:-$supported}; do
    if [ "$version" = "$main" ]; then
        continue
    elif find_python "$version" >/dev/null; then
        found="$found $version"
    else
        missing="$missing $version"
    fi
done
echo "Python versions found:${found:- none}${missing:+; not found:$missing}"
if [ -z "$found" ] || { [ $# -gt 0 ] && [ -n "$missing" ]; }; then
    exit 1
fi

# Environments first, one after another; then the tests, two versions at a time. What each prints is shown when it ends.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=
for version in $found; do
    folder=$(folder_for "$version")
    if [ "$version" = "$main" ]; then
        "$make" --silent --no-print-directory VENV="$folder" "$folder/.dev"
    else
        "$make" --silent --no-print-directory VENV="$folder" PYTHON="$(find_python "$version")" "$folder/.test"
    fi || { echo "no environment for Python $version"; exit 1; }
    # What is the same for all versions (packages, docs, the command line, benchmarks) is tested on the main one.
    case "$main" in
        "$version" | none) what=tests ;;
        *) what="tests/actors tests/runtime"; [ $# -gt 0 ] || what="--share 1 $what" ;;
    esac
    echo "$version $folder $what" >>"$logs/list"
done
xargs -P 2 -L 1 sh -c '
    logs=$0; version=$1; folder=$2; shift 2
    "$folder/bin/python" -m pytest "$@" >"$logs/$version.log" 2>&1 && touch "$logs/$version.passed"
    printf "\n== Python %s: %s\n" "$version" "$*"
    cat "$logs/$version.log"
' "$logs" <"$logs/list"
for version in $found; do
    [ -e "$logs/$version.passed" ] || failed="$failed $version"
done

printf '\nTests ran on Python%s: ' "$found"
if [ -n "$failed" ]; then
    echo "failed on$failed"
    exit 1
fi
echo "all passed"
