"""The compact text tower: hashed words and parts of words, two convolutions, and the vocabulary of the training data.

No part of it is frozen: `encode` returns the preprocessed input, which is what the feature cache stores.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from trainer.model.heads import EMBEDDING_DIM
from trainer.model.linear_text import CrossFittedRidge, summed
from trainer.model.text_tokens import BASES, LOWER, MARKS, SHAPES, of_token
from trainer.model.text_tokens import numbers as numbers_of
from trainer.model.towers import VERSIONS

_PLAIN = 11 + SHAPES - 1 + 2 + len(MARKS)
_ALONE = 0.6  # weight of a single word in the linear model, relative to a sentence
_BLOOM_BITS = 1 << 19  # .1 % false positives with 25,000 words
_BLOOM_FACTORS = (1, 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)


class CompactTextTower(nn.Module):
    """Captions to 512-d embeddings.

    A token's vector is the sum of three: its word's, the mean of its bases' (words it is an inflection of, such as 'hope'
    for 'hoping') and the mean of its parts' (character n-grams). Two convolutions cover five tokens each way, so that 'not
    happy' differs from 'happy'. The embedding is computed from mean, sum, maximum and minimum of both, a linear model of
    hashed words and word pairs, and the text's length, punctuation and capitals.

    Words that were not passed to `fit` have no vector of their own, only those of their bases and parts.
    """

    backbone = None
    version = VERSIONS["text", "compact"]
    feature_dtype = torch.int32
    mixes = False  # hashes cannot be averaged
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
        self.shapes = nn.Embedding(SHAPES, self._WIDTH, padding_idx=0)
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
        # The same for words with a rating of their own, and the ratings: (VA - .5) / .18.
        self.register_buffer("rated", torch.zeros(_BLOOM_BITS // 8, dtype=torch.uint8))
        self.register_buffer("ratings", torch.zeros(self._RATED, 2))

    def preprocess(self, captions: Sequence[str]) -> torch.Tensor:
        """The first 64 tokens of each caption as integers: shape, hashes of the word, its bases and its parts; 0 for none.

        Returns:
            (N, 64, 19) int32.
        """
        return torch.from_numpy(numbers_of(captions))

    def fit(self, features: torch.Tensor, va: torch.Tensor | None = None, weights: torch.Tensor | None = None) -> None:
        """Fit vocabulary, ratings of single words and linear model to the training split, before gradient training.

        Without it the tower has no vocabulary, ratings or linear model. A later call replaces the ratings and the linear
        model, and adds to the vocabulary.

        Args:
            features: (N, 64, 19) int32 as from `preprocess`.
            va: (N, 2) labels in [0, 1]; those of rows of a single word become that word's rating. None: only the
                vocabulary is fitted.
            weights: (N, 2) of the labels; the larger is the row's in the linear model, above 0. None for 1.
        """
        features = features.cpu()
        word = features[..., 1].long()
        _add_words(self.known, word[features[..., 0] >= LOWER])
        if va is None:
            return
        deviations = (va.cpu().float() - 0.5) / 0.18
        alone = features[:, 1, 0] == 0
        rateable = alone & (features[:, 0, 0] >= LOWER)
        words = word[rateable, 0]
        _add_words(self.rated, words)
        index = words % self._RATED
        sums = torch.zeros(self._RATED, 2).index_add_(0, index, deviations[rateable])
        self.ratings.copy_(sums / torch.bincount(index, minlength=self._RATED).clamp(min=1)[:, None])
        self.linear.fit(
            *self._linear_features(features),
            deviations,
            torch.where(alone, _ALONE, 1.0) * (1.0 if weights is None else weights.cpu().amax(1)),
        )

    def _linear_features(self, features: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Sparse and dense features that the linear model is fitted on, computed in chunks to save memory."""
        training = self.training
        self.eval()
        plain, blocks = [], []
        for start in range(0, len(features), 2048):
            numbers = features[start : start + 2048].long().to(self.ratings.device)
            real = numbers[..., 0] > 0
            ratings = self._scatter(self._ratings(numbers[real]), real)
            plain.append(_of_sentences(self._plain(numbers, ratings), numbers).cpu())
            blocks.append([block.int().cpu() for block in _blocks(numbers)])
        self.train(training)
        return [torch.cat(kind) for kind in zip(*blocks, strict=True)], torch.cat(plain)

    def unknown(self, features: torch.Tensor) -> torch.Tensor:
        """Which captions have no word of the vocabulary, nor an inflection of one.

        Before `fit` only captions without any word are unknown.

        Args:
            features: (N, 64, 19) int32.

        Returns:
            (N,) bool.
        """
        return ~((features[..., 0] >= LOWER) & self._known(features[..., 1 : 2 + BASES]).any(2)).any(1)

    def encode(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """Tokens, N of (64, 19), as one tensor on the tower's device."""
        return (batch if isinstance(batch, torch.Tensor) else torch.stack(list(batch))).to(self.shapes.weight.device)

    def reduce(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 64, 19) to (N, 512)."""
        if torch.onnx.is_in_onnx_export():  # a graph is given trimmed captions
            numbers = features.long()
        else:
            # Trim the padding to the longest caption.
            length = int((features[..., 0] > 0).any(0).sum().clamp(min=2))  # at least two, for word pairs
            numbers = features[:, :length].long()
        real = numbers[..., 0] > 0
        mask = real[..., None].float()
        # Everything but the pooling is computed on real tokens only, as most of a batch of texts of different lengths is padding.
        tokens = _gathered(numbers, real)
        ratings, own = self._scatter(self._ratings(tokens), real), self._scatter(self._vectors(tokens), real)
        near = self._scatter(F.gelu(self.near(_neighbours(torch.cat([own, ratings], 2), real, 1))), real)
        far = near + self._scatter(F.gelu(self.far(_neighbours(near, real, 4))), real)
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
        """Tokens to (N, 512)."""
        return self.reduce(self.encode(batch))

    def _known(self, words: torch.Tensor) -> torch.Tensor:
        """Whether words are in the vocabulary, by their hashes (...), 0 for none; True for all words before `fit`."""
        if not self.known.any():
            return words > 0
        return _contains(self.known, words)

    @staticmethod
    def _scatter(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Scatter values of the real tokens (M, C) to (N, T, C), 0 elsewhere."""
        if torch.onnx.is_in_onnx_export():
            return values.reshape(*real.shape, values.shape[1]) * real[..., None]
        return values.new_zeros(*real.shape, values.shape[1]).masked_scatter(real[..., None], values)

    def _vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors (M, width) of tokens (M, 19)."""
        shape, words, parts = tokens[:, 0], tokens[:, 1 : 2 + BASES], tokens[:, 2 + BASES :]
        words = torch.where(self._known(words) | (shape < LOWER)[:, None], words, 0)
        ids = torch.where(words > 0, words % self._WORDS + 1, 0)
        bases = (ids[:, 1:] > 0).sum(1, keepdim=True).clamp(min=1)
        many = (parts > 0).sum(1, keepdim=True).clamp(min=1)
        parts = torch.where(parts > 0, parts % self._PART_BUCKETS + 1, 0)
        own = summed(self.words.weight, ids[:, :1])
        rest = summed(self.words.weight, ids[:, 1:]) / bases + summed(self.parts.weight, parts) / many + self.shapes(shape)
        if self.training and self.forget.p:
            # Drop the word's own vector at random, so that bases and parts are trained for unknown words.
            drawn = torch.rand(len(tokens), 1, device=tokens.device)
            own = own * (drawn > self.forget.p)
            return own + rest * (drawn < 1 - self.forget.p)
        return own + rest

    def _ratings(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ratings (M, 3) of tokens (M, 19): valence, arousal, 1 of the word, or else the mean of its bases; zeros if unrated."""
        words = tokens[:, 1 : 2 + BASES]
        own, others = _contains(self.rated, words).split((1, BASES), 1)
        if self.training and self.forget.p:  # drop the word's own rating at random
            own = own & (torch.rand(len(tokens), 1, device=tokens.device) > self.forget.p / 2)
        rated = torch.cat([own, others & ~own], 1)
        many = rated.sum(1, keepdim=True)
        ratings = (self.ratings[words % self._RATED] * rated[..., None]).sum(1) / many.clamp(min=1)
        return torch.cat([ratings, (many > 0).float()], 1)

    def _plain(self, numbers: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Fixed features of texts (N, 23): pooled ratings of their words (N, T, 3), length, capitals, punctuation."""
        shape, words = numbers[..., 0], numbers[..., 1]
        count = (shape > 0).sum(1, keepdim=True).clamp(min=1)
        rated = ratings[..., 2:]
        values, many = ratings[..., :2], rated.sum(1)
        missing, some = 1e4 * (1 - rated), (many > 0).float()
        shares = F.one_hot(shape, SHAPES)[..., 1:].sum(1) / count
        marks = torch.stack([(words == of_token(mark)[1]).sum(1).float() for mark in MARKS], 1).clamp(max=4)
        return torch.cat(
            [
                values.sum(1) / many.clamp(min=1),
                values.sum(1) / 3,
                values.square().sum(1) / many.clamp(min=1) / 2,
                (values - missing).amax(1) * some,
                (values + missing).amin(1) * some,
                many / count,
                shares,
                torch.log1p(count.float()) / 2,
                count / 20,
                marks,
            ],
            1,
        )


def _blocks(numbers: torch.Tensor) -> list[torch.Tensor]:
    """The linear model's sparse features of tokens (N, T, 19): hashes of words, of word pairs, of bases and parts."""
    words = numbers[..., 1]
    pairs = torch.where(words[:, 1:] > 0, (words[:, :-1] * 31 + words[:, 1:] * 17) & 0x7FFFFFFF, 0)
    return [words, pairs, numbers[..., 2:].flatten(1)]


def _of_sentences(plain: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """`_plain`, 0 for single words: their rating is their label, and the linear model would rely on it alone."""
    return torch.where((numbers[..., 0] > 0).sum(1, keepdim=True) > 1, plain, 0)


def _add_words(table: torch.Tensor, words: torch.Tensor) -> None:
    """Add words, by their hashes (n,), to a Bloom filter."""
    bits = np.unpackbits(table.cpu().numpy())
    bits[_bits(torch.unique(words)).flatten().numpy()] = 1
    table.copy_(torch.from_numpy(np.packbits(bits)))


def _contains(table: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Whether words, by their hashes (...), 0 for none, are in a Bloom filter."""
    bits = _bits(words.long())
    return (words > 0) & ((table[bits >> 3] >> (7 - (bits & 7))) & 1).bool().all(-1)


def _bits(words: torch.Tensor) -> torch.Tensor:
    """The bits (..., 4) of hashes (...) in the Bloom filter."""
    return torch.stack([((words * factor) & 0xFFFFFFFF) * _BLOOM_BITS >> 32 for factor in _BLOOM_FACTORS], -1)


def _neighbours(values: torch.Tensor, real: torch.Tensor, step: int) -> torch.Tensor:
    """For each real token the values `step` before it, of itself and `step` after it, 0 beyond the ends: (M, 3 * C)."""
    length = values.shape[1]
    padded = F.pad(values, (0, 0, step, step))
    return torch.cat([_gathered(padded[:, start : start + length], real) for start in (0, step, 2 * step)], 1)


def _gathered(values: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Of values (N, T, C) those of the real tokens, (M, C); in a graph those of all, where choosing takes longer than it saves."""
    return values.flatten(0, 1) if torch.onnx.is_in_onnx_export() else values[real]
