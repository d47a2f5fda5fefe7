"""The predictor, with the bundled model on the CPU."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import trainer
from tests.helpers import media, scenery
from trainer import DeviceError, Predictor, checkpoint, stored
from trainer.devices import pick_device
from trainer.engines.torch_engine import TorchEngine
from trainer.model import towers

# bf16 keeps 8 bits: on drawn pictures the predictions of the bundled model move by up to 0.01.
BF16_TOLERANCE = 0.02
# The same float32 sums in another order.
BATCH_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(70, 54, 96, 3): every scene at 14 times; more than one batch of 64."""
    return np.stack([scene((96, 54), time_s) for scene in media.SCENES.values() for time_s in np.arange(14) / 4])


@pytest.fixture(scope="module")
def with_torch() -> Predictor:
    """The bundled model, run by torch."""
    return Predictor(TorchEngine("compact"), stored.read("compact"))


def test_shapes_and_range(predictor: Predictor, frames: np.ndarray):
    va, embeddings = predictor.image(frames, embeddings=True)
    assert (va.shape, va.dtype) == ((70, 2), np.float32)
    assert (embeddings.shape, embeddings.dtype) == ((70, 512), np.float32)
    assert ((va >= 0) & (va <= 1)).all()
    assert np.isfinite(embeddings).all()
    assert va.std(0).min() > 0.01  # it looks at the pictures
    np.testing.assert_array_equal(predictor.image(frames), va)


def test_calm_and_intense_scenes_differ(predictor: Predictor, frames: np.ndarray):
    arousal = dict(zip(media.SCENES, predictor.image(frames)[:, 1].reshape(-1, 14), strict=True))
    for intense in media.INTENSE:
        for calm in set(media.SCENES) - set(media.INTENSE):
            assert arousal[intense].min() > arousal[calm].max(), (intense, calm)
    assert arousal["fireworks"].mean() - arousal["meadow"].mean() > 0.1


def test_the_next_batch_is_begun_before_one_is_fetched():
    """So that a GPU works on one while the next is decoded; none is lost, none comes out of order."""
    events = []

    def batches():
        for number in range(3):
            events.append(f"begin {number}")

            def fetch(number: int = number) -> tuple[np.ndarray, np.ndarray]:
                events.append(f"fetch {number}")
                return np.full((1, 2), number, np.float32), np.zeros((1, 512), np.float32)

            yield number, fetch

    for number, (va, _) in Predictor._in_flight(batches()):
        assert va.tolist() == [[number, number]]
    assert events == ["begin 0", "begin 1", "fetch 0", "begin 2", "fetch 1", "fetch 2"]


def test_the_size_of_a_batch_changes_nothing(frames: np.ndarray):
    one = Predictor.load(device="cpu", batch_size=1).image(frames, embeddings=True)
    many = Predictor.load(device="cpu", batch_size=64).image(frames, embeddings=True)
    np.testing.assert_allclose(one[0], many[0], atol=BATCH_TOLERANCE, rtol=0)
    np.testing.assert_allclose(one[1], many[1], atol=BATCH_TOLERANCE, rtol=1e-4)


def test_its_fingerprint_is_of_the_file_and_of_what_its_towers_make_of_it(monkeypatch: pytest.MonkeyPatch):
    """Whatever was kept under it is predicted anew when a tower's code gives other numbers, not only when the weights do."""
    file = Path(trainer.__file__).parent / "weights" / "compact.safetensors"
    before = checkpoint.read(file).fingerprint
    assert re.fullmatch("[0-9a-f]{16}", before)
    assert checkpoint.read(file).fingerprint == before
    monkeypatch.setitem(towers.VERSIONS, ("music", "mert"), "mert/next")
    assert checkpoint.read(file).fingerprint == before
    monkeypatch.setitem(towers.VERSIONS, ("music", "compact"), "compact-music/next")
    assert checkpoint.read(file).fingerprint != before


def test_the_size_of_a_picture_hardly_matters(predictor: Predictor):
    small, large = (predictor.image(media.meadow(size, 0)[None].copy())[0] for size in ((128, 128), (512, 512)))
    np.testing.assert_allclose(small, large, atol=0.05)


