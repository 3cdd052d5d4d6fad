"""Normal noise with the numbers of an NVIDIA GPU, on any machine.

Philox 4×32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") and the
Box–Muller transform with the scaling of cuRAND's ``curand_normal``. Element i of a draw uses the counter
(draw number, 0, i, 0); of the four words of a block the first two give one normal value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
# Weyl increments of the key: golden ratio and √3 − 1, in units of 2^-32.
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF_WORD = np.uint64(32)
_UNIT = np.float32(2.0**-32)
_TURN = np.float32(2.0**-32 * 2 * np.pi)


def _split(product: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    return (product >> _HALF_WORD).astype(np.uint32), (product & _LOW).astype(np.uint32)


def philox_4x32_10(counter: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """Encrypt counters [4, n] with the 64-bit ``seed``: random words [4, n]."""
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    a, b, c, d = counter
    for _ in range(_ROUNDS):
        high0, low0 = _split(a.astype(np.uint64) * _MULTIPLIERS[0])
        high1, low1 = _split(c.astype(np.uint64) * _MULTIPLIERS[1])
        a, b, c, d = high1 ^ b ^ np.uint32(key[0]), low1, high0 ^ d ^ np.uint32(key[1]), low0
        key = [(word + step) & 0xFFFFFFFF for word, step in zip(key, _KEY_STEPS, strict=True)]
    return np.stack([a, b, c, d])


def box_muller(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float32]:
    """One standard normal value of two random words, in single precision as the GPU computes it."""
    u = first.astype(np.float32) * _UNIT + _UNIT / 2
    angle = second.astype(np.float32) * _TURN + _TURN / 2
    return (np.sqrt(np.float32(-2.0) * np.log(u)) * np.sin(angle)).astype(np.float32)


class PhiloxGenerator:
    """A stream of normal draws. ``seed`` is taken modulo 2^64."""

    def __init__(self, seed: int) -> None:
        self.seed = int(seed) & 0xFFFFFFFFFFFFFFFF
        self.draws = 0

    def randn(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The next draw of this shape."""
        count = int(np.prod(shape, dtype=np.int64))
        counter = np.zeros((4, count), dtype=np.uint32)
        counter[0] = self.draws
        counter[2] = np.arange(count, dtype=np.uint32)
        self.draws += 1
        words = philox_4x32_10(counter, self.seed)
        return box_muller(words[0], words[1]).reshape(shape)
