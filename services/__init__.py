"""The programs, one folder each. They meet over gRPC and never import one another."""
