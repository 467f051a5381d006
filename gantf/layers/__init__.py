"""Layers that Keras lacks; all are Keras layers and run on every Keras backend."""

from gantf.layers.convolution import CroppedConv2DTranspose, PaddedConv2D
from gantf.layers.plain import (
    ConcatenatedReLU,
    DepthToSpace,
    Dropout,
    GlobalSumPooling2D,
    PixelNormalization,
    SpaceToDepth,
)
from gantf.layers.spectral import (
    SNConv2D,
    SNConv2DTranspose,
    SNDense,
    SpectralNormalization,
    spectral_updates,
)

__all__ = [
    "ConcatenatedReLU",
    "CroppedConv2DTranspose",
    "DepthToSpace",
    "Dropout",
    "GlobalSumPooling2D",
    "PaddedConv2D",
    "PixelNormalization",
    "SNConv2D",
    "SNConv2DTranspose",
    "SNDense",
    "SpaceToDepth",
    "SpectralNormalization",
    "spectral_updates",
]
