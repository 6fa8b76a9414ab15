#!/bin/sh
# Stands in for a Python interpreter, as far as msx uses one; for uv too, which is called as `uv pip …`.
PATH=/usr/bin:/bin
case "$1 $2" in
"-c "*)
    echo '@PROBE@' | sed "s|@SELF@|$0|"
    ;;
"-m venv")
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    ;;
"-m pip" | "pip install")
    for word in "$@"; do
        [ "$before" = --target ] && mkdir -p "$word/installed"
        [ "$before" = -r ] && grep -q broken "$word" && fails=yes
        before=$word
    done
    echo "Collecting some"
    echo "Collecting packages"
    if [ "$fails" ]; then
        echo "ERROR: No matching distribution found for broken" >&2
        exit 1
    fi
    echo "Installing collected packages: some, packages, more"
    ;;
"venv --python")
    mkdir -p "$4/bin"
    cp "$3" "$4/bin/python"
    ;;
"-m msx._discover")
    shift 3
    answer=$1
    shift
    [ "$1" = exits ] && { echo "goodbye" >&2; exit 3; }
    [ "$1" = silent ] && exit 0
    printf '%s' "$1" >"$answer"
    ;;
esac
