"""ONNX Runtime beside torch: the same numbers, whatever the threads and the batches, and which of the two predicts."""

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.helpers import media, tiny
from trainer import CheckpointError, Predictor, checkpoint, predict, stored
from trainer.engines.onnx_engine import OnnxEngine, RuntimeException
from trainer.engines.torch_engine import TorchEngine
from trainer.export import attach_graphs
from trainer.model.mmva import MMVA

WORDS = ["a calm evening by the sea", "Stop! A furious, terrible fight over 100 dogs?", "joy", "...", "", "qzzxv blorft", "hoping " * 90]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(20, 180, 320, 3): every scene at four times."""
    return np.stack([scene((320, 180), time_s) for scene in media.SCENES.values() for time_s in range(4)])


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    beat = np.arange(24000 * 4) / 24000
    tune = np.sin(2 * np.pi * 330 * beat) * np.exp(-5 * (beat % 0.5))
    return [*tiny.waves(24000, 100_000, 2400, 240_000), (0.4 * tune).astype(np.float32), np.zeros(24000, np.float32)]


@pytest.fixture(scope="module")
def with_torch() -> Predictor:
    return Predictor(TorchEngine("compact"), stored.read("compact"))


def assert_near(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], atol: float = 1e-3) -> None:
    """VA to `atol`, embeddings to this part of their largest number."""
    np.testing.assert_allclose(one[0], other[0], atol=atol, rtol=0)
    np.testing.assert_allclose(one[1], other[1], atol=atol * np.abs(other[1]).max(), rtol=0)


def test_the_bundled_model_runs_on_onnx_runtime_on_cpus(predictor: Predictor):
    assert isinstance(predictor._engine, OnnxEngine)
    assert predictor.warnings == []


@pytest.mark.parametrize("still", [False, True])
def test_both_see_the_same(predictor: Predictor, with_torch: Predictor, frames: np.ndarray, still: bool):
    some = frames[::4] if still else frames
    assert_near(predictor.image(some, embeddings=True, still=still), with_torch.image(some, embeddings=True, still=still), atol=1e-4)


def test_both_hear_the_same(predictor: Predictor, with_torch: Predictor, sounds: list[np.ndarray]):
    assert_near(predictor.music(sounds, embeddings=True), with_torch.music(sounds, embeddings=True), atol=1e-4)
    assert (predictor.sample_rate_hz, predictor.window_s) == (with_torch.sample_rate_hz, with_torch.window_s)


def test_both_read_the_same(predictor: Predictor, with_torch: Predictor):
    assert_near(predictor.text(WORDS, embeddings=True), with_torch.text(WORDS, embeddings=True), atol=1e-5)
    assert predictor.unknown(WORDS) == with_torch.unknown(WORDS) == [False, False, False, True, True, True, False]


def test_the_same_model_whichever_predicts(predictor: Predictor, with_torch: Predictor):
    """What was predicted by one is read from the cache by the other."""
    for what in ("fingerprint", "name", "sigma", "order_scale", "card", "precision", "modalities"):
        assert getattr(predictor, what) == getattr(with_torch, what)


def test_neither_threads_nor_batches_change_the_numbers(predictor: Predictor, frames: np.ndarray, sounds: list[np.ndarray]):
    other = Predictor.load(device="cpu", threads=3, batch_size=3)
    for method, raw in (("image", frames[:7]), ("music", sounds), ("text", WORDS)):
        assert_near(getattr(other, method)(raw, embeddings=True), getattr(predictor, method)(raw, embeddings=True), atol=1e-5)
    assert_near(other.image(frames[:4], embeddings=True, still=True), predictor.image(frames[:4], embeddings=True, still=True), atol=1e-5)


def test_idle_threads_do_not_spin_and_there_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("trainer.predict.usable_cpus", lambda: 5)
    for asked, got in ((None, 5), (3, 3)):
        engine: Any = Predictor.load(device="cpu", modalities=("text",), threads=asked)._engine
        options = engine._session("text").get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (got, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert Predictor.load(device="cpu", modalities=("text",))._engine._threads == 2  # type: ignore[attr-defined]


class Narrow:
    """A session with memory for a few rows."""

    def __init__(self, session: Any, most: int, problem: Exception) -> None:
        self._session, self._most, self._problem = session, most, problem
        self.sizes: list[int] = []

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def run(self, outputs: list[str], given: dict[str, np.ndarray]) -> Any:
        (rows,) = map(len, given.values())
        self.sizes.append(rows)
        if rows > self._most:
            raise self._problem
        return self._session.run(outputs, given)


@pytest.mark.parametrize("problem", [MemoryError(), RuntimeException("Failed to allocate memory for requested buffer of size 9")])
def test_a_batch_too_large_for_memory_is_halved_with_one_warning(predictor: Predictor, problem: Exception):
    said: list[str] = []
    small = Predictor.load(device="cpu", modalities=("text",), batch_size=12, on_warning=said.append)
    engine: Any = small._engine
    narrow = engine._sessions["text"] = Narrow(engine._session("text"), 3, problem)
    words = [f"{word} {number}" for number in range(3) for word in WORDS]
    np.testing.assert_allclose(small.text(words), predictor.text(words), atol=1e-5)
    assert narrow.sizes == [12, 6, 3, 3, 3, 3, 3, 3, 3]
    assert small.warnings == ["too little memory for 12 at once: predicted in smaller batches"]
    assert said == [f"compact: {small.warnings[0]}"]


def test_pictures_are_predicted_a_few_at_once(frames: np.ndarray):
    """Thirty-two stills at once would take 1.3 GiB."""
    engine: Any = Predictor.load(device="cpu", modalities=("image",), batch_size=32)._engine
    for name, still, most in (("image.frames", False, 8), ("image.stills", True, 4)):
        watched = engine._sessions[name] = Narrow(engine._session(name), 8, MemoryError())
        va, _ = engine.image(frames[:10], still=still)()
        assert len(va) == 10
        assert max(watched.sizes) == most


def test_a_row_too_large_for_memory_and_other_errors_are_raised():
    small = Predictor.load(device="cpu", modalities=("text",))
    engine: Any = small._engine
    session = engine._session("text")
    engine._sessions["text"] = Narrow(session, 0, RuntimeException("std::bad_alloc"))
    with pytest.raises(MemoryError):
        small.text(["calm"])
    engine._sessions["text"] = Narrow(session, 0, RuntimeException("something else"))
    with pytest.raises(RuntimeException, match="something else"):
        small.text(["calm"])


def test_torch_takes_over_with_a_warning_where_onnx_runtime_is_not_installed(monkeypatch: pytest.MonkeyPatch, predictor: Predictor):
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("trainer.libraries._installed", lambda name: name != "onnxruntime")
    monkeypatch.delitem(sys.modules, "trainer.engines.onnx_engine")
    said: list[str] = []
    other = Predictor.load(device="cpu", modalities=("text",), on_warning=said.append)
    assert isinstance(other._engine, TorchEngine)
    assert said == [f"compact: {warning}" for warning in other.warnings]
    assert other.warnings[0].startswith("predicted by torch, as ONNX Runtime is not there: onnxruntime is not installed: python")
    np.testing.assert_allclose(other.text(WORDS), predictor.text(WORDS), atol=1e-5)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"compiled": True}], ids=str)
def test_what_onnx_runtime_does_not_do_is_torchs(options: dict[str, Any]):
    assert isinstance(Predictor.load(device="cpu", modalities=("text",), **options)._engine, TorchEngine)


def test_auto_moves_to_a_gpu_once_there_was_enough_to_do(monkeypatch: pytest.MonkeyPatch, predictor: Predictor, frames: np.ndarray):
    monkeypatch.setattr(predict, "signs_of_a_gpu", lambda: True)
    monkeypatch.setattr(predict, "pick_device", lambda name: "cuda")
    monkeypatch.setattr(predict, "WORTH_A_GPU", 30)
    asked: list[str] = []

    def gpu(model: str, where: str, *args: Any, **options: Any) -> TorchEngine:
        asked.append(where)
        return TorchEngine(model, "cpu", *args, **options)

    monkeypatch.setattr("trainer.engines.torch_engine.TorchEngine", gpu)
    moving = Predictor.load(batch_size=8)
    for one, engine in (
        (lambda some: some.image(frames), OnnxEngine),
        (lambda some: some.text(WORDS * 9), OnnxEngine),  # words are quick enough where they are
        (lambda some: some.image(iter(frames)), OnnxEngine),  # a call is answered by one engine
        (lambda some: some.image(frames), TorchEngine),
        (lambda some: some.text(WORDS), TorchEngine),
    ):
        np.testing.assert_allclose(one(moving), one(predictor), atol=1e-4)
        assert isinstance(moving._engine, engine)
    assert asked == ["cuda"]
    assert moving.warnings == []


@pytest.mark.parametrize("there", [True, False], ids=["no GPU after all", "no torch"])
def test_auto_stays_where_it_is_without_a_gpu(there: bool, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray):
    monkeypatch.setattr(predict, "WORTH_A_GPU", 1)
    monkeypatch.setattr(predict, "signs_of_a_gpu", lambda: True)
    monkeypatch.setattr("trainer.devices.signs_of_a_gpu", lambda: True)
    if not there:
        monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
        monkeypatch.setattr("trainer.libraries._installed", lambda name: name != "torch")
    one = Predictor.load(modalities=("image",))
    for _ in range(3):
        one.image(frames[:1])
    assert isinstance(one._engine, OnnxEngine)
    assert len(one.warnings) == (not there)
    assert there or one.warnings[0].startswith("not moved to a GPU, as torch is not there: torch is not installed: python")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of words alone with graphs, in 8 bits as the bundled one."""
    import torch

    towers: dict[str, Any] = {"text": {"name": "compact"}}
    path = tmp_path_factory.mktemp("trained") / "own.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MMVA(towers)
    model.tower("text").fit(model.tower("text").preprocess(WORDS[:3]))
    checkpoint.save(path, model, "own", towers, dtype=torch.float16)
    checkpoint.shrink(path, path)
    attach_graphs(path)
    return path


