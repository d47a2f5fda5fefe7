#!/usr/bin/env bash
# Summarize every video in a folder and the folders below, several at a time, each summary beside its video:
#
#     recipes/batch/parallel.sh FOLDER [JOBS [OPTION...]]
#     recipes/batch/parallel.sh ~/Videos 4 --ratio 0.1
#
# Run it again to do what is new. One process takes a batch of videos, so that the model is loaded once for each batch.
# Exits 0 if all went well, 1 if a video failed (the messages say which; the others are done), 2 if called wrongly.
set -euo pipefail

if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    echo "usage: $0 FOLDER [JOBS [OPTION...]]" >&2
    exit 2
fi
folder=$1
jobs=${2:-2}
shift "$(($# < 2 ? $# : 2))"

# Torch and ffmpeg each start a thread a core, which slows down processes that run side by side.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

CDPATH='' cd -- "$folder" > /dev/null
# Names begin with ./ and end in a NUL: nothing in them can be taken for an option or for two names. Without a file -r
# starts nothing. xargs exits 123 if a process failed.
code=0
find . -type f \( -iname '*.mp4' -o -iname '*.m4v' -o -iname '*.mov' -o -iname '*.mkv' -o -iname '*.webm' -o -iname '*.avi' \) \
    ! -name '*.summary.*' ! -path '*/.*' -print0 |
    xargs -0 -r -n "${BATCH:-8}" -P "$jobs" mmvatool summarize --skip-existing "$@" -- || code=$?
case $code in
    0) exit 0 ;;
    123) exit 1 ;;
    *) exit "$code" ;;
esac
