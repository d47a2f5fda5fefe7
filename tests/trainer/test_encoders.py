"""What the tensors of published weights do not tell, but their configuration: it decides the features as much as they do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import tiny
from tests.trainer.test_clip import cut_down
from trainer import checkpoint, loop
from trainer import recipe as recipes
from trainer.data.features import tower_key
from trainer.errors import CheckpointError
from trainer.model.mmva import MMVA
from trainer.model.pretrained import fingerprint
from trainer.model.towers import TowerSpec
from trainer.session import Job

# Of each kind of published tower: modality, name, how to make a folder, and a change of configuration that leaves its tensors as they are.
KINDS: dict[str, tuple[str, Callable[[Path], Path], str, dict[str, Any]]] = {
    "clip": ("image", tiny.clip, "activation 'GELU', here it has 'QuickGELU'", {"quick_gelu": True}),
    "mert": ("music", tiny.mert, "do_stable_layer_norm False, here it has True", {"do_stable_layer_norm": True}),
    "roberta": ("text", tiny.roberta, "hidden_act 'gelu', here it has 'gelu_new'", {"hidden_act": "gelu_new"}),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def change(folder: Path, **settings: Any) -> None:
    """Change the configuration of the weights in a folder."""
    path = folder / "open_clip_config.json"
    if path.exists():
        config = json.loads(path.read_text())
        config["model_cfg"] |= settings
    else:
        path = folder / "config.json"
        config = json.loads(path.read_text()) | settings
    path.write_text(json.dumps(config))


def key(modality: str, spec: dict[str, Any]) -> str:
    tower = MMVA({modality: spec}).tower(modality)
    return tower_key(tower, spec, fingerprint(tower.backbone))


def write_checkpoint(folder: Path, kind: str, *, finetuned: bool = False) -> tuple[Path, Path]:
    """The weights' folder, and a checkpoint that was trained on them."""
    modality, make, _, _ = KINDS[kind]
    source = make(folder / kind)
    towers = {modality: {"name": kind, "source": str(source)}}
    model = MMVA(towers)
    model.freeze((modality,) if finetuned else ())
    notes = {} if finetuned else {"backbones": json.dumps({modality: fingerprint(model.tower(modality).backbone)})}
    path = folder / "trained.safetensors"
    checkpoint.save(path, model, "trained", towers, notes)
    return source, path


@EVERY_KIND
def test_cached_features_go_by_the_configuration_and_not_by_the_folder(tmp_path: Path, kind: str) -> None:
    modality, make, _, settings = KINDS[kind]
    one, other = ({"name": kind, "source": str(make(tmp_path / name))} for name in ("one", "other"))
    assert key(modality, one) == key(modality, other)
    change(tmp_path / "other", **settings)
    assert key(modality, one) != key(modality, other)


def test_cached_features_of_a_name_go_by_name_tag_and_activation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_down(monkeypatch, tmp_path, quick_gelu=True)
    keys = {
        (source, pretrained): key("image", {"name": "clip", "source": source, "pretrained": pretrained})
        for source, pretrained in [("ViT-B-32", "openai"), ("ViT-B-32-quickgelu", "openai"), ("ViT-B-32", "laion2b_s34b_b79k")]
    }
    assert len(set(keys.values())) == 3  # though the stub serves one file for all
    for (source, pretrained), found in keys.items():
        assert {"source": source, "pretrained": pretrained} in json.loads(found)
    assert '"activation": "QuickGELU"' in keys["ViT-B-32", "openai"]
    assert key("image", {"name": "clip"}) == keys["ViT-B-32", "openai"]


def test_another_vocabulary_is_another_text_tower(tmp_path: Path) -> None:
    one, other = ({"name": "roberta", "source": str(tiny.roberta(tmp_path / name))} for name in ("one", "other"))
    path = tmp_path / "other" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    first, last = list(words)[10], list(words)[-1]
    words[first], words[last] = words[last], words[first]
    path.write_text(json.dumps(tokenizer))
    assert key("text", one) != key("text", other)


@EVERY_KIND
@pytest.mark.parametrize("finetuned", [False, True])
def test_a_checkpoint_does_not_run_on_the_same_weights_otherwise(tmp_path: Path, kind: str, finetuned: bool) -> None:
    source, path = write_checkpoint(tmp_path, kind, finetuned=finetuned)
    checkpoint.build(checkpoint.read(path))
    modality, _, message, settings = KINDS[kind]
    change(source, **settings)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.build(checkpoint.read(path))
    assert f"{path}: its {modality} tower was trained with {message}: give it the weights" in str(caught.value)
    assert "\n" not in str(caught.value)


@EVERY_KIND
def test_a_checkpoint_from_before_the_note_runs_if_its_tower_is_as_it_was(tmp_path: Path, kind: str) -> None:
    _, path = write_checkpoint(tmp_path, kind)
    read = checkpoint.read(path)
    notes = {name: note for name, note in read.notes.items() if name != "encoders"}
    old = checkpoint.Checkpoint(path, "old", read.towers, read.tensors, notes)
    if kind == "clip":  # its first version ran OpenAI's weights on GELU
        with pytest.raises(
            CheckpointError, match=r"was trained with version 'clip/1', here it has 'clip/2': give it .*, or train it again"
        ):
            checkpoint.build(old)
    else:
        checkpoint.build(old)


def test_a_compact_tower_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towers: dict[str, TowerSpec] = {"image": {"name": "compact"}}
    path = tmp_path / "trained.safetensors"
    checkpoint.save(path, MMVA(towers), "trained", towers)
    checkpoint.build(checkpoint.read(path))
    monkeypatch.setattr("trainer.model.compact_image.CompactImageTower.version", "compact-image/99")
    older = checkpoint.read(path)
    del older.notes["encoders"]
    checkpoint.build(older)  # from before the note: it says nothing
    with pytest.raises(CheckpointError, match=r"image tower was trained with version 'compact-image/\d+', here it has 'compact-image/99'"):
        checkpoint.build(checkpoint.read(path))


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ('["image"]', "not of its form"), ('{"image": 1}', "not of its form")])
def test_a_note_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    _, path = write_checkpoint(tmp_path, "clip")
    read = checkpoint.read(path)
    for note in ("encoders", "backbones"):
        broken = checkpoint.Checkpoint(path, "broken", read.towers, read.tensors, {**read.notes, note: text})
        with pytest.raises(CheckpointError, match=f"its note '{note}' .*{message}"):
            checkpoint.build(broken)


@pytest.mark.parametrize("changed", ["configuration", "weights"])
def test_a_run_does_not_go_on_with_other_features(small: Path, tmp_path: Path, changed: str) -> None:
    source = tiny.clip(tmp_path / "clip")
    recipe = tmp_path / "image.toml"
    recipe.write_text(
        f'[towers.image]\nname = "clip"\nsource = "{source}"\n[model]\nsimilarity = false\n[train]\nepochs = 1\nbatch_size = 8\n'
    )

    def go_on(*changes: str, resume: bool) -> None:
        job = Job(recipes.load(str(recipe), changes), small, tmp_path / "run", cache=tmp_path / "features", resume=resume, device="cpu")
        loop.train(job)

    go_on(resume=False)
    go_on("train.epochs=2", resume=True)
    if changed == "weights":
        tiny.clip(source, seed=1)
        message = "began with other weights of its image tower: restore the weights"
    else:
        change(source, quick_gelu=True)
        message = r"its image tower was trained with activation .*: restore the weights and their configuration, or start a new run"
    with pytest.raises(CheckpointError, match=message):
        go_on("train.epochs=3", resume=True)
