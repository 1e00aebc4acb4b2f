"""Google Cloud resource-based committed use: vCPUs, memory and GPUs of one machine series in one region, for a term.

One commits to amounts of each resource, and each is covered apart. Here a commitment is the spend that covers machines of the series:
the same where all machines of the series have the resources in one proportion, as those with GPUs have; where a series is used in
several proportions (``n2-highcpu`` beside ``n2-standard``) it covers more freely than Google does. Source: Google Cloud documentation,
"Resource-based committed use discounts" (2026).
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = (CommitmentOffer("resource-commitment-1y"), CommitmentOffer("resource-commitment-3y"))
