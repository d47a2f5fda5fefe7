"""Where what can be computed again is kept between runs: the user's cache folder."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of this program's caches: `$XDG_CACHE_HOME/mmvatool`, `~/.cache/mmvatool` without it. It may not exist yet.

    A relative `XDG_CACHE_HOME` counts as none, as the XDG Base Directory Specification has it.

    Raises:
        RuntimeError: neither is set and the user has no home folder.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "mmvatool"
