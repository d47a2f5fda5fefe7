"""The heads of MMVA (Choi, Kim & Kang 2025): a VA predictor for each modality and one similarity predictor."""

from torch import nn

from trainer.model.towers import EMBEDDING_DIM

DROPOUT = 0.5


def va_head(dropout: float = DROPOUT) -> nn.Sequential:
    """The paper's VA predictor.

    Takes embeddings (N, 512), gives (N, 2): valence, arousal, each in [0, 1].
    """
    return _head(EMBEDDING_DIM, 2, dropout)


def similarity_head(dropout: float = DROPOUT) -> nn.Sequential:
    """The paper's similarity predictor.

    Takes the embeddings of an image, a clip and its caption side by side (N, 1536), gives (N, 1): the matching score of
    Eq. 1 in [0, 1].
    """
    return _head(3 * EMBEDDING_DIM, 1, dropout)


def _head(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 512),
        nn.ReLU(),
        nn.LayerNorm(512),
        nn.Dropout(dropout),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.LayerNorm(512),
        nn.Dropout(dropout),
        nn.Linear(512, outputs),
        nn.Sigmoid(),
    )
