"""The protocol around the metrics: which samples, which features, how many.

Every figure is named after its features and comes with its whole protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gantf import metrics, plots
from gantf.features import Features

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020  # torch-fidelity's rule for KID


class Evaluator:
    """Compares generated samples with real ones; the real features are kept.

    Args:
      source: real samples: `n`, `read(indices)`, `name`, `split`.
      features: what the samples are compared in.
      n: how many real and how many generated samples; as many as there are where
        the source has fewer. The real ones are drawn by RandomState(2020).

    Attributes:
      columns: the names of the figures.
      protocol: what was compared with what, and how.
    """

    def __init__(self, source: Any, features: Features, n: int = 5000):
        self.features = features
        self.n = min(n, source.n)
        order = np.random.RandomState(SEED).permutation(source.n)[: self.n]
        self._real = features(source.read(np.sort(order)))["features"]
        name = features.name
        self.columns = [f"kid_{name}", f"kid_{name}_std", f"fd_{name}"]
        self.subset_size = min(SUBSET_SIZE, self.n)
        self.protocol = {
            **features.about,
            "data": source.name,
            "split": source.split,
            "n_real": self.n,
            "n_fake": self.n,
            "kid": f"{SUBSETS} subsets of {self.subset_size}, seed {SEED}",
            "quantisation": "floor((x + 1) 127.5 + 0.5)",
            "batch_norm": "moving averages",
        }

    def __call__(self, generate: Callable[[int], np.ndarray]) -> dict[str, float]:
        """The figures of `n` samples of a generator, by name.

        Args:
          generate: n -> samples in [-1, 1].
        """
        fake = generate(self.n)
        if fake.ndim == 4:
            fake = plots.to_uint8(fake)
        fake = self.features(fake)["features"]
        distance = metrics.kid(self._real, fake, SUBSETS, self.subset_size, SEED)
        figures = (*distance, metrics.frechet_distance(self._real, fake))
        return dict(zip(self.columns, figures))