def test_a_checkpoint_of_ones_own_runs_with_its_graphs(trained: Path):
    own = Predictor.load(trained, device="cpu")
    assert isinstance(own._engine, OnnxEngine)
    assert_near(
        own.text(WORDS, embeddings=True), Predictor(TorchEngine(trained), stored.read(trained)).text(WORDS, embeddings=True), atol=1e-5
    )
    assert own.unknown(["joy", "sorrow"]) == [False, True]
    assert "graphs" not in own.card


def test_graphs_are_attached_again_to_the_same_file(trained: Path):
    def content() -> tuple[dict[str, bytes], dict[str, str]]:
        with safe_open(trained, framework="numpy") as file:
            return {key: file.get_tensor(key).tobytes() for key in file.keys()}, file.metadata()  # noqa: SIM118 - not a dict

    before = content()
    attach_graphs(trained)
    assert content() == before


def test_weights_are_in_the_file_once(trained: Path):
    graph = stored.read_arrays(trained, ["onnx.text"])["onnx.text"]
    assert graph.dtype == np.uint8
    assert len(graph) < 150_000
    assert str(Path(__file__).parents[2]).encode() not in graph.tobytes()  # nothing of the machine that traced it


def test_without_graphs_torch_predicts(trained: Path, tmp_path: Path):
    """Whoever writes a checkpoint's tensors anew leaves the graphs out, which belong to the old ones."""
    read = checkpoint.read(trained)
    path = tmp_path / "again.safetensors"
    checkpoint.write(path, read.tensors, {**read.notes, "format": checkpoint.FORMAT, "name": "again", "towers": json.dumps(read.towers)})
    assert isinstance(Predictor.load(path, device="cpu")._engine, TorchEngine)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads.text.0.bias": None}, r"1 tensors missing \['heads.text.0.bias'\]"),
        ({"heads.text.0.bias": np.zeros(3, np.float32)}, "its tensors do not fit its graph 'text'"),
        ({"onnx.text": np.zeros(9, np.uint8)}, "its tensors do not fit its graph 'text'"),
    ],
    ids=["missing", "wrong shape", "no graph"],
)
def test_tensors_that_do_not_fit_a_graph(trained: Path, tmp_path: Path, change: dict[str, np.ndarray | None], words: str):
    with safe_open(trained, framework="numpy") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 - not a dict
    path = tmp_path / "broken.safetensors"
    save_file({key: value for key, value in {**tensors, **change}.items() if value is not None}, path, metadata)
    with pytest.raises(CheckpointError, match=words):
        Predictor.load(path, device="cpu").text(["calm"])


def test_a_tower_of_another_version_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(stored.VERSIONS, ("text", "compact"), "compact-text/99")
    with pytest.raises(CheckpointError, match=r"text tower was trained with version 'compact-text/\d+', here it has 'compact-text/99'"):
        Predictor.load(trained, device="cpu")
