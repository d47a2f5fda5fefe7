from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.data.cache import CachedFeatures, ContentKeys, FeatureCache, text_key
from trainer.errors import DataError


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    keys = [text_key(str(number)) for number in range(6)]
    features = torch.arange(12.0).reshape(6, 2)
    cache = FeatureCache(tmp_path, "text", "tower")
    assert cache.missing(keys) == [0, 1, 2, 3, 4, 5]
    cache.add(keys[:2], features[:2])
    (cache.folder / ".half.partial").write_bytes(b"what a killed process was writing")

    again = FeatureCache(tmp_path, "text", "tower")
    assert again.missing(keys) == [2, 3, 4, 5]
    again.add(keys[2:], features[2:])
    again.refresh()
    assert again.missing(keys) == []
    assert torch.equal(CachedFeatures(again, keys)(np.array([5, 0, 0])), features[[5, 0, 0]])


def test_equal_content_is_computed_once(tmp_path: Path) -> None:
    assert FeatureCache(tmp_path, "text", "tower").missing(["a", "b", "a"]) == [0, 1]


def test_other_weights_have_other_features(tmp_path: Path) -> None:
    FeatureCache(tmp_path, "text", "one").add(["a"], torch.zeros(1, 2))
    assert FeatureCache(tmp_path, "text", "other").missing(["a"]) == [0]
    assert FeatureCache(tmp_path, "music", "one").missing(["a"]) == [0]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "text", "tower")
    cache.add(["a"], torch.zeros(1, 2))
    shard = cache.folder / "a.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"a\.safetensors: damaged feature cache .*: delete the file"):
        FeatureCache(tmp_path, "text", "tower")


def test_keys_follow_content_not_names(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in "abc"]
    first = ContentKeys(tmp_path).keys(paths)
    assert first[0] == first[2] != first[1]
    paths[0].write_bytes(b"three")
    second = ContentKeys(tmp_path).keys(paths)
    assert second[0] != first[0]
    assert second[1:] == first[1:]


def test_half_a_line_of_memory_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    expected = ContentKeys(tmp_path).keys([tmp_path / "a"])
    memory = tmp_path / "contents-0.tsv"
    memory.write_text(memory.read_text()[:20])
    assert ContentKeys(tmp_path).keys([tmp_path / "a"]) == expected
    assert ContentKeys(tmp_path)._known, "the file is remembered again after the half line"


def test_content_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")
    expected = ContentKeys(tmp_path).keys([tmp_path / "a"])
    monkeypatch.setattr("trainer.data.cache.hashlib.file_digest", None)
    assert ContentKeys(tmp_path).keys([tmp_path / "a"]) == expected


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: cannot be read"):
        ContentKeys(tmp_path).keys([tmp_path / "gone"])
