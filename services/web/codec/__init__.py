"""JSON ↔ the gateway's messages."""
