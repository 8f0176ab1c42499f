#!/bin/sh
# Makes .venv from requirements.lock and installs Weir into it, editable; does nothing when it is up to date.
# Called by the Makefile. Honours PYTHON and every setting of pip (PIP_INDEX_URL, PIP_NO_INDEX, PIP_FIND_LINKS…).
set -eu
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/weir.stamp # written last: a .venv without it is half-made, and is made anew
log=$venv/weir-pip.log
covered="CPython 3.11 to 3.15 on Linux with glibc 2.28 or newer, x86_64 or aarch64"

say() { printf 'weir: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Prints nothing when this Python is covered by the lock, else what it is. Any Python from 2.7 on can run it.
misfit='
import platform, sys
name, libc = platform.python_implementation(), platform.libc_ver()
try:
    libc_ok = libc[0] == "glibc" and tuple(map(int, libc[1].split(".")[:2])) >= (2, 28)
except ValueError:
    libc_ok = False
machine_ok = platform.machine() in ("x86_64", "aarch64") and sys.maxsize > 2**32
threads_ok = "free-threading" not in sys.version
if not (
    name == "CPython" and (3, 11) <= sys.version_info[:2] < (3, 16)
    and platform.system() == "Linux" and machine_ok and libc_ok and threads_ok
):
    libc_name = " ".join(libc).strip() or "another libc"
    print("%s %s%s on %s %s, %s" % (
        name, platform.python_version(), "" if threads_ok else " free-threaded",
        platform.system(), platform.machine(), libc_name,
    ))
'

# Sets $python to a covered interpreter, or ends with one line that says what is covered.
pick_python() {
    seen=""
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11 python3.15; fi
    for python in "$@"; do
        if what=$("$python" -c "$misfit" 2>/dev/null); then
            [ -n "$what" ] || return 0
            seen="$seen${seen:+; }$python is $what"
        elif [ -n "${PYTHON:-}" ]; then
            seen="$python does not run"
        fi
    done
    die "no suitable Python: ${seen:-none found}. The lock covers $covered; name one with PYTHON=/path/to/python3."
}

# Runs pip quietly. $1 says what for; on failure one line when it is for want of packages, else pip's own last words.
install() {
    what=$1
    shift
    if "$venv/bin/python" -m pip install --quiet --no-input --progress-bar off "$@" >"$log" 2>&1; then
        return 0
    fi
    if grep -q -E 'No matching distribution|Could not find a version|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Connection (refused|reset|aborted)|ProxyError|Could not install packages due to an OSError: HTTPS?ConnectionPool' "$log"; then
        die "could not get $what: a package index is needed that pip can reach, or PIP_NO_INDEX=1 with PIP_FIND_LINKS=FOLDER of wheels (pip's words: $log)."
    fi
    tail -n 20 "$log" >&2
    die "could not install $what (all of pip's words: $log)."
}

sum_of() { cksum "$@" | tr '\n' ' '; }

unset PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0

# One at a time, where flock is there (util-linux has it on every Linux but the smallest).
if command -v flock >/dev/null 2>&1; then
    exec 9>.venv.lock
    flock 9
fi

here=$(pwd -P)
lock_sum="lock $here $(sum_of requirements.lock)"
project_sum="project $(sum_of pyproject.toml src/weir/__init__.py)"

same_python() { # with PYTHON given, whether .venv was made by that very version
    [ -z "${PYTHON:-}" ] && return 0
    [ "$("$PYTHON" -c 'import sys; print(sys.version)' 2>/dev/null)" = "$("$venv/bin/python" -c 'import sys; print(sys.version)')" ]
}

if [ -f "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null && same_python && grep -q -x -F "$lock_sum" "$stamp"; then
    grep -q -x -F "$project_sum" "$stamp" && exit 0
    rm -f "$stamp"
else
    pick_python
    rm -rf "$venv"
    say "making $venv with $("$python" -c 'import platform as p, sys; print(p.python_implementation(), p.python_version(), sys.executable)')"
    if ! why=$("$python" -m venv "$venv" 2>&1); then
        rm -rf "$venv"
        die "$python cannot make a virtual environment; on Debian and Ubuntu install python3-venv ($(printf '%s' "$why" | tr '\n' ' ' | cut -c1-200))."
    fi
    say "installing the locked packages (about a minute)"
    install "the locked packages" --require-hashes -r requirements.lock
fi
install "weir itself" --no-deps --no-build-isolation -e .
printf '%s\n%s\n' "$lock_sum" "$project_sum" >"$stamp.new"
mv "$stamp.new" "$stamp"
say "$venv is ready"
