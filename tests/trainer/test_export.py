"""`mmvatool export`: towers as files that other programs can run."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

from tests.helpers import media, tiny
from tests.trainer.test_encoders import KINDS, write_checkpoint
from trainer import CheckpointError, LibraryLoadError, Predictor, TrainerError, checkpoint
from trainer import export as exporting
from trainer.commands.export import export as command
from trainer.export import export


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("finetuned", [False, True])
def test_the_papers_towers(tmp_path: Path, kind: str, finetuned: bool):
    """With weights of their own and with those that the checkpoint leaves out; the numbers are those of the predictor."""
    _, path = write_checkpoint(tmp_path, kind, finetuned=finetuned)
    (written,) = export(path, tmp_path / "model.onnx")
    assert written == tmp_path / "model.onnx"
    model, predictor = session(written), Predictor.load(path, device="cpu")
    about = model.get_modelmeta().custom_metadata_map
    assert (about["model"], about["fingerprint"], about["tower"].split("/")[0]) == ("trained", predictor.fingerprint, kind)
    assert [given.name for given in model.get_inputs()] == list(json.loads(about["inputs"]))
    assert [output.name for output in model.get_outputs()] == list(json.loads(about["outputs"])) == ["va", "embedding"]
    match kind:
        case "clip":
            pictures = np.stack([media.meadow((32, 32), 0), media.fireworks((32, 32), 1)])
            expected = predictor.image(pictures)
            given = {"image": pictures.transpose(0, 3, 1, 2)}
        case "mert":
            windows = tiny.waves(24000, 24000, 24000)
            expected = predictor.music(windows)
            given = {"sound": np.stack(windows)}
        case _:
            words = ["a calm sea", "a furious and terrible storm over the sea"]
            expected = predictor.text(words)
            tower = predictor._engine.model.tower("text")  # type: ignore[attr-defined]
            rows = [row.tolist() for row in tower.preprocess(words)]
            longest = max(map(len, rows))
            given = {
                "ids": np.array([row + [tower.padding] * (longest - len(row)) for row in rows]),
                "mask": np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
            }
    np.testing.assert_allclose(model.run(["va"], given)[0], expected, atol=1e-4)


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the bundled model's files."""
    out = tmp_path_factory.mktemp("compact")
    done = CliRunner().invoke(command, ["compact", "-o", str(out / "model.onnx")])
    assert done.exit_code == 0, done.output
    names = ["image.frames", "image.stills", "music", "text"]
    assert [line.split(": ")[0] for line in done.output.splitlines()] == [str(out / f"model.{name}.onnx") for name in names]
    return out


def test_the_bundled_model_of_all_towers(compact: Path, predictor: Predictor):
    assert sorted(path.name for path in compact.iterdir()) == [
        f"model.{name}.onnx" for name in ("image.frames", "image.stills", "music", "text")
    ]
    for form, still in (("frames", False), ("stills", True)):
        model = session(compact / f"model.image.{form}.onnx")
        *_, side = model.get_inputs()[0].shape
        pictures = np.stack([scene((side, side), 0) for scene in media.SCENES.values()])
        va, embeddings = predictor.image(pictures, embeddings=True, still=still)
        results = model.run(["va", "embedding"], {"image": pictures.transpose(0, 3, 1, 2)})
        np.testing.assert_allclose(results[0], va, atol=1e-4)
        np.testing.assert_allclose(results[1], embeddings, atol=1e-3)


def test_a_file_says_what_goes_in_and_what_comes_out(compact: Path, predictor: Predictor):
    about = session(compact / "model.music.onnx").get_modelmeta().custom_metadata_map
    assert about["fingerprint"] == predictor.fingerprint
    assert about["graph"] == "music"
    assert "float32 (N, 597)" in json.loads(about["inputs"])["features"]
    assert "valence, arousal" in json.loads(about["outputs"])["va"]
    assert "mirrored" not in about["inputs"]
    assert "photos" in session(compact / "model.image.stills.onnx").get_modelmeta().custom_metadata_map["inputs"]


def test_one_graph_has_the_name_that_was_given_and_nothing_is_replaced_unasked(tmp_path: Path):
    out = tmp_path / "frames.onnx"
    arguments = ["compact", "-o", str(out), "--tower", "image", "--form", "frames"]
    assert CliRunner().invoke(command, arguments).output.startswith(f"{out}: ")
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(TrainerError, match=r"frames.onnx: exists: give --overwrite"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert CliRunner().invoke(command, [*arguments, "--overwrite"]).exit_code == 0


def test_what_cannot_be_written_is_said_before_any_work(tmp_path: Path):
    with pytest.raises(TrainerError, match="no folder"):
        export("compact", tmp_path / "absent" / "model.onnx")
    with pytest.raises(CheckpointError, match="has no music tower"):
        export(write_checkpoint(tmp_path, "clip")[1], tmp_path / "model.onnx", ("music",))
    assert CliRunner().invoke(command, ["compact", "-o", str(tmp_path / "model.pt")]).exit_code == 2


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "model.onnx" / "folder").mkdir(parents=True)
    with pytest.raises(TrainerError, match=r"model\.onnx: cannot be written \(.*\); make room, or name another file"):
        export("compact", tmp_path / "model.onnx", ("music",), overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["model.onnx", "folder"]


@pytest.mark.parametrize("output", [0, 1], ids=["VA", "embedding"])
def test_other_numbers_than_torchs_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: int):
    forward = exporting._Graph.forward

    def differs(module, *given):
        results = list(forward(module, *given))
        if not exporting.torch.onnx.is_in_onnx_export():
            results[output] = results[output] + 0.1
        return tuple(results)

    monkeypatch.setattr(exporting._Graph, "forward", differs)
    with pytest.raises(TrainerError, match=r"music: (va|embedding) of the exported graph differs from torch's by 0.1: it was not written"):
        export("compact", tmp_path / "model.onnx", ("music",))
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("trainer.libraries._installed", lambda name: name != "onnx")
    with pytest.raises(LibraryLoadError, match=r"onnx is not installed: python.* -m pip install"):
        export("compact", tmp_path / "model.onnx", ("music",))


def test_graphs_stand_in_a_checkpoint_without_its_weights(compact: Path):
    """And are those of the files else: the same nodes."""
    stored = checkpoint.stored.read_arrays(checkpoint.resolve("compact"), ["onnx.music"])["onnx.music"]
    inside, outside = onnx.load_model_from_string(stored.tobytes()), onnx.load(compact / "model.music.onnx")
    assert [node.op_type for node in inside.graph.node] == [node.op_type for node in outside.graph.node]
    assert sum(len(tensor.raw_data) for tensor in inside.graph.initializer) < 10_000
