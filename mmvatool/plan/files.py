"""A plan and the files that it reads: where it is written, what the files were, and whether they still are."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmvatool.analysis import pictures
from mmvatool.errors import MediaError
from mmvatool.files import fitting, is_own_output, write_file
from mmvatool.media import headers
from mmvatool.media.probe import MediaInfo, probe
from mmvatool.plan.schema import HASH_BYTES, Fingerprint, Plan
from mmvatool.progress import Progress, no_progress

SUFFIX = ".plan.json"


def plan_file(path: Path | str, video: Path) -> Path:
    """Where the plan of a video goes: a file as named, in a folder under the name of the video."""
    return fitting(Path(path), video.stem, SUFFIX) if Path(path).is_dir() else Path(path)


def default_output(path: Path, plan: Plan) -> Path:
    """Beside the plan: `vlog.summary.mp4` for `vlog.summary.plan.json`, `a.summary.mp4` for `a.json` (`soundtrack` where there is music)."""
    stem = path.name.removesuffix(SUFFIX).removesuffix(".json")
    if is_own_output(f"{stem}.mp4"):
        return path.with_name(f"{stem}.mp4")
    return fitting(path.parent, stem, f".{'summary' if plan.kind == 'cut' else 'soundtrack'}.mp4")


def write_plan(plan: Plan, path: Path, progress: Progress = no_progress) -> None:
    """Write a plan, with the fingerprints of the files that it reads; an existing file is replaced.

    Raises:
        OutputError: it cannot be written.
        MediaError: a file cannot be read any more.
    """
    marked = replace(plan, files=fingerprints(plan.paths, progress))
    write_file(path, (json.dumps(marked.to_json(path.parent), indent=2) + "\n").encode())


def fingerprints(paths: Sequence[Path], progress: Progress = no_progress) -> dict[Path, Fingerprint]:
    """Size and hash of files: all of each is read.

    Raises:
        MediaError: one is not there or cannot be read.
    """
    prints = {}
    with progress("hashing", len(paths)) as on_progress:
        for number, path in enumerate(paths, start=1):
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=HASH_BYTES)).hexdigest()
                    prints[path] = Fingerprint(file.tell(), content)
            except OSError as error:
                raise MediaError(
                    path, f"cannot be read ({error.strerror}): put it back where the plan names it, or change the plan"
                ) from error
            on_progress(number)
    return prints


def changed_files(plan: Plan, progress: Progress = no_progress) -> list[str]:
    """The files that are not what they were when the plan was written, or of which it has no fingerprint: a line each.

    Raises:
        MediaError: one is not there or cannot be read.
    """
    now = fingerprints(plan.paths, progress)
    unknown = [f"files: has no entry for {path}" for path in plan.paths if path not in plan.files]
    indices = {path: index for index, path in enumerate(plan.files)}
    return unknown + [
        f"files[{indices[path]}]: {path} was changed since" for path in plan.paths if path in plan.files and plan.files[path] != now[path]
    ]


def probe_videos(plan: Plan) -> dict[Path, MediaInfo]:
    """Probe the videos of a plan; of a slideshow also those that a person wrote without a segment.

    Raises:
        MediaError: one cannot be read.
    """
    stills = {clip.path for clip in plan.timeline.clips if plan.kind == "slideshow" and clip.source is None}
    paths = dict.fromkeys(clip.path for clip in plan.timeline.clips)
    return {path: probe(path) for path in paths if path not in stills or not pictures.is_picture(path)}


def track_lengths_s(plan: Plan) -> dict[Path, float]:
    """The lengths of the tracks of a plan in seconds, of those whose headers state one.

    Raises:
        MediaError: one cannot be read.
    """
    paths = dict.fromkeys(cue.path for cue in plan.timeline.cues)
    stated = {path: headers.read(path, "a sound file").stated_s for path in paths}
    return {path: stated_s for path, stated_s in stated.items() if stated_s is not None}
