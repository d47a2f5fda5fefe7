"""The towers and their settings. No torch: recipes are checked before anything heavy is imported."""

from dataclasses import dataclass

POOLS = ("first", "mean")
MAX_CHARACTERS = 2000  # of a caption; the rest is ignored, so that a book takes no longer than a page


@dataclass(frozen=True)
class Setting:
    """A setting of a tower or recipe: its type, range and choices."""

    kind: type
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


# modality -> tower -> name of a setting -> its rule. The defaults are in the towers.
TOWERS: dict[str, dict[str, dict[str, Setting]]] = {
    "image": {
        "compact": {"input_px": Setting(int, 32, 512)},
        "clip": {"source": Setting(str), "pretrained": Setting(str)},
    },
    "music": {
        "compact": {"window_s": Setting(float, 1, 60)},
        "mert": {"source": Setting(str), "pool": Setting(str, choices=POOLS)},
    },
    "text": {
        "compact": {},
        "roberta": {"source": Setting(str), "pool": Setting(str, choices=POOLS), "max_tokens": Setting(int, 2, 512)},
    },
}
# To be changed whenever a tower's `preprocess` or `encode` computes other numbers from the same weights: part of the key of cached features and
# of a checkpoint's fingerprint, under which predictions are stored.
VERSIONS = {
    ("image", "compact"): "compact-image/4",
    ("image", "clip"): "clip/2",
    ("music", "compact"): "compact-music/3",
    ("music", "mert"): "mert/1",
    ("text", "compact"): "compact-text/2",
    ("text", "roberta"): "roberta/1",
}
# Towers with a backbone, which is frozen unless a recipe fine-tunes it.
BACKBONES = (("image", "compact"), ("image", "clip"), ("music", "mert"), ("text", "roberta"))
# Licences of the pretrained weights, for checkpoints that contain them because they were fine-tuned.
LICENCES = {"clip": "MIT (OpenAI CLIP)", "mert": "CC BY-NC 4.0 (MERT-v1)", "roberta": "MIT (RoBERTa)"}

TowerSpec = dict[str, str | int | float]