def test_eval_mode_without_gradients(with_torch: Predictor, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    predictor, Model = with_torch, type(with_torch._engine.model)
    batches: list[tuple[bool, bool, bool]] = []
    predict = Model.predict

    def watched(model: torch.nn.Module, modality: str, batch: torch.Tensor, *, still: bool) -> tuple[torch.Tensor, torch.Tensor]:
        va, embedded = predict(model, modality, batch, still=still)
        batches.append(
            (any(part.training for part in model.modules()), torch.is_grad_enabled(), va.requires_grad or embedded.requires_grad)
        )
        return va, embedded

    monkeypatch.setattr(Model, "predict", watched)
    before = predictor.image(frames[:4])
    assert batches == [(False, False, False)]
    # Dropout or batch statistics would show as noise, or as a change of the weights.
    np.testing.assert_array_equal(predictor.image(frames[:4]), before)
    assert torch.is_grad_enabled()


def test_no_frames(predictor: Predictor):
    va, embeddings = predictor.image(np.empty((0, 9, 16, 3), np.uint8), embeddings=True)
    assert (va.shape, embeddings.shape) == ((0, 2), (0, 512))


def test_frames_that_are_views(predictor: Predictor, frames: np.ndarray):
    mirrored = frames[:2, :, ::-1]
    np.testing.assert_array_equal(predictor.image(mirrored), predictor.image(mirrored.copy()))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((9, 16, 3), np.uint8),
        np.zeros((1, 3, 9, 16), np.uint8),
        np.zeros((1, 9, 16, 4), np.uint8),
        np.zeros((1, 9, 16, 3), np.float32),
        np.zeros((1, 9, 16, 3), np.int16),
    ],
    ids=lambda wrong: f"{wrong.shape} {wrong.dtype}",
)
def test_wrong_shapes_and_dtypes_are_named(predictor: Predictor, wrong: np.ndarray):
    with pytest.raises(ValueError, match=r"frames must be \(N, H, W, 3\) uint8, not \(.*\) (uint8|float32|int16)"):
        predictor.image(wrong)


def test_pictures_of_several_sizes_are_taken_one_by_one(predictor: Predictor):
    sizes = [(96, 54), (54, 96), (200, 30), (1, 1), (96, 54), (128, 128), (333, 222)]
    pictures = [scene(size, 0) for size, scene in zip(sizes, [*media.SCENES.values()] * 2, strict=False)]
    va, vectors = Predictor.load(device="cpu", batch_size=3).image(iter(pictures), embeddings=True)
    for picture, row, vector in zip(pictures, va, vectors, strict=True):
        alone_va, alone_vector = predictor.image(picture[None], embeddings=True)
        np.testing.assert_allclose(row, alone_va[0], atol=BATCH_TOLERANCE, rtol=0)
        np.testing.assert_allclose(vector, alone_vector[0], atol=BATCH_TOLERANCE, rtol=1e-4)
    assert predictor.image([]).shape == (0, 2)
    with pytest.raises(ValueError, match=r"a picture must be \(H, W, 3\) uint8, not \(9, 16, 4\) uint8"):
        predictor.image([np.zeros((9, 16, 4), np.uint8)])


def test_bf16_is_near_float32(with_torch: Predictor):
    rounded = Predictor.load(device="cpu", precision="bf16")
    some = np.stack([scene((320, 180), 1.3) for scene in scenery.SCENES.values()])
    difference = np.abs(rounded.image(some) - with_torch.image(some))
    assert 0 < difference.max() < BF16_TOLERANCE


