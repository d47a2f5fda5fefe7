from pathlib import Path

import numpy as np
import pytest

from trainer.data.manifest import ClipRow, ImageRow, Manifest
from trainer.data.split import split
from trainer.errors import DataError


def manifest_of(images: int, clips_of_tracks: list[int]) -> Manifest:
    clips = [
        ClipRow(f"{track}-{number}", str(track), Path(f"{track}-{number}.wav"), (0.5, 0.5), "A song.", 2)
        for track, count in enumerate(clips_of_tracks)
        for number in range(count)
    ]
    rows = [ImageRow(f"{index}", Path(f"{index}.jpg"), (0.5, 0.5), index + 2) for index in range(images)]
    return Manifest(tuple(rows), tuple(clips), (), (), "")


# As in DEAM: excerpts of 13 clips and some full songs of up to 300.
DEAM_LIKE = manifest_of(1000, [13] * 300 + list(range(60, 300, 8)))


def test_no_track_and_no_image_is_in_two_parts_and_the_shares_are_right() -> None:
    parts = split(DEAM_LIKE)
    assert list(parts) == ["train", "val", "test"]
    for kind, key in (("images", "path"), ("clips", "track")):
        groups = [{getattr(row, key) for row in getattr(part, kind)} for part in parts.values()]
        assert len(set.union(*groups)) == sum(map(len, groups))
        total = len(getattr(DEAM_LIKE, kind))
        shares = [len(getattr(part, kind)) / total for part in parts.values()]
        np.testing.assert_allclose(shares, (0.8, 0.05, 0.15), atol=0.02)
        assert sum(len(getattr(part, kind)) for part in parts.values()) == total


def test_split_by_clip_leaks_tracks() -> None:
    parts = split(DEAM_LIKE, "clip")
    tracks = [{row.track for row in part.clips} for part in parts.values()]
    assert len(tracks[0] & tracks[2]) > 200
    ids = [{row.id for row in part.clips} for part in parts.values()]
    assert not ids[0] & ids[2]


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    turned = DEAM_LIKE.subset(range(1000), range(len(DEAM_LIKE.clips)))
    turned = Manifest(turned.images[::-1], turned.clips[::-1], (), (), "")

    def ids(data: Manifest, seed: int) -> set[str]:
        return {row.id for row in split(data, seed=seed)["test"].clips}

    assert ids(DEAM_LIKE, 3) == ids(turned, 3) != ids(DEAM_LIKE, 4)


def test_few_tracks_still_fill_every_part() -> None:
    for tracks in (3, 4, 7):
        parts = split(manifest_of(3, [5] * tracks))
        assert all(part.images and part.clips for part in parts.values())
    with pytest.raises(DataError, match="2 tracks cannot be split into 3 parts: at least 3"):
        split(manifest_of(9, [5, 5]))


def test_two_ids_of_one_file_stay_together() -> None:
    data = manifest_of(60, [2] * 60)
    twins = tuple(ImageRow(f"{row.id}.jpg", row.path, row.va, 99) for row in data.images)
    parts = split(Manifest((*data.images, *twins), data.clips, (), (), ""))
    for part in parts.values():
        assert len(part.images) == 2 * len({row.path for row in part.images})


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_impossible_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="three above 0"):
        split(DEAM_LIKE, fractions=fractions)


def test_unknown_split() -> None:
    with pytest.raises(DataError, match="split 'song': allowed are track, clip"):
        split(DEAM_LIKE, "song")
