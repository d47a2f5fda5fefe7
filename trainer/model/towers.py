"""Which towers there are and what each can be set to. No torch: recipes are checked before anything heavy is imported."""

from dataclasses import dataclass

POOLS = ("first", "mean")
# Of a caption: what is behind is not looked at, so that a whole book is as quick as its first page.
MAX_CHARACTERS = 2000


@dataclass(frozen=True)
class Setting:
    """One setting of a tower: its type, and what is allowed where the type alone does not say."""

    kind: type
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


# modality -> tower -> setting's name -> what it may be. Defaults are the towers' own.
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
# Changes whenever a tower's `preprocess` or `encode` gives other numbers from the same weights: part of the key of cached features, and of a
# checkpoint's fingerprint, under which predictions are kept.
VERSIONS = {
    ("image", "compact"): "compact-image/4",
    ("image", "clip"): "clip/2",
    ("music", "compact"): "compact-music/3",
    ("music", "mert"): "mert/1",
    ("text", "compact"): "compact-text/2",
    ("text", "roberta"): "roberta/1",
}
# (modality, tower) with a backbone: frozen unless a recipe fine-tunes it.
BACKBONES = (("image", "compact"), ("image", "clip"), ("music", "mert"), ("text", "roberta"))
# Of the pretrained weights, for checkpoints that hold them because they were fine-tuned.
LICENCES = {"clip": "MIT (OpenAI CLIP)", "mert": "CC BY-NC 4.0 (MERT-v1)", "roberta": "MIT (RoBERTa)"}

TowerSpec = dict[str, str | int | float]
