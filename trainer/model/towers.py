"""The towers by name. No torch: recipes are checked before anything heavy is imported."""

from collections.abc import Collection

from trainer.errors import CheckpointError

EMBEDDING_DIM = 512
POOLS = ("first", "mean")
MAX_CHARACTERS = 2000  # of a caption; the rest is ignored, so that a book takes no longer than a page
# To be changed whenever a tower's `preprocess` or `encode` computes other numbers from the same weights: part of the key of cached features and
# of a checkpoint's fingerprint, under which predictions are stored.
VERSIONS = {
    ("image", "compact"): "compact-image/5",
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


def check_modalities(available: Collection[str], wanted: Collection[str], what: str) -> None:
    """Raise CheckpointError if one of the modalities `wanted` is not available; `what` begins the message."""
    missing = [modality for modality in wanted if modality not in available]
    if missing:
        raise CheckpointError(f"{what}: has no {missing[0]} tower, only {', '.join(available)}: use one that was trained on {missing[0]}")
