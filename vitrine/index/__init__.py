"""What is live: the object store, index settings, numbered manifests, and who may write them.

store      one object store for every kind of URL; create-if-absent; local folders are synced
settings   index.json
manifest   the numbered, checksummed list of a partition's shards
ownership  claim a partition, publish to it, be fenced
shelf      shard folders into the store and out of it
retention  which manifests and shards nothing needs any more
pictures   images and thumbnails, once each, by hash
"""
