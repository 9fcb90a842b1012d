"""Searches the partitions it serves: servicer → shard_set."""
