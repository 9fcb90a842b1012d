"""Vitrine: look-alike search for shops. Storefront code imports `vitrine.client`."""
