"""Convolution of small maps in a fraction of the multiplications, by Winograd's method.

A 3 x 3 convolution of 7 x 7 maps, at the 6 x 6 places that 2 x 2 pooling uses, takes 9 products of
matrices (channels by filters) at each of 36 places: 324. After a change of basis of the maps and of
the kernel it takes one at each of 64 points (Lavin and Gray 2016, "Fast Algorithms for
Convolutional Neural Networks", with one tile a map). The changes of basis are matrix products, too.
The mathematics is that of the plain convolution; single precision loses about one digit more.
"""

from functools import cache

import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from lib.fast.fused import Axes

TAPS, ROWS = 3, 7
"""Width of the kernel and of the maps."""

OUTPUTS = 6
POINTS = np.array([0.0, 1, -1, 2, -2, 0.5, -0.5])
"""Where polynomials are evaluated, beside infinity; small powers of two keep the rounding small."""

PLACES_FIRST: Axes = (1, 2, 0, 3)
"""The layout of maps here: the products are of matrices (batch by channels), one at each place."""

SIZE = (OUTPUTS + TAPS - 1) ** 2
"""Number of points in two dimensions."""


def fits(rows: int, columns: int, taps: int) -> bool:
    """Tell whether this is the way to convolve maps of a shape."""
    return (rows, columns, taps) == (ROWS, ROWS, TAPS)


@cache
def _bases() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices for maps, for kernels, and from products to outputs (Cook and Toom).

    In one dimension, outputs are the upper coefficients of a product of polynomials, which
    is determined by its values at the points. In two dimensions, that is done for rows and columns.
    """
    others = [np.delete(POINTS, index) for index in range(len(POINTS))]
    maps = np.zeros((len(POINTS) + 1, len(POINTS) + 1))
    maps[:-1, :-1] = [polynomial.polyfromroots(roots) for roots in others]
    maps[-1] = polynomial.polyfromroots(POINTS)
    at_infinity = np.eye(TAPS)[-1:], np.eye(OUTPUTS)[-1:]
    lengths = [np.prod(point - roots) for point, roots in zip(POINTS, others, strict=True)]
    kernels = np.vander(POINTS, TAPS, increasing=True) / np.array(lengths)[:, None]
    kernels = np.concatenate([kernels, at_infinity[0]])
    outputs = np.concatenate([np.vander(POINTS, OUTPUTS, increasing=True), at_infinity[1]]).T
    # Both factors of a product should be of one size; powers of two round nothing.
    scale = np.sqrt(np.abs(maps).max(axis=1) / np.abs(kernels).max(axis=1))
    scale = 2 ** np.round(np.log2(scale))[:, None]
    maps, kernels = maps / scale, kernels * scale

    padded = np.arange(len(maps) ** 2).reshape(len(maps), -1)  # a row and a column of zeros first
    inside = padded[1:, 1:].ravel()
    places = np.arange(OUTPUTS**2).reshape(OUTPUTS // 2, 2, OUTPUTS // 2, 2)
    pooled = places.transpose(1, 3, 0, 2).ravel()  # the four places of every pool come first
    return (
        np.kron(maps, maps)[:, inside],
        np.kron(kernels, kernels),
        np.kron(outputs, outputs)[pooled],
    )


def _basis(index: int, dtype: tf.DType) -> tf.Tensor:
    return tf.constant(_bases()[index], dtype)


def _times(basis: tf.Tensor, values: tf.Tensor, *, back: bool = False) -> tf.Tensor:
    """Multiply the first axis of three by a matrix, or by its transpose."""
    flat = tf.reshape(values, (values.shape[0], -1))
    product = tf.matmul(basis, flat, transpose_a=back)
    return tf.reshape(product, (product.shape[0], -1, values.shape[-1]))


def convolve(maps: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Convolve, padded to equal size, at the places that 2 x 2 pooling uses.

    Parameters
    ----------
    maps
        Shape ``(7, 7, batch, channels)``.
    kernel
        Shape ``(3, 3, channels, filters)``.

    Returns
    -------
    convolved, maps, kernel
        The output, shape ``(4, 3, 3, batch, filters)``: the four places of each pool come
        first. And both factors in the other basis, as :func:`gradients` wants them.
    """
    channels, filters = kernel.shape[2:]
    by_place = tf.reshape(maps, (ROWS**2, -1, channels))
    maps = _times(_basis(0, maps.dtype), by_place)
    kernel = _times(_basis(1, maps.dtype), tf.reshape(kernel, (TAPS**2, channels, filters)))
    convolved = _times(_basis(2, maps.dtype), tf.matmul(maps, kernel))
    return tf.reshape(convolved, (4, OUTPUTS // 2, OUTPUTS // 2, -1, filters)), maps, kernel


def gradients(
    maps: tf.Tensor, kernel: tf.Tensor, of_first: tf.Tensor | None, of_all: tf.Tensor | None
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """Return the gradients of the first filters and of the maps, those that are needed.

    Parameters
    ----------
    maps, kernel
        What :func:`convolve` returned.
    of_first
        Gradient of its output for the first filters, if theirs is needed.
    of_all
        For all filters, if that of the maps is needed.
    """

    def in_basis(gradient: tf.Tensor) -> tf.Tensor:
        by_place = tf.reshape(gradient, (OUTPUTS**2, -1, gradient.shape[-1]))
        return _times(_basis(2, maps.dtype), by_place, back=True)

    of_kernel = of_maps = None
    channels = kernel.shape[1]
    if of_first is not None:
        products = tf.matmul(maps, in_basis(of_first), transpose_a=True)
        of_kernel = _times(_basis(1, maps.dtype), products, back=True)
        of_kernel = tf.reshape(of_kernel, (TAPS, TAPS, channels, -1))
    if of_all is not None:
        products = tf.matmul(in_basis(of_all), kernel, transpose_b=True)
        of_maps = _times(_basis(0, maps.dtype), products, back=True)
        of_maps = tf.reshape(of_maps, (ROWS, ROWS, -1, channels))
    return of_kernel, of_maps
