"""mmvatool: video summaries, music and prompts by predicted valence and arousal.

The Python API, imported when first used:

    from mmvatool import SummarySettings, summarize
    summary = summarize("vlog.mp4", settings=SummarySettings(ratio=0.2))
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = {
    "Failure": "mmvatool.analysis.score",
    "Prompted": "mmvatool.pipelines.prompt",
    "Rendered": "mmvatool.pipelines.render",
    "Score": "mmvatool.analysis.score",
    "Soundtrack": "mmvatool.soundtracks.result",
    "SoundtrackSettings": "mmvatool.soundtracks.result",
    "Summary": "mmvatool.summary.result",
    "SummarySettings": "mmvatool.summary.settings",
    "prompt": "mmvatool.pipelines.prompt",
    "render": "mmvatool.pipelines.render",
    "score": "mmvatool.analysis.score",
    "search": "mmvatool.pipelines.search",
    "soundtrack": "mmvatool.pipelines.soundtrack",
    "summarize": "mmvatool.pipelines.summarize",
}

__all__ = [
    "Failure",
    "Prompted",
    "Rendered",
    "Score",
    "Soundtrack",
    "SoundtrackSettings",
    "Summary",
    "SummarySettings",
    "__version__",
    "prompt",
    "render",
    "score",
    "search",
    "soundtrack",
    "summarize",
]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_API[name]), name)
