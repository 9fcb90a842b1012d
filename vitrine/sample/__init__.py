"""A sample catalogue that draws its own pictures: seeded, with Pillow and numpy only.

The drawings are frozen. They are never tuned to a model.
"""

from vitrine.sample.catalogue import CATEGORIES, catalogue
from vitrine.sample.files import write
from vitrine.sample.look import SampleProduct
from vitrine.sample.queries import SampleQuery, queries
from vitrine.sample.studio import draw

__all__ = ["CATEGORIES", "SampleProduct", "SampleQuery", "catalogue", "draw", "queries", "write"]
