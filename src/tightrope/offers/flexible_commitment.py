"""Google Cloud compute flexible committed use: so many US dollars an hour on vCPUs and memory of eligible series in every region.

It is applied after resource-based commitments (see ``cover.py``), and not on GPUs. Google states the commitment as the on-demand price
of what it covers; here, as of every commitment, it is what is paid for it. Source: Google Cloud documentation, "Compute flexible
committed use discounts" (2026).
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = (CommitmentOffer("flexible-commitment-1y"), CommitmentOffer("flexible-commitment-3y"))