def test_settings_are_kept(predictor: Predictor):
    loaded = Predictor.load("compact", device="cpu", precision="bf16", batch_size=7)
    assert (loaded.name, loaded.device, loaded.precision, loaded.batch_size) == ("compact", "cpu", "bf16", 7)
    assert predictor.precision == "float32"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"device": "tpu"}, DeviceError, "unknown device 'tpu': allowed are auto, cpu, cuda, mps"),
        ({"device": "cuda:0"}, DeviceError, "unknown device 'cuda:0'"),
        ({"precision": "fp8"}, ValueError, "precision 'fp8': allowed are float32, bf16"),
        ({"batch_size": 0}, ValueError, "batch size 0: must be at least 1"),
        ({"threads": 0}, ValueError, "threads 0: must be at least 1"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, object], error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        Predictor.load(**options)  # type: ignore[arg-type]


def test_auto_takes_what_is_there_and_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trainer.devices.signs_of_a_gpu", lambda: True)
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert pick_device("auto") == expected
    for absent in ("cuda", "mps"):
        with pytest.raises(DeviceError, match=f"device '{absent}' is not available on this machine: use --device auto or cpu"):
            pick_device(absent)


@pytest.mark.parametrize(
    ("platform", "machine", "there", "expected"),
    [
        ("linux", "x86_64", "/dev/nvidiactl", "cuda"),
        ("linux", "x86_64", "/dev/dxg", "cuda"),
        ("linux", "x86_64", "", "cpu"),
        ("darwin", "arm64", "", "cuda"),
        ("darwin", "x86_64", "", "cpu"),
        ("win32", "AMD64", "nvcuda.dll", "cuda"),
        ("win32", "AMD64", "", "cpu"),
    ],
)
def test_auto_asks_torch_only_where_there_are_signs_of_a_gpu(
    platform: str, machine: str, there: str, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("trainer.devices.sys.platform", platform)
    monkeypatch.setattr("trainer.devices.platform.machine", lambda: machine)
    monkeypatch.setattr(Path, "exists", lambda path: bool(there) and str(path).endswith(there))
    assert pick_device("auto") == expected


def test_names_the_package_does_not_have():
    assert trainer.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = trainer.nonesuch


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_the_cpu(predictor: Predictor, frames: np.ndarray):
    # cuDNN's convolutions may round to TF32 (10 bits).
    np.testing.assert_allclose(Predictor.load(device="cuda").image(frames), predictor.image(frames), atol=5e-3)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """torch.compile traces, but leaves out making machine code, which takes a minute; what was compiled."""
    compiled: list[object] = []
    real = torch.compile

    def compile_quickly(what, **options):
        compiled.append(what)
        return real(what, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", compile_quickly)
    return compiled


def test_compiled_towers_predict_the_same(eager, frames: np.ndarray):
    predictor = Predictor.load(device="cpu", modalities=("image",), batch_size=8, compiled=True)
    assert len(eager) == 2  # for frames and for stills
    assert predictor.warnings == []
    plain = Predictor.load(device="cpu", modalities=("image",), batch_size=8)
    np.testing.assert_allclose(predictor.image(frames[:11]), plain.image(frames[:11]), atol=BATCH_TOLERANCE)
    np.testing.assert_allclose(
        predictor.image(iter(frames[:2]), still=True), plain.image(iter(frames[:2]), still=True), atol=BATCH_TOLERANCE
    )


@pytest.mark.slow
def test_compiled_machine_code_predicts_the_same(frames: np.ndarray):
    predictor = Predictor.load(device="cpu", modalities=("image",), batch_size=8, compiled=True)
    plain = Predictor.load(device="cpu", modalities=("image",), batch_size=8)
    np.testing.assert_allclose(predictor.image(frames[:11]), plain.image(frames[:11]), atol=BATCH_TOLERANCE)
    assert (predictor.warnings == []) == ("_seen_as_frame" in vars(predictor._engine.model.tower("image")))


def test_a_failed_compilation_is_a_warning(monkeypatch: pytest.MonkeyPatch, with_torch: Predictor, frames: np.ndarray):
    def fail(*args, **options):
        raise RuntimeError("no C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", lambda what, **options: fail)
    predictor = Predictor.load(device="cpu", modalities=("image",), compiled=True)
    assert predictor.warnings == ["not compiled, as torch cannot do it here (no C++ compiler found)"]
    np.testing.assert_array_equal(predictor.image(frames[:3]), with_torch.image(frames[:3]))
