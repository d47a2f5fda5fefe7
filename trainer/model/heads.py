"""The VA predictor of MMVA (Choi, Kim & Kang 2025): one such head for each modality."""

from torch import nn

EMBEDDING_DIM = 512


def va_head() -> nn.Sequential:
    """The paper's VA predictor.

    Takes embeddings (N, 512), gives (N, 2): valence, arousal, each in [0, 1].
    """
    return nn.Sequential(
        nn.Linear(EMBEDDING_DIM, 512),
        nn.ReLU(),
        nn.LayerNorm(512),
        nn.Dropout(0.5),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.LayerNorm(512),
        nn.Dropout(0.5),
        nn.Linear(512, 2),
        nn.Sigmoid(),
    )
