"""Where a product's images point to together."""

from __future__ import annotations

import numpy as np

from services.gateway.resolve import direction, directions
from vitrine.v1.searcher_pb2 import IndexedImage, Product
from vitrine.vectors import Vectors, to_wire, unit

DIM = 8
VECTORS = unit(np.random.default_rng(1).standard_normal((9, DIM)).astype(np.float32))


def product(vectors: Vectors) -> Product:
    return Product(images=[IndexedImage(vector=to_wire(vector)) for vector in vectors])


def test_a_product_points_where_its_images_do_on_average() -> None:
    mean = VECTORS[:4].mean(axis=0)
    np.testing.assert_allclose(direction(product(VECTORS[:4]), DIM), mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(direction(product(VECTORS[5:6]), DIM), VECTORS[5], atol=1e-6)


def test_of_images_that_point_in_opposite_directions_the_first_one_speaks() -> None:
    np.testing.assert_allclose(direction(product(np.stack([VECTORS[0], -VECTORS[0]])), DIM), VECTORS[0], atol=1e-6)


def test_many_products_point_where_each_does() -> None:
    products = [product(VECTORS[:1]), product(np.stack([VECTORS[1], -VECTORS[1]])), product(VECTORS[2:9])]
    np.testing.assert_array_equal(directions(products, DIM), [direction(one, DIM) for one in products])
    assert directions([], DIM).shape == (0, DIM)
