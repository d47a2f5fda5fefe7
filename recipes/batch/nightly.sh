#!/usr/bin/env bash
# Every night: summarize what is new in a folder, keep a log, and keep the results of each night as JSON.
#
#     recipes/batch/nightly.sh IN-FOLDER OUT-FOLDER [OPTION...]
#     30 2 * * *  /path/to/recipes/batch/nightly.sh /srv/videos /srv/summaries --quiet    # in a crontab: at half past two
#
# In OUT-FOLDER: NAME.summary.mp4 and NAME.summary.json for each video; nightly.log; results/DATE-TIME.json for each run.
# Options go to `mmvatool summarize`. Exits as that does: 0 all done or nothing new, 1 nothing could be done (an empty
# IN-FOLDER, too: a disk may not be mounted), 2 called wrongly, 3 some videos failed; 75 while an earlier run is at work.
# Needs flock (util-linux).
set -euo pipefail

if [ $# -lt 2 ] || [ ! -d "$1" ]; then
    echo "usage: $0 IN-FOLDER OUT-FOLDER [OPTION...]" >&2
    exit 2
fi
# Absolute, so that a name like -in cannot be taken for an option.
in=$(CDPATH='' cd -- "$1" > /dev/null && pwd -P && echo .)
in=${in%$'\n.'} # a name may end in a newline, which $(...) would eat
mkdir -p -- "$2/results"
CDPATH='' cd -- "$2" > /dev/null
shift 2

# The lock goes with the process that holds it, however that ends.
exec 9> .nightly.lock
if ! flock -n 9; then
    echo "an earlier run is still at work: not started" | tee -a nightly.log >&2
    exit 75
fi

results="results/$(date +%Y-%m-%d-%H%M%S).json"
trap 'rm -f -- "$results.part"' EXIT
echo "== $(date '+%Y-%m-%d %H:%M:%S') start" >> nightly.log

# Messages go to the log and, so that cron mails them, to stderr.
set +e
{ mmvatool summarize --skip-existing --json -o ./ "$@" -- "$in" > "$results.part"; } 2>&1 | tee -a nightly.log >&2
code=${PIPESTATUS[0]}
set -e

if [ -s "$results.part" ]; then
    mv -- "$results.part" "$results"
fi
echo "== $(date '+%Y-%m-%d %H:%M:%S') exit code $code" >> nightly.log
exit "$code"
