"""Container services: pay for the vCPUs and the memory of each hour that a container runs, stop at any time.

No commitment covers them here: what a Compute Savings Plan takes for a vCPU-hour of AWS Fargate is not in the price book, and unknown is
not zero. Sources: AWS Fargate pricing, Azure Container Instances pricing, Google Cloud Run pricing (instance-based billing; all 2026).
"""

from tightrope.offers.pay_as_you_go import PayAsYouGo

OFFER = PayAsYouGo("container", interruptible=False)
