#!/bin/sh
# Makes .venv-focus, with PyPI's FOCUS validator, from requirements-focus.lock; does nothing when it is up to date.
# It stays out of .venv: the validator wants an older NumPy than Weir does, and one of CPython 3.11 or 3.12.
set -eu
cd "$(dirname "$0")/.."

venv=.venv-focus
stamp=$venv/weir.stamp
log=$venv/weir-pip.log
sum=$(cksum requirements-focus.lock)

unset PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0

[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && "$venv/bin/python" -c '' 2>/dev/null && exit 0
for python in .venv/bin/python python3.12 python3.11; do
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] > (3, 12))' 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "weir: PyPI's FOCUS validator runs on Python 3.11 and 3.12 alone, and neither is here" >&2; exit 1; }
rm -rf "$venv"
"$python" -m venv "$venv"
echo "weir: installing PyPI's FOCUS validator into $venv" >&2
if ! "$venv/bin/python" -m pip install --quiet --no-input --no-compile --progress-bar off --require-hashes \
    -r requirements-focus.lock >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "weir: could not install the FOCUS validator (all of pip's words: $log)" >&2
    exit 1
fi
printf '%s' "$sum" >"$stamp"
echo "weir: $venv is ready" >&2
