"""What storefronts and catalogue teams call: servicer → query → fanout → blend; publishing: catalogue."""
