"""How well a model finds its like, as figures with intervals, a page and pictures.

intervals     shares and means with the 95 % interval that their queries allow
ranking       queries against a catalogue: the nearest, and average precision
distances     the nearest by angular, euclidean and manhattan distance, and their label precision
metrics       precision, average precision and top-k accuracy of a label column
classes       per-class figures and the confusion matrix
reference     accuracy on the nine subcategories that published figures are about
conditions    the same queries as they are, composed, cropped, and against other catalogues
scenes_found  where the product is in a scene, and whether there is one
index_recall  the index that ships against exact search
embedding_map a flat map of the embedding space
findings      all figures of one model
report        measures them all and writes report.json
charts        figures → SVG
page          findings → one HTML page
pictures      the best and the worst queries as grids of pictures
"""
