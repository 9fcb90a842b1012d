"""Catalogue events in, published shards out: source → embed → build → publish → compact."""
