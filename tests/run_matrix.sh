#!/bin/sh
# Runs the tests on every supported Python that this machine has, each in an environment of its own.
#
#   tests/run_matrix.sh             all supported versions that are found: the main one all tests, each other one a
#                                   case of every test of the package, and not that of the next version
#   tests/run_matrix.sh 3.12        these versions, all cases; one that is not found is an error
#
# pytest is called more than once, two calls at a time. What a call prints is shown when it ends.
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

run_make() {
    "$make" --silent --no-print-directory "$@"
}

[ -x "$venv/bin/python" ] || run_make VENV="$venv" "$venv/bin/python"
main=$(version_of "$venv/bin/python")

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

# A line for each call: version, environment, its stamp, who makes it, arguments. The longest come first. What is the same
# for all versions (packages, docs, the command line, benchmarks) is tested on the main one.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
package="tests/actors tests/runtime"
case "$found" in *" $main"*) run_make VENV="$venv" "$venv/.dev" ;; esac  # two calls use it, so it is made before them
for version in $found; do
    if [ "$version" = "$main" ]; then
        echo "$version $venv .dev $venv/bin/python $package"
        echo "$version $venv .dev $venv/bin/python --ignore tests/actors --ignore tests/runtime tests"
    elif [ $# -gt 0 ]; then
        echo "$version $venv-$version .test $(find_python "$version") $package"
    else
        echo "$version $venv-$version .test $(find_python "$version") --share 1 $package"
    fi
done >"$logs/calls"
export make
xargs -P 2 -L 1 sh -c '
    logs=$0; version=$1; folder=$2; stamp=$3; python=$4; shift 4
    log=$(mktemp "$logs/XXXXXX")
    {
        "$make" --silent --no-print-directory VENV="$folder" PYTHON="$python" "$folder/$stamp" &&
            "$folder/bin/python" -m pytest "$@"
    } >"$log" 2>&1 || echo "$version" >>"$logs/failed"
    printf "\n== Python %s: %s\n" "$version" "$*"
    cat "$log"
' "$logs" <"$logs/calls"
failed=$(sort -u "$logs/failed" 2>/dev/null | tr '\n' ' ')

printf '\nTests ran on Python%s: ' "$found"
if [ -n "$failed" ]; then
    echo "failed on $failed"
    exit 1
fi
echo "all passed"
