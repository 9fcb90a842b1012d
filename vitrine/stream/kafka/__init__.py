"""The event log on Apache Kafka (the only place that imports kafka; needs the extra `kafka`).

names       defaults
connection  what is told about a cluster, how clients are made from it, and its errors as ours
topics      the topics of a catalogue: made, described, checked
log         appending, offsets, looking for later records
scan        reading stretches of topics from begin to end
consumer    reading as a member of a consumer group
assignment  which partitions the group gives to a member
mending     faults of kafka-python, mended from outside
records     what kafka-python reads ↔ records
letters     dead letters ↔ records of the dead letter topic
"""
