"""scikit-learn's digits: 1797 real 8 x 8 images of handwritten digits, inside the package."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Split(NamedTuple):
    images: np.ndarray  # (examples, 8, 8, 1), grey values in [0, 1]
    labels: np.ndarray  # (examples,), 0 ... 9


class Digits(NamedTuple):
    train: Split
    validation: Split
    test: Split


def load() -> Digits:
    """The digits in three fixed parts, 60 % / 20 % / 20 %, with all classes in proportion."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    labels = labels.astype(np.int32)

    def split(images, labels, share):
        return train_test_split(images, labels, test_size=share, random_state=0, stratify=labels)

    rest_images, test_images, rest_labels, test_labels = split(images, labels, 0.2)
    train_images, val_images, train_labels, val_labels = split(rest_images, rest_labels, 0.25)
    return Digits(
        Split(train_images, train_labels),
        Split(val_images, val_labels),
        Split(test_images, test_labels),
    )


def batch_order(seeds, examples: int, steps: int, batch_size: int) -> np.ndarray:
    """Which examples form each batch, without replacement within an epoch.

    Returns:
        Indices of shape (seeds, steps, batch_size). A seed gives every optimizer the same batches.
    """

    def one(seed):
        rng = np.random.default_rng(seed)
        per_epoch = examples // batch_size
        epochs = -(-steps // per_epoch)
        orders = [rng.permutation(examples)[: per_epoch * batch_size] for _ in range(epochs)]
        return np.concatenate(orders).reshape(-1, batch_size)[:steps]

    return np.stack([one(seed) for seed in seeds]).astype(np.int32)
