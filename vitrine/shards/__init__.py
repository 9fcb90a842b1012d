"""What a shard is: an immutable set of product versions with their vectors.

records   the values that go in and come out
keys      product_id → 64-bit key
table     records ↔ columns
cells     single cells of columns, read fast
files     the files of a shard, their facts and checksums
build     columns → a fresh or a rolled shard on disk
metric    what a score is: angular, euclidean, manhattan, hamming
space     where candidates are looked for: principal directions, bits, or the vectors themselves
tree      an Annoy tree over a space (the only place that imports annoy)
calibrate what a search of either must spend to reach the recall target, measured
shard     a verified, memory-mapped shard
snapshot  the live rows of a partition's shards
query     what is asked of them, what is found, and how
conditions, masks   a filter → the rows that may be answered
planning  how one shard is best searched: by its tree, a scan of its space, or a scan of its vectors
finding   one shard searched like that for a batch of queries: candidates
scoring   rough scores of many vectors, products by their best images
finals    candidates of several shards → products in rank order
search    questions → answers, over several partitions (here callers begin)
live      what changes by the minute about products, found by product
lookup    one product in the shards of its partition
listing   all products of a partition, one after the other
merge     several shards → one
halves, weak_cache   float16 → float32; a cache that keeps nothing alive

Two words: rows that may be answered are alive (`LiveShard`, `rows_live`); a live row (`LiveRows`, `live_rows`) is all
that changes by the minute about one product, price and stock, whether the product is there or not.
"""
