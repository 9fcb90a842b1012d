"""What goes together: a linear map from a product's vector to those of its companions, learned from pairs.

pairs     pairs of products as a table tells them, and who is held out
ridge     the map, in closed form, pulled towards what is known without training
figures   how early the true companion comes among all products of its category
learning  pairs → the map that held-out pairs prefer, and what it is worth
"""

from training.affinity.learning import Outcome, learned
from training.affinity.pairs import Gallery, Named, read_pairs

__all__ = ["Gallery", "Named", "Outcome", "learned", "read_pairs"]
