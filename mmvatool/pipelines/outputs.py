"""The files that a command writes: named and checked before any work is done, and written in one place."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmvatool.errors import OutputError
from mmvatool.files import check_name, write_file
from mmvatool.media.encode import CONTAINERS
from mmvatool.media.probe import MediaInfo
from mmvatool.plan.export import check_export, export
from mmvatool.plan.files import plan_file, write_plan
from mmvatool.plan.schema import Plan
from mmvatool.progress import Progress, no_progress


@dataclass(frozen=True)
class Outputs:
    """All files that one run of a command writes.

    Args:
        video: the rendered video. In a dry run it is only a name.
        beside: suffixes of the files beside the video, under the same name: ".json", ".png", ".html".
        plan: a plan for `render`.
        exports: timelines for editors.
        dry_run: whether nothing but the plan and the exports is written.
    """

    video: Path
    beside: tuple[str, ...] = ()
    plan: Path | None = None
    exports: tuple[Path, ...] = ()
    dry_run: bool = False

    @classmethod
    def resolve(
        cls,
        video: Path,
        inputs: Sequence[Path],
        *,
        beside: Sequence[str] = (),
        plan: Path | str | None = None,
        exports: Sequence[Path | str] = (),
        dry_run: bool = False,
        overwrite: bool = False,
    ) -> "Outputs":
        """Name every file and check that it can be written.

        Args:
            video: the rendered video.
            inputs: the files that are read: the video must be none of them.
            beside: suffixes of the files beside the video.
            plan: a file, or a folder in which the plan gets the video's name.
            exports: files, each with a suffix of `export.SUFFIXES`.
            dry_run: whether nothing but the plan and the exports is written.
            overwrite: whether files that exist may be replaced.

        Raises:
            OutputError: a file exists (without `overwrite`), is an input, has a suffix that cannot be written, or its folder is not there
                or not writable.
            SettingsError: exports need a package that is not installed.
        """
        outputs = cls(video, tuple(beside), None if plan is None else plan_file(plan, video), tuple(map(Path, exports)), dry_run)
        if not dry_run:
            if video.suffix.lower() not in CONTAINERS:
                raise OutputError(video, f"cannot write {video.suffix or 'a file without suffix'}: name it {', '.join(CONTAINERS)}")
            check_name(video)
            if video.exists() and any(path.exists() and video.samefile(path) for path in inputs):
                raise OutputError(video, "is the input itself: choose another name with -o")
            _check([video, *map(video.with_suffix, beside)], overwrite=overwrite)
        if outputs.plan is not None and outputs.plan.suffix.lower() != ".json":
            raise OutputError(outputs.plan, "a plan is JSON: name it .json")
        for path in outputs.exports:
            check_export(path)
        _check([*([] if outputs.plan is None else [outputs.plan]), *outputs.exports], overwrite=overwrite)
        return outputs

    @property
    def writes(self) -> bool:
        """Whether any file is written."""
        return not self.dry_run or self.plan is not None or bool(self.exports)

    def write_plan(self, plan: Plan, infos: Mapping[Path, MediaInfo], progress: Progress = no_progress) -> None:
        """Write the exports and the plan, as far as they were asked for; existing files are replaced.

        Args:
            plan: with its bounds on frames.
            infos: the videos in it, probed.
            progress: gets the number of files that have been hashed.

        Raises:
            OutputError: one cannot be written, or a format cannot express the plan.
            MediaError: a file of the plan cannot be read any more.
        """
        for path in self.exports:
            export(plan, infos, path)
        if self.plan is not None:
            write_plan(plan, self.plan, progress)

    def write_beside(self, documents: Mapping[str, Callable[[], str | bytes]]) -> None:
        """Write the files beside the video; existing ones are replaced.

        Args:
            documents: by suffix, a function that gives the content. It is called only where the file was asked for.

        Raises:
            OutputError: one cannot be written.
        """
        for suffix in self.beside:
            content = documents[suffix]()
            write_file(self.video.with_suffix(suffix), content.encode() if isinstance(content, str) else content)


def _check(files: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files that cannot be written.

    Raises:
        OutputError: one exists (without `overwrite`), or its folder is not there or not writable.
    """
    for file in files:
        check_name(file)
        if not file.parent.is_dir():
            raise OutputError(file, "its folder does not exist: create it, or choose another with -o")
        if not os.access(file.parent, os.W_OK):
            raise OutputError(file, "its folder is not writable: choose another with -o")
        if file.is_dir():
            raise OutputError(file, "is a folder: choose another name with -o")
        if file.exists() and not overwrite:
            raise OutputError(file, "already exists: use --overwrite or --skip-existing")
