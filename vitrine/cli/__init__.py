"""The commands of `vitrine`; `vitrine --help` lists them."""
