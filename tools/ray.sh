#!/bin/sh
# Makes .venv-ray, with a Ray to test the Ray driver on, from requirements-ray.lock; does nothing when it is up to date.
# It stays out of .venv: Weir imports none of it, and it is larger than everything else together.
set -eu
cd "$(dirname "$0")/.."

venv=.venv-ray
stamp=$venv/weir.stamp
log=$venv/weir-pip.log
sum=$(cksum requirements-ray.lock)

unset PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0

[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && "$venv/bin/python" -c '' 2>/dev/null && exit 0
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
echo "weir: installing Ray into $venv (about a minute)" >&2
if ! "$venv/bin/python" -m pip install --quiet --no-input --progress-bar off --require-hashes -r requirements-ray.lock >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "weir: could not install Ray (all of pip's words: $log)" >&2
    exit 1
fi
printf '%s' "$sum" >"$stamp"
echo "weir: $venv is ready" >&2
