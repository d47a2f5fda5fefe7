"""TVSum's files in small: annotations, the v7.3 .mat as MATLAB writes it, the eccv16 h5."""

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from mmvatool.tvsum.protocol import Annotation


def annotation(video: str, starts: Sequence[int], frames: int, users: Sequence[str]) -> Annotation:
    """Users' scores as digits, one for each shot."""
    scores = np.array([[float(digit) for digit in user] for user in users])
    return Annotation(video, np.repeat(scores, np.diff([*starts, frames]), axis=1), np.array(starts))


def write_json(path: Path, annotations: Sequence[Annotation]) -> Path:
    """As tvsum_annotations.json is, without what is not read."""
    rows = [
        {
            "video": one.video,
            "nframes": one.frames,
            "shot_starts": one.starts.tolist(),
            "user": ["".join(f"{score:.0f}" for score in user) for user in one.rated],
        }
        for one in annotations
    ]
    path.write_text(json.dumps(rows), "utf-8")
    return path


def write_mat(path: Path, annotations: Sequence[Annotation], rate: float = 25.0) -> Path:
    """A struct array as MATLAB's v7.3 has it: columns of object references, text as numbers of two bytes, doubles transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        struct, kept = file.create_group("tvsum50"), file.create_group("#refs#")
        struct.attrs["MATLAB_class"] = np.bytes_("struct")
        columns: dict[str, list[np.ndarray]] = {
            "video": [_text(one.video) for one in annotations],
            "category": [_text("VT") for _ in annotations],
            "title": [_text("A title") for _ in annotations],
            "length": [np.array([[one.frames / rate]]) for one in annotations],
            "nframes": [np.array([[float(one.frames)]]) for one in annotations],
            "user_anno": [one.scores for one in annotations],
            "gt_score": [one.mean[None] for one in annotations],
        }
        for name, cells in columns.items():
            for row, cell in enumerate(cells):
                kept.create_dataset(f"{name}{row}", data=cell)
            references = [[kept[f"{name}{row}"].ref] for row in range(len(cells))]
            struct.create_dataset(name, data=np.array(references, dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: MACI64".ljust(124) + b"\x00\x02IM")
    return path


def write_h5(path: Path, videos: dict[str, dict[str, object]]) -> Path:
    """A group for each video, as eccv16_dataset_tvsum_google_pool5.h5 has them."""
    with h5py.File(path, "w") as file:
        for key, entries in videos.items():
            for name, value in entries.items():
                file.create_dataset(f"{key}/{name}", data=value)
    return path


def _text(text: str) -> np.ndarray:
    return np.array([[ord(char)] for char in text], np.uint16)
