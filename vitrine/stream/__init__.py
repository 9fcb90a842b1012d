"""The event log: how catalogue changes are written down, in order, before anything else happens to them.

events        what one event says
codec         events ↔ the protobuf bytes in the log
feedback      what answers showed, and what shoppers did with it; feedback_codec: the same as bytes
partitioning  product_id → partition
log           the protocol every log fulfils
embedded      a log in one SQLite file, for one machine
kafka         a log on Apache Kafka, for several
opening       which of the two a program uses
"""
