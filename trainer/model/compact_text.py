"""The compact text tower: hashed words and parts of words, two convolutions, and a vocabulary that knows what it has seen.

Nothing in it is frozen: `encode` gives back the preprocessed input, which is what a cache saves.
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from trainer.model.heads import EMBEDDING_DIM
from trainer.model.linear_text import CrossFittedRidge
from trainer.model.towers import MAX_CHARACTERS, VERSIONS

MAX_TOKENS = 64
_BASES = 3  # of a word, beside itself
_PARTS = 14
_COLUMNS = 2 + _BASES + _PARTS  # shape, the word, its bases, its parts
_OTHER, _NUMBER, _LOWER, _TITLE, _UPPER = range(1, 6)  # a token's shape; 0 where there is no token
_SHAPES = 6
_MARKS = '!?".,'
_PLAIN = 11 + _SHAPES - 1 + 2 + len(_MARKS)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*|[^\w\s]|_+")
# Endings of inflected English and what to put there; what comes out is used where it is a word the model has seen.
_ENDINGS = (
    ("'s", ("",)),
    ("iness", ("y",)),
    ("ness", ("",)),
    ("fully", ("ful",)),
    ("ically", ("ic",)),
    ("ily", ("y",)),
    ("ly", ("", "le")),
    ("ies", ("y", "ie")),
    ("ied", ("y", "ie")),
    ("iest", ("y",)),
    ("ier", ("y",)),
    ("ing", ("", "e")),
    ("est", ("", "e")),
    ("ed", ("", "e")),
    ("es", ("", "e")),
    ("er", ("", "e")),
    ("s", ("",)),
)
_ALONE = 0.6  # how much a single word counts in the linear model, beside a sentence
_BLOOM_BITS = 1 << 19  # .1 % of unseen words pass among 25,000 seen ones
_BLOOM_FACTORS = (1, 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)


class CompactTextTower(nn.Module):
    """Captions to 512-d embeddings.

    A token's vector is the sum of three: of the word, the mean of its bases (what it is an inflection of, such as 'hope'
    for 'hoping') and the mean of its parts (character n-grams). Two convolutions see five tokens each way, so that 'not
    happy' is not 'happy'. Mean, sum, maximum and minimum of both, a linear sum over hashed words and word pairs, and
    the text's length, punctuation and capitals make the embedding.

    Words that `fit` has not seen have no vector of their own, only those of bases and parts.
    """

    backbone = None
    version = VERSIONS["text", "compact"]
    feature_dtype = torch.int32
    _WORDS = 8192
    _PART_BUCKETS = 4096
    _RATED = 1 << 16
    _LINEAR = 1 << 18
    _WIDTH = 16
    _HIDDEN = 48
    _WORD_DROPOUT = 0.2
    _DROPOUT = 0.3

    known: torch.Tensor
    rated: torch.Tensor
    ratings: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(self._WORDS + 1, self._WIDTH, mode="sum", padding_idx=0)
        self.parts = nn.EmbeddingBag(self._PART_BUCKETS + 1, self._WIDTH, mode="sum", padding_idx=0)
        self.shapes = nn.Embedding(_SHAPES, self._WIDTH, padding_idx=0)
        for table in (self.words, self.parts, self.shapes):
            nn.init.normal_(table.weight, std=0.1)
            with torch.no_grad():
                table.weight[0] = 0
        self.forget = nn.Dropout(self._WORD_DROPOUT)
        self.near = nn.Linear(3 * (self._WIDTH + 3), self._HIDDEN)
        self.far = nn.Linear(3 * self._HIDDEN, self._HIDDEN)
        self.linear = CrossFittedRidge(self._LINEAR, _PLAIN)
        pooled = self._WIDTH + 3 * self._HIDDEN
        self.project = nn.Sequential(nn.LayerNorm(pooled), nn.Dropout(self._DROPOUT), nn.Linear(pooled, EMBEDDING_DIM))
        self.plain = nn.Linear(_PLAIN + 2, EMBEDDING_DIM)
        # A Bloom filter of the words seen in training, eight bits a byte; all 0 until `fit`.
        self.register_buffer("known", torch.zeros(_BLOOM_BITS // 8, dtype=torch.uint8))
        # The same of the words that have a rating of their own, and the ratings: deviations of VA from .5 over .18.
        self.register_buffer("rated", torch.zeros(_BLOOM_BITS // 8, dtype=torch.uint8))
        self.register_buffer("ratings", torch.zeros(self._RATED, 2))

    def preprocess(self, captions: Sequence[str]) -> torch.Tensor:
        """Numbers of the first 64 tokens of each caption: shape, hash of the word, of its bases, of its parts; 0 for none.

        Returns:
            (N, 64, 19) int32.
        """
        rows = np.zeros((len(captions), MAX_TOKENS, _COLUMNS), np.int32)
        for row, caption in zip(rows, captions, strict=True):
            # Cut before anything else: a caption may be a whole book.
            tokens = _TOKEN.findall(caption[:MAX_CHARACTERS])[:MAX_TOKENS]
            if tokens:
                row[: len(tokens)] = [_numbers(token) for token in tokens]
        return torch.from_numpy(rows)

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Take in the training split at once, before the training: its words, the ratings of single words, the linear model.

        Without it the tower has no vocabulary (`unknown` cannot tell) and learns by gradients alone. A later call replaces
        the ratings and the linear model; words add up.

        Args:
            features: (N, 64, 19) int32 as `preprocess` gives them.
            va: (N, 2) in [0, 1], what the tower is to be trained towards; those of rows of one word become that word's
                rating. None: only the words are remembered.
            weights: (N,) above 0, how much each row counts in the linear model; None for 1.
        """
        features = features.cpu()
        word = features[..., 1].long()
        _remember(self.known, word[features[..., 0] >= _LOWER])
        if va is None:
            return
        deviations = (va.cpu().float() - 0.5) / 0.18
        alone = features[:, 1, 0] == 0
        rateable = alone & (features[:, 0, 0] >= _LOWER)
        words = word[rateable, 0]
        _remember(self.rated, words)
        start = words % self._RATED
        sums = torch.zeros(self._RATED, 2).index_add_(0, start, deviations[rateable])
        self.ratings.copy_(sums / torch.bincount(start, minlength=self._RATED).clamp(min=1)[:, None])
        self.linear.fit(*self._fitted(features), deviations, torch.where(alone, _ALONE, 1.0) * (1.0 if weights is None else weights.cpu()))

    def _fitted(self, features: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What the linear model is fitted on, made in pieces: all of it would take a lot of memory as int64."""
        training = self.training
        self.eval()
        plain, blocks = [], []
        for start in range(0, len(features), 2048):
            numbers = features[start : start + 2048].long().to(self.ratings.device)
            real = numbers[..., 0] > 0
            ratings = self._spread(self._ratings(numbers[real]), real)
            plain.append(_of_sentences(self._plain(numbers, ratings), numbers).cpu())
            blocks.append([block.int().cpu() for block in _blocks(numbers)])
        self.train(training)
        return [torch.cat(kind) for kind in zip(*blocks, strict=True)], torch.cat(plain)

    def unknown(self, features: torch.Tensor) -> torch.Tensor:
        """Which captions have no word that was seen in training, nor an inflection of one.

        Before `fit` there is no vocabulary: then only captions without any word are unknown.

        Args:
            features: (N, 64, 19) int32.

        Returns:
            (N,) bool.
        """
        return ~((features[..., 0] >= _LOWER) & self._seen(features[..., 1 : 2 + _BASES]).any(2)).any(1)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Numbers, N of (64, 19), as one tensor on this tower's device."""
        return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(self.shapes.weight.device)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 64, 19) to (N, 512)."""
        # What is behind the longest caption is empty.
        length = int((features[..., 0] > 0).any(0).sum().clamp(min=2))  # two, so that there are pairs
        numbers = features[:, :length].long()
        real = numbers[..., 0] > 0
        mask = real[..., None].float()
        # All but the pooling is done on real tokens alone: most of a batch of texts of differing lengths is empty.
        tokens = numbers[real]
        ratings, own = self._spread(self._ratings(tokens), real), self._spread(self._vectors(tokens), real)
        near = self._spread(F.gelu(self.near(_around(torch.cat([own, ratings], 2), real, 1))), real)
        far = near + self._spread(F.gelu(self.far(_around(near, real, 4))), real)
        count = mask.sum(1).clamp(min=1)
        missing = 1e4 * (1 - mask)
        some = (mask.sum(1) > 0).float()
        deep = [
            own.sum(1) / count,
            far.sum(1) / count,
            (far - missing).amax(1) * some,
            (far + missing).amin(1) * some,
        ]
        plain = self._plain(numbers, ratings)
        linear = self.linear(_blocks(numbers), _of_sentences(plain, numbers))
        return self.project(torch.cat(deep, 1)) + self.plain(torch.cat([plain, 2 * linear], 1))

    def embed(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Numbers to (N, 512)."""
        return self.reduce(self.encode(batch))

    def _seen(self, words: torch.Tensor) -> torch.Tensor:
        """Whether words were seen by `fit`, by their hashes (...), 0 for none; all of them before `fit`."""
        if not self.known.any():
            return words > 0
        return _holds(self.known, words)

    @staticmethod
    def _spread(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Values of the real tokens (M, C) at their places, 0 elsewhere: (N, T, C)."""
        return values.new_zeros(*real.shape, values.shape[1]).masked_scatter(real[..., None], values)

    def _vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors (M, width) of tokens (M, 19)."""
        shape, words, parts = tokens[:, 0], tokens[:, 1 : 2 + _BASES], tokens[:, 2 + _BASES :]
        words = torch.where(self._seen(words) | (shape < _LOWER)[:, None], words, 0)
        ids = torch.where(words > 0, words % self._WORDS + 1, 0)
        bases = (ids[:, 1:] > 0).sum(1, keepdim=True).clamp(min=1)
        many = (parts > 0).sum(1, keepdim=True).clamp(min=1)
        parts = torch.where(parts > 0, parts % self._PART_BUCKETS + 1, 0)
        own = self.words(ids[:, :1])
        rest = self.words(ids[:, 1:]) / bases + self.parts(parts) / many + self.shapes(shape)
        if self.training and self.forget.p:
            # Without its own vector a word must be known by its bases and parts, as an unseen one is.
            drawn = torch.rand(len(tokens), 1, device=tokens.device)
            own = own * (drawn > self.forget.p)
            return own + rest * (drawn < 1 - self.forget.p)
        return own + rest

    def _ratings(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ratings (M, 3) of tokens (M, 19): valence, arousal and 1, or 0 0 0: the word's own, or else the mean of its bases'."""
        words = tokens[:, 1 : 2 + _BASES]
        rated = _holds(self.rated, words)
        if self.training and self.forget.p:  # as if the word itself had none
            rated[:, 0] &= torch.rand(len(tokens), device=tokens.device) > self.forget.p / 2
        rated[:, 1:] &= ~rated[:, :1]
        many = rated.sum(1, keepdim=True)
        found = (self.ratings[words % self._RATED] * rated[..., None]).sum(1) / many.clamp(min=1)
        return torch.cat([found, (many > 0).float()], 1)

    def _plain(self, numbers: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """What can be said of a text without learning (N, 23): pools of its words' ratings (N, T, 3), its length, capitals, marks."""
        shape, words = numbers[..., 0], numbers[..., 1]
        count = (shape > 0).sum(1, keepdim=True).clamp(min=1)
        rated = ratings[..., 2:]
        values, many = ratings[..., :2], rated.sum(1)
        missing, some = 1e4 * (1 - rated), (many > 0).float()
        shares = F.one_hot(shape, _SHAPES)[..., 1:].sum(1) / count
        marks = torch.stack([(words == _numbers(mark)[1]).sum(1).float() for mark in _MARKS], 1).clamp(max=4)
        return torch.cat(
            [
                values.sum(1) / many.clamp(min=1),
                values.sum(1) / 3,
                values.square().sum(1) / many.clamp(min=1) / 2,
                (values - missing).amax(1) * some,
                (values + missing).amin(1) * some,
                many / count,
                shares,
                torch.log1p(count) / 2,
                count / 20,
                marks,
            ],
            1,
        )


def _blocks(numbers: torch.Tensor) -> list[torch.Tensor]:
    """Hashes of words, of word pairs, of bases and parts: what the linear model sees of tokens (N, T, 19)."""
    words = numbers[..., 1]
    pairs = torch.where(words[:, 1:] > 0, (words[:, :-1] * 31 + words[:, 1:] * 17) & 0x7FFFFFFF, 0)
    return [words, pairs, numbers[..., 2:].flatten(1)]


def _of_sentences(plain: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """`_plain`, 0 for single words: their rating is what is to be predicted, and would teach the linear model to look no further."""
    return torch.where((numbers[..., 0] > 0).sum(1, keepdim=True) > 1, plain, 0)


def _remember(table: torch.Tensor, words: torch.Tensor) -> None:
    """Put words' hashes (n,) into a Bloom filter."""
    bits = np.unpackbits(table.cpu().numpy())
    bits[_places(torch.unique(words)).flatten().numpy()] = 1
    table.copy_(torch.from_numpy(np.packbits(bits)))


def _holds(table: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Whether a Bloom filter holds words by their hashes (...), 0 for none."""
    bits = _places(words.long())
    return (words > 0) & ((table[bits >> 3] >> (7 - (bits & 7))) & 1).bool().all(-1)


def _around(values: torch.Tensor, real: torch.Tensor, step: int) -> torch.Tensor:
    """Of each real token what is `step` before it, at it and `step` after it, 0 where there is nothing: (M, 3 * C)."""
    length = values.shape[1]
    padded = F.pad(values, (0, 0, step, step))
    return torch.cat([padded[:, start : start + length][real] for start in (0, step, 2 * step)], 1)


def _places(words: torch.Tensor) -> torch.Tensor:
    """The bits (..., 4) that stand for hashes (...) in the Bloom filter."""
    return torch.stack([((words * factor) & 0xFFFFFFFF) * _BLOOM_BITS >> 32 for factor in _BLOOM_FACTORS], -1)


@lru_cache(maxsize=1 << 17)
def _numbers(token: str) -> tuple[int, ...]:
    """A token's row: shape, word, bases, parts."""
    if token[0].isdecimal():
        return (_NUMBER, _hash("0"), *[0] * (_BASES + _PARTS))
    if not token[0].isalpha():
        return (_OTHER, _hash(token[0]), *[0] * (_BASES + _PARTS))
    shape = _UPPER if len(token) > 1 and token.isupper() else _TITLE if token[0].isupper() else _LOWER
    word = token.casefold().replace("’", "'")[:40]
    bases = _bases(word)[:_BASES]
    parts = _parts(word)[:_PARTS]
    return (
        shape,
        _hash(word),
        *(_hash(base) for base in bases),
        *[0] * (_BASES - len(bases)),
        *(_hash(part) for part in parts),
        *[0] * (_PARTS - len(parts)),
    )


def _bases(word: str) -> list[str]:
    """What a word may be an inflection of: itself, and without its ending."""
    for ending, others in _ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 2:
            found = [stem + other for other in others]
            if len(stem) > 3 and stem[-1] == stem[-2]:
                found.append(stem[:-1])  # stopping, stop
            return found
    return [word]


def _parts(word: str) -> list[str]:
    """Character n-grams, those at its beginning and its end first; < and > mark the two."""
    marked = f"<{word}>"
    parts = [marked[:size] for size in range(4, min(8, len(marked)))]
    parts += [marked[-size:] for size in range(3, min(6, len(marked)))]
    parts += [marked[start : start + 4] for start in range(1, len(marked) - 4)]
    return list(dict.fromkeys(parts))


def _hash(text: str) -> int:
    """1 ... 2^31 - 1. crc32 is the same on every machine and in every run, which Python's own hash is not."""
    return zlib.crc32(text.encode("utf-8", "replace")) % (2**31 - 1) + 1
