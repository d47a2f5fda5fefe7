#!/usr/bin/env bash
# Summarize videos one after the other, and go on after a failure:
#
#     recipes/batch/loop.sh OUT-FOLDER VIDEO...
#     recipes/batch/loop.sh summaries clips/*.mp4
#
# `mmvatool summarize VIDEO... -o OUT-FOLDER/` does the same and loads the model once. A loop is for videos
# that need options of their own: here, a length given in the name, as in "talk.90s.mp4".
# Exits 0 if all went well, 1 if none did, 3 if some did, 2 if called wrongly.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 OUT-FOLDER VIDEO..." >&2
    exit 2
fi
out=$1
shift

done_count=0
failed_count=0
for video in "$@"; do
    options=()
    if [[ $video =~ \.([0-9]+s)\.[^.]*$ ]]; then
        options+=(--duration "${BASH_REMATCH[1]}")
    fi
    # The slash makes it a folder; -- keeps a name like -x.mp4 from being an option.
    if mmvatool summarize --skip-existing -o "$out/" ${options[@]+"${options[@]}"} -- "$video"; then
        done_count=$((done_count + 1))
    else
        code=$?
        if [ "$code" -ge 128 ]; then # interrupted
            exit "$code"
        fi
        failed_count=$((failed_count + 1))
    fi
done

echo "$done_count done, $failed_count failed" >&2
if [ "$failed_count" -eq 0 ]; then
    exit 0
elif [ "$done_count" -eq 0 ]; then
    exit 1
fi
exit 3
