"""Layers that Keras lacks; all are Keras layers and run on every Keras backend."""

from gantf.layers.attention import Attention2D, Gate
from gantf.layers.conditional import (
    ConditionalBatchNormalization,
    ConditionalBias,
    ConditionalDense,
    ConditionalKernel,
)
from gantf.layers.convolution import CroppedConv2DTranspose, PaddedConv2D
from gantf.layers.labels import Labels
from gantf.layers.plain import (
    ConcatenatedReLU,
    DepthToSpace,
    Dropout,
    GaussianNoise,
    GlobalSumPooling2D,
    MinibatchStandardDeviation,
    PixelNormalization,
    SpaceToDepth,
)
from gantf.layers.spectral import (
    SNConv2D,
    SNConv2DTranspose,
    SNDense,
    SNDepthwiseConv2D,
    SNEmbedding,
    SNSeparableConv2D,
    SpectralNormalization,
    shared_kernels,
    spectral_updates,
)

__all__ = [
    "Attention2D",
    "ConcatenatedReLU",
    "ConditionalBatchNormalization",
    "ConditionalBias",
    "ConditionalDense",
    "ConditionalKernel",
    "CroppedConv2DTranspose",
    "DepthToSpace",
    "Dropout",
    "Gate",
    "GaussianNoise",
    "GlobalSumPooling2D",
    "Labels",
    "MinibatchStandardDeviation",
    "PaddedConv2D",
    "PixelNormalization",
    "SNConv2D",
    "SNConv2DTranspose",
    "SNDense",
    "SNDepthwiseConv2D",
    "SNEmbedding",
    "SNSeparableConv2D",
    "SpaceToDepth",
    "SpectralNormalization",
    "shared_kernels",
    "spectral_updates",
]
