"""A workload that plans in a second, and heads of tables."""

WORKLOAD = """\
name: tiny
traffic:
  web:
    rates: {file: rates.csv}
    slo: [latency p95 <= 900 ms]
models:
  m:
    engine: request
    variants:
      v:
        precision: int8
        quality: 1.0
        size: 1 MB
        serves: {web: 100 %}
        profiles:
          - {machine: c6i.large, service_ms: [250], load: 1 s, source: test, error_band: 10 %}
where:
  aws: [us-east-1]
  families: [c6i.large]
  quotas: {c6i: 50}
purchase:
  offers: [on-demand]
today:
  - {machine: c6i.large, region: us-east-1, variant: m/v, machines: 5, classes: [web]}
proof: {heldout: 6 h, seeds: [1]}
"""
RATES = "t_s,rate_per_s\n" + "".join(f"{3600 * hour},4\n" for hour in range(30))
MACHINES = "cloud,name,family,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,source,seen\n"
PRICES = "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n"
