# Sourced by the other scripts: makes the virtual environment in .venv and keeps it in step with pyproject.toml.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv="$root/.venv"

# Name of a Python of at least 3.11, or nothing.
find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

# The environment is whole and was made for this folder: one that was moved has programs that point nowhere.
environment_stands() {
    [ "$(cat "$venv/.made-for" 2>/dev/null)" = "$root" ] && "$venv/bin/python" -c '' 2>/dev/null
}

# make_environment NAME REQUIREMENT [MORE ...]: .venv holds the REQUIREMENT ("." with or without extras), and MORE. NAME
# names its stamp, which says for which pyproject.toml and constraints.txt that was done: a second start installs nothing.
make_environment() {
    local name=$1 requirement=$2 stamp="$venv/.installed-$1" state python
    shift 2
    state=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
    if environment_stands && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
        return
    fi
    python=$(find_python)
    if [ -z "$python" ] && ! command -v uv >/dev/null; then
        echo "Kammerton needs Python 3.11 or newer, with its venv module" >&2
        return 1
    fi
    echo "Installing Kammerton ($name) into .venv; this is done once and takes a minute or two ..." >&2
    if command -v uv >/dev/null; then
        environment_stands || uv venv --quiet --seed --clear --python "${python:->=3.11}" "$venv" || return
        (cd "$root" && uv pip install --quiet --python "$venv/bin/python" --constraint constraints.txt \
            --editable "$requirement" "$@") || return
    else
        environment_stands || "$python" -m venv --clear "$venv" || return
        (cd "$root" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --constraint constraints.txt --editable "$requirement" "$@") || return
    fi
    echo "$root" >"$venv/.made-for"
    echo "$state" >"$stamp"
}
