"""Checkpoints: written and read back, and every way in which one can be wrong."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from trainer import CheckpointError, Predictor, checkpoint
from trainer.model.mmva import MMVA
from trainer.model.towers import VERSIONS

TOWERS = {"image": {"name": "compact"}}


@pytest.fixture(scope="module")
def model() -> MMVA:
    """The compact model with random weights."""
    torch.manual_seed(0)
    return MMVA(TOWERS).eval()


@pytest.fixture
def saved(model: MMVA, tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    checkpoint.save(path, model, "own", TOWERS, {"recipe": "none", "licence": "CC0"})
    return path


def rewrite(path: Path, metadata: dict[str, str] | None = None, **tensors: torch.Tensor | None) -> Path:
    """Write a checkpoint again with other metadata and tensors; None drops a tensor, `__` stands for a dot."""
    with safe_open(path, framework="pt") as file:
        old = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        metadata = dict(file.metadata()) if metadata is None else metadata
    new = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    merged = {key: tensor for key, tensor in {**old, **new}.items() if tensor is not None}
    save_file(merged, path, metadata=metadata)
    return path


def test_round_trip(model: MMVA, saved: Path):
    read = checkpoint.read(saved)
    assert (read.path, read.name, read.towers) == (saved, "own", TOWERS)
    assert read.notes == {"recipe": "none", "licence": "CC0", "encoders": json.dumps({"image": {"version": VERSIONS["image", "compact"]}})}
    built = checkpoint.build(read)
    assert not built.training
    for key, tensor in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(built.state_dict()[key], tensor, atol=0, rtol=0)


def test_saving_replaces_whole_and_leaves_nothing_else(model: MMVA, saved: Path):
    checkpoint.save(saved, model, "new", TOWERS)
    assert checkpoint.read(saved).name == "new"
    assert list(saved.parent.iterdir()) == [saved]
    assert saved.stat().st_mode & 0o444 == 0o444  # others may read it


def test_saving_that_fails_leaves_the_old_file(model: MMVA, saved: Path, monkeypatch: pytest.MonkeyPatch):
    before = saved.read_bytes()
    monkeypatch.setattr(model, "state_dict", lambda: dict.fromkeys(("one", "another"), torch.zeros(1)))
    with pytest.raises(RuntimeError, match="share memory"):
        checkpoint.save(saved, model, "broken", TOWERS)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_half_precision_is_read_as_float32(saved: Path):
    rewrite(saved, heads__image__0__bias=torch.full((512,), 0.5, dtype=torch.float16))
    built = checkpoint.build(checkpoint.read(saved))
    assert {tensor.dtype for tensor in built.parameters()} == {torch.float32}
    assert built.heads["image"][0].bias[0] == 0.5


def test_the_bundled_model_by_name_and_by_path():
    by_name = checkpoint.read("compact")
    assert by_name.name == "compact"
    assert by_name.path == checkpoint.WEIGHTS_DIR / "compact.safetensors"
    assert checkpoint.read(by_name.path).towers == by_name.towers
    assert {modality: spec["name"] for modality, spec in by_name.towers.items()} == dict.fromkeys(("image", "music", "text"), "compact")


def test_the_card_of_the_bundled_model_and_the_notes_of_another(saved: Path):
    assert checkpoint.read("compact").card.startswith("# Model card: `compact`")
    saved.with_suffix(".md").write_text("not this one's")
    assert checkpoint.read(saved).card.splitlines()[1:] == ["licence: CC0", "recipe: none"]


def test_the_name_is_the_files_where_it_says_none(saved: Path):
    rewrite(saved, {"format": checkpoint.FORMAT, "towers": json.dumps(TOWERS)})
    assert checkpoint.read(saved).name == "own"


@pytest.mark.parametrize("name", ["nonesuch", "missing.safetensors", "."])
def test_no_such_model(name: str):
    with pytest.raises(CheckpointError, match=r"no model .*: give compact, or the path of a \.safetensors checkpoint"):
        Predictor.load(name)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_truncated(saved: Path, kept: float):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="not a readable safetensors checkpoint") as caught:
        Predictor.load(saved)
    assert str(caught.value).startswith(f"{saved}: ")


def test_a_pickle_is_never_loaded(saved: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (saved.with_name("sprung"),)  # type: ignore[return-value]

    saved.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="truncated or a pickle"):
        Predictor.load(saved)
    assert not saved.with_name("sprung").exists()


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, {"format": "mmvatool.checkpoint/99", "towers": json.dumps(TOWERS)}])
def test_another_format(saved: Path, metadata: dict[str, str]):
    with pytest.raises(CheckpointError, match=r"format .*, expected 'mmvatool.checkpoint/1'"):
        Predictor.load(rewrite(saved, metadata))


@pytest.mark.parametrize("towers", [None, "", "not json", "3"])
def test_metadata_without_towers(saved: Path, towers: str | None):
    metadata = {"format": checkpoint.FORMAT, **({} if towers is None else {"towers": towers})}
    with pytest.raises(CheckpointError, match="does not say which towers it needs"):
        Predictor.load(rewrite(saved, metadata))


def test_towers_of_no_modality(saved: Path):
    with pytest.raises(CheckpointError, match="does not say which towers it needs"):
        Predictor.load(rewrite(saved, {"format": checkpoint.FORMAT, "towers": json.dumps({"video": {"name": "compact"}})}))


@pytest.mark.parametrize(
    ("tower", "words"),
    [
        ({"name": "resnet"}, "unknown image tower 'resnet': allowed are compact, clip"),
        ({}, "unknown image tower None"),
        ({"name": "compact", "width": "2"}, "image tower 'compact' does not take these settings"),
    ],
)
def test_unknown_towers_and_settings(saved: Path, tower: dict[str, str], words: str):
    with pytest.raises(CheckpointError, match=words):
        Predictor.load(rewrite(saved, {"format": checkpoint.FORMAT, "towers": json.dumps({"image": tower})}))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"heads__image__0__bias": None}, r"1 tensors missing \['heads.image.0.bias'\], 0 left over"),
        ({"towers__image__backbone__frames__0__0__weight": None}, "1 tensors missing"),
        ({"heads__music__0__bias": torch.zeros(2)}, r"0 tensors missing \[\], 1 left over \['heads.music.0.bias'\]"),
        ({"heads__image__0__bias": torch.zeros(511)}, "its tensors do not fit its towers"),
    ],
    ids=["missing in the head", "missing in the tower", "left over", "wrong shape"],
)
def test_tensors_that_do_not_fit(saved: Path, tensors: dict[str, torch.Tensor | None], words: str):
    with pytest.raises(CheckpointError, match=words):
        Predictor.load(rewrite(saved, **tensors))
