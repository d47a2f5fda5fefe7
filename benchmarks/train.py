"""Training samples a second with the feature cache and without, on the paper's recipe; and sigma's time.

    python -m benchmarks.train [--full]

The towers are random: CLIP ViT-B/32, MERT and RoBERTa in the real sizes with --full, else in a third of their layers.
Real weights cost the same.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from transformers import HubertConfig, HubertModel, RobertaConfig, RobertaForMaskedLM

from tests.helpers import synthetic, tiny
from trainer import loop, session
from trainer import recipe as recipes
from trainer.affect import mean_distance
from trainer.devices import pick_device
from trainer.distributed import Processes


def towers(folder: Path, layers: int) -> list[str]:
    """Settings that name folders with random weights of the real classes."""
    clip, mert, roberta = folder / "clip", folder / "mert", tiny.roberta(folder / "roberta")
    clip.mkdir()
    mert.mkdir()
    model = open_clip.get_model_config("ViT-B-32")
    model["vision_cfg"]["layers"] = layers
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic", "resize_mode": "shortest"}
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    save_file(open_clip.model.CLIP(**model).state_dict(), clip / "open_clip_model.safetensors")
    config = HubertConfig(num_hidden_layers=layers)
    torch.save(HubertModel(config).state_dict(), mert / "pytorch_model.bin")
    (mert / "config.json").write_text(json.dumps(config.to_dict()))
    words = json.loads((roberta / "config.json").read_text())["vocab_size"]
    RobertaForMaskedLM(RobertaConfig(vocab_size=words, num_hidden_layers=layers)).save_pretrained(roberta)
    return [f"towers.image.source={clip}", f"towers.music.source={mert}", f"towers.text.source={roberta}"]


def samples_a_second(data: Path, out: Path, changes: list[str], steps: int) -> float:
    """Images (each with a clip and its caption) trained on in a second, the first step left out."""
    recipe = recipes.load("mmva", changes)
    device = torch.device(pick_device("auto"))
    run = session.prepare(session.Job(recipe, data, out), Processes(), device, lambda *_: None)
    run.training_mode()
    start = 0.0
    for step, batch in loop.batches(run, 0, steps + 1):
        loss = loop.train_step(run, run.model, batch, step, steps + 1)
        loss.sum().item()
        start = start or time.perf_counter()
    return steps * recipe.train.batch_size / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all 12 layers of each tower")
    full = parser.parse_args().full
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = synthetic.draw(folder / "data", images=24, tracks=24, clips_a_track=1, clip_s=10.0, image_px=256)
        named = [*towers(folder, 12 if full else 4), "towers.text.max_tokens=64", "train.batch_size=8"]
        off = samples_a_second(data, folder / "off", [*named, "data.cache=false"], 2)
        on = samples_a_second(data, folder / "on", [*named, "data.cache=true"], 50)
    print(f"samples a second, cache off: {off:8.2f}")
    print(f"samples a second, cache on:  {on:8.2f}   ({on / off:.0f} times)")
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    mean_distance(rng.random((25_000, 2)), rng.random((24_000, 2)))
    print(f"sigma of 25,000 x 24,000 labels: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
