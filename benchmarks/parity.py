"""How far apart the bundled model's numbers by ONNX Runtime and by torch are, on files as the commands read them.

    python -m benchmarks.parity PATH... [--text FILE]

Of pictures, sound and videos in the paths and of the lines of a text file: the largest difference of valence or arousal by modality;
whether the summaries of the videos (`--signal visual`, dry runs) are the same.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmvatool import summarize
from mmvatool.analysis.score import EVERY_S, Score, score
from mmvatool.errors import MmvatoolError
from mmvatool.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES
from trainer import Predictor, stored
from trainer.engines.onnx_engine import OnnxEngine
from trainer.engines.torch_engine import TorchEngine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--text", type=Path)
    asked = parser.parse_args()
    files = sorted(
        file for path in asked.paths for file in ([path] if path.is_file() else path.rglob("*")) if file.suffix.lower() in MEDIA_SUFFIXES
    )
    texts = asked.text.read_text(encoding="utf-8").splitlines() if asked.text else []
    loaded = stored.read("compact")
    engines = Predictor.load(device="cpu"), Predictor(TorchEngine("compact"), loaded)
    assert isinstance(engines[0]._engine, OnnxEngine)

    differences: dict[str, list[float]] = defaultdict(list)
    steps: dict[str, int] = defaultdict(int)
    for one, other in zip(*(score(files, texts, predictor=engine) for engine in engines), strict=True):
        for modality, ours, theirs in _numbers(one, other):
            differences[modality].append(float(np.abs(ours - theirs).max()))
            steps[modality] += len(ours)
    for modality, apart in differences.items():
        print(
            f"{modality:24}{len(apart):7} inputs {steps[modality]:7} predictions   at most {max(apart):.1e} apart, median {np.median(apart):.1e}"
        )
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    same = sum(_plan(video, engines[0]) == _plan(video, engines[1]) for video in videos)
    print(f"{'plans':24}{len(videos):7} inputs {same:7} the same")


def _numbers(one: object, other: object) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Of both engines: modality and VA (n, 2) of the parts of an input; nothing where it cannot be read."""
    if not (isinstance(one, Score) and isinstance(other, Score)):
        return
    if not len(one.curve.va):
        yield one.kind, np.array([[one.valence, one.arousal]]), np.array([[other.valence, other.arousal]])
    for modality, curve in (one.curves or {one.kind: one.curve}).items() if len(one.curve.va) else ():
        theirs = other.curves[modality] if one.curves else other.curve
        yield f"{modality}, every {EVERY_S:g} s", curve.va, theirs.va


def _plan(video: Path, predictor: Predictor) -> object:
    try:
        return summarize(video, predictor=predictor, dry_run=True, cache=False).timeline.segments
    except MmvatoolError as error:
        return str(error)


if __name__ == "__main__":
    main()
