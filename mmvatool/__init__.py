"""mmvatool: valence and arousal of pictures, music and words, and videos cut by them.

The Python API, imported when first used:

    from mmvatool import Settings, summarize
    summary = summarize("vlog.mp4", settings=Settings(ratio=0.2))
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = {"summarize": "mmvatool.summarize", "Settings": "mmvatool.summarize", "Summary": "mmvatool.summarize"}

__all__ = ["Settings", "Summary", "__version__", "summarize"]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_API[name])
    # Bound here so that the function, not the submodule of the same name, is found from now on.
    globals().update({entry: getattr(module, entry) for entry, home in _API.items() if home == _API[name]})
    return globals()[name]
