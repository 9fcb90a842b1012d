"""Pictures in, vectors out: servicer → batcher → model."""
